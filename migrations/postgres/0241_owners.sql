-- Why: several workers share one database. Each serves some of the owners of accounts, and none is served by two. SQLite
-- has one worker for one file.

-- Who serves an owner. The empty name is no owner: who holds it takes the rows of the inbox and cleans up.
create table owners (
    owner text collate "C" primary key,
    -- Nobody, once it was given back.
    worker text collate "C",
    host text collate "C",
    -- Goes up with each worker that takes it. A worker that finds another number here was replaced.
    epoch bigint not null default 0,
    taken_at bigint,
    -- By the clock of this server. In the past: anybody may take it.
    expires_at bigint not null default 0
) with (fillfactor = 50);
insert into owners (owner) values ('');

-- The workers that live, and those that died lately.
create table workers (
    worker text collate "C" primary key,
    host text collate "C" not null,
    pid bigint not null,
    version text collate "C" not null,
    -- The newest step of the schema that it knows.
    schema_step bigint not null,
    started_at bigint not null,
    seen_at bigint not null,
    expires_at bigint not null,
    -- A JSON array: the owners whose keys it has.
    serves text collate "C" not null default '[]'
) with (fillfactor = 50);
