-- Why: each start compares the rows that were taken and are not finished with the requests. Without this it
-- reads every row that was ever written, long lists of contacts included.
create index inbox_open on inbox (id) where status in ('accepted', 'awaiting_approval');
