-- Why: a person who sends a job in doubt again confirms its cost. The job never goes out for more than that: when
-- it would cost more by then, its requests wait for an approval.
alter table jobs add column confirmed_credits integer;
