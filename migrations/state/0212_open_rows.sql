-- Why: with a hundred thousand open requests or jobs, a list of those in one state read all of them, and so did each count
-- on the status page. These hold what those statements ask for, so that no row is looked up.
drop index requests_open;
create index requests_open on requests (status, id, account, finished_at) where finished_at is null;
drop index jobs_open;
create index jobs_open on jobs (state, id) where finished_at is null;
