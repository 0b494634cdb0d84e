-- Why: the request shows which caller of the HTTP API made it; and a caller may be held to so many credits in a day,
-- whatever happens between two calls. A row is written before what it is for.
alter table requests add column caller text;
create table caller_credits (
    id integer primary key,
    caller text not null,
    at integer not null,
    credits integer not null check (credits >= 0)
) strict;
create index caller_credits_by_caller on caller_credits (caller, at);
