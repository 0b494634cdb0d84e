-- Why: inbox.database may be set for the service alone, by a variable of its unit. A command that does not know it
-- wrote rows into a table that nobody watches. The worker notes here which inbox it serves; null: the table of this
-- database.
create table served_inbox (
    id integer primary key check (id = 1),
    path text
) strict;
