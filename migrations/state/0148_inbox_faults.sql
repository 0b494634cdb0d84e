-- Why: an inbox that cannot be read or written holds up intake only. The worker notes it here, so that the page, the
-- terminal, `check` and `explain` tell the same: since when, by which cause, and when it is tried next.
create table inbox_faults (
    part text primary key check (part in ('intake', 'status')),
    since integer not null,
    cause text not null,
    next_try_at integer not null
) strict;
