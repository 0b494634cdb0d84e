-- Why: the balance falls by itself when credits lapse or are granted anew. What was granted is kept with each
-- balance, so that such a fall is told from spending.
alter table balance_snapshots add column subscription_amount integer;
alter table balance_snapshots add column addon_amount integer;
alter table balance_snapshots add column gift_amount integer;
alter table balance_snapshots add column reset_at integer;
alter table balance_snapshots add column addon_expire_at integer;

-- 1: some lapsed in between. The verdict that people read is `lapsed` then; the column's own words are checked, and a
-- table that others refer to is not made anew for a word.
alter table windows add column lapsed integer not null default 0 check (lapsed in (0, 1));

drop view credit_audit;
create view credit_audit as
select account,
       strftime('%Y-%m-%dT%H:%M:%fZ', opened_at / 1000.0, 'unixepoch') as opened_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', closed_at / 1000.0, 'unixepoch') as closed_at,
       jobs, expected_min, expected_max, balance_before, balance_after, spent,
       iif(lapsed = 1, 'lapsed', verdict) as verdict, owner
from windows
where closed_at is not null;

-- As it was (0106), with the new word.
drop trigger figures_settled;
create trigger figures_settled after update of verdict on windows
when new.verdict is not null and old.verdict is null
begin
    insert into figures values ('settlements', new.account, iif(new.lapsed = 1, 'lapsed', new.verdict), 1)
    on conflict do update set value = value + 1;
    insert into figures values ('settled_at', new.account, '', new.closed_at)
    on conflict do update set value = excluded.value;
    insert into figures values ('unexplained', new.account, '', case new.verdict
        when 'overspent' then new.spent - new.expected_max
        when 'underspent' then new.spent - new.expected_min
        else 0 end)
    on conflict do update set value = excluded.value;
end;
