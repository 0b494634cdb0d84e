-- Why: history grows for ever. With retention.history the worker removes what is old: timelines, balance snapshots
-- and finished requests. A request stays as a stub, without the caller's words and in no list: by it its row is known,
-- and its items are what keeps a contact from being bought twice. The ledger stays whole.
alter table requests add column removed_at integer;

create index requests_to_remove on requests (finished_at) where finished_at is not null and removed_at is null;
create index balance_snapshots_by_time on balance_snapshots (taken_at);
create index windows_by_opening on windows (opening_snapshot) where opening_snapshot is not null;
create index windows_by_closing on windows (closing_snapshot) where closing_snapshot is not null;
