-- Why: with a million rows some lists and one step of a resume read a whole table. tests/it/statements looks at
-- the plan of every statement against such a database. Rows that are open have indexes of their own, which a
-- full index would take the place of: so these are partial.

-- Lists by status or state, the newest first.
create index requests_ended_by_status on requests (status, id) where finished_at is not null;
create index jobs_ended_by_state on jobs (state, id) where finished_at is not null;
create index jobs_open on jobs (id) where finished_at is null;

-- What ended last, for the status page.
create index requests_ended on requests (finished_at) where finished_at is not null;

-- A task that was expired and is followed again opens the requests that adopted it.
create index requests_by_task on requests (task_id) where task_id is not null;

-- What event unlocks and searches brought: few requests among many.
create index requests_direct on requests (id)
    where action in ('unlock_event_contacts', 'search_exhibitor_companies', 'search_exhibitor_events');

-- The newest settlement of an account, before each batch.
create index windows_by_account on windows (account, id);
