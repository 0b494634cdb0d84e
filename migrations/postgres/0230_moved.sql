-- Why: as step 0230 of migrations/state: a database that everything was copied from is closed.
create table moved (
    id bigint primary key check (id = 1),
    target text collate "C" not null,
    at bigint not null
);
