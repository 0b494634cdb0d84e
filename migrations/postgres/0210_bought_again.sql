-- Why: as step 0210 of migrations/state: since when the contacts of a job may be paid for once more, because a person
-- has said so.
alter table jobs add column bought_again_at bigint;
