-- Why: accounts whose keys belong to one user of the vendor share one credit pool: one balance, one settlement, one
-- paid call at a time. Until the configuration says otherwise, each account is its own owner.
insert into accounts (account)
select account from (select account from requests union select account from jobs union select account from ledger
                     union select account from balance_snapshots) as known
where true on conflict do nothing;
alter table accounts add column owner text;
update accounts set owner = account;
create trigger accounts_owner after insert on accounts when new.owner is null
begin
    update accounts set owner = new.account where account = new.account;
end;

-- For each account the accounts of its owner, itself included.
create view pools as
select a.account, other.account as member from accounts a join accounts other on other.owner = a.owner;

-- A balance and a settlement belong to the owner at that time: an account may change its owner later.
alter table balance_snapshots add column owner text;
update balance_snapshots set owner = account;
drop index balance_snapshots_by_account;
create index balance_snapshots_by_owner on balance_snapshots (owner, id);
alter table windows add column owner text;
update windows set owner = account;
drop index windows_open;
create unique index windows_open on windows (owner) where closed_at is null;
drop index windows_by_account;
create index windows_by_owner on windows (owner, id);

drop view credit_audit;
create view credit_audit as
select account,
       strftime('%Y-%m-%dT%H:%M:%fZ', opened_at / 1000.0, 'unixepoch') as opened_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', closed_at / 1000.0, 'unixepoch') as closed_at,
       jobs, expected_min, expected_max, balance_before, balance_after, spent, verdict, owner
from windows
where closed_at is not null;
