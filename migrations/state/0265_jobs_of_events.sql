-- Why: the unlock of an event whose answers are lost again and again is counted over all jobs of its request.
create index jobs_of_events on jobs (event_id, action) where event_id is not null;
