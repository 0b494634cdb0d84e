-- Why: while the API does not answer as it should, nothing new is sent. The worker notes it here, so that the page,
-- the terminal and `explain` tell the same: since when, with which answer, and when it is tried next.
alter table accounts add column trouble_since integer;
alter table accounts add column trouble_answer text;
alter table accounts add column trouble_next_at integer;
