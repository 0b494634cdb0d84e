-- Why: a key that is refused with 401 is tried again by itself, and one whose owner may not do this (403) waits for
-- a person; people are told which, and the API's own word. Both have to outlive a restart.
alter table accounts add column refused_status integer;
alter table accounts add column refused_error_key text;
