-- Why: as step 0213 of migrations/state: what a precheck said that a job which waits for credits will be charged.
alter table jobs add column quoted_credits bigint;
