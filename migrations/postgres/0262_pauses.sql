-- Why: a clock that is set back makes a Retry-After last until its old time comes again, unless one knows when it began.
-- Not set: by a version before this one.
alter table accounts add column blocked_since bigint;
alter table address_limit add column held_since bigint;
