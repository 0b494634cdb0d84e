-- Why: a job whose contacts are partly unlocked already is charged less than its list price. It waits only until the
-- balance covers what a precheck said, and is not asked about again before. Empty: no precheck has said so.
alter table jobs add column quoted_credits integer;
