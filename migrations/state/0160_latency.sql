-- How long the API takes for an answer: after a restart, as many calls are in flight as before.
alter table accounts add column latency_ms integer;
