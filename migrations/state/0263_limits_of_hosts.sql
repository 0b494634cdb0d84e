-- Why: the vendor limits each address, and each host of workers that share a database has one of its own.
create table limits_of_hosts (
    -- Empty: the one worker of a database.
    host text not null primary key,
    -- No call of any account between these moments.
    held_since integer,
    held_until integer,
    -- The limit that a 429 has shown, its longest Retry-After, and when; see domain/address.rs.
    lowered_limit integer,
    lowered_pause_ms integer,
    lowered_at integer
) strict;
insert into limits_of_hosts
select '', held_since, held_until, lowered_limit, lowered_pause_ms, lowered_at from address_limit;
drop table address_limit;
alter table limits_of_hosts rename to address_limit;
