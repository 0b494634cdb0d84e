-- Why: `unlockd copy` moves everything to a database of the other engine. The one that it came from keeps a row here and
-- is closed from then on, so that nothing is bought from both.
create table moved (
    id integer primary key check (id = 1),
    -- The other database: a path, or a URL without a password.
    target text not null,
    at integer not null
) strict;
