-- Why: whether a charge was booked before or after a balance was asked for, and before or after a submission began, was
-- told by times. Once the clock was set, times cannot be compared: a lost request was taken for carried out, and the
-- balance before a submission was too low. The numbers of entries and submissions tell it, whatever the clock said.
alter table balance_snapshots add column ledger_when_asked integer;
alter table balance_snapshots add column attempt_when_taken integer;
alter table attempts add column snapshot_before integer;
alter table attempts add column ledger_before integer;
create index ledger_charges_in_order on ledger (account, id) where entry = 'charge';

-- Only what is open is compared again. Times are all there is for it, one last time.
update attempts set
    snapshot_before = (select max(s.id) from balance_snapshots s
                       where s.owner = (select a.owner from accounts a join jobs j on j.account = a.account
                                        where j.id = attempts.job_id)
                         and s.taken_at <= attempts.started_at),
    ledger_before = coalesce((select min(l.id) - 1 from ledger l where l.entry = 'charge' and l.at >= attempts.started_at),
                             (select max(id) from ledger), 0)
where job_id in (select id from jobs where finished_at is null);
update balance_snapshots set
    ledger_when_asked = coalesce((select min(l.id) - 1 from ledger l
                                  where l.entry = 'charge' and l.at >= balance_snapshots.asked_at),
                                 (select max(id) from ledger), 0),
    attempt_when_taken = coalesce((select min(a.id) - 1 from attempts a where a.started_at >= balance_snapshots.taken_at),
                                  (select max(id) from attempts), 0)
where id in (select snapshot_before from attempts where snapshot_before is not null)
   or id in (select opening_snapshot from windows where closed_at is null)
   or id in (select max(id) from balance_snapshots group by owner);
