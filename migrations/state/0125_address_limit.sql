-- Why: what a 429 teaches about the limit of this machine's address is true for all accounts, and after a restart.
create table address_limit (
    id integer primary key check (id = 1),
    -- No call of any account before this moment.
    held_until integer,
    -- The limit that a 429 has shown, its longest Retry-After, and when; see domain/address.rs.
    lowered_limit integer,
    lowered_pause_ms integer,
    lowered_at integer
) strict;
