-- Why: any program that can open the file enqueues with plain SQL; the worker writes status back.
-- julianday() and not unixepoch('subsec'): the default is evaluated by the writer's own SQLite,
-- and Debian 12 ships 3.40, which does not know 'subsec'.
create table inbox (
    id integer primary key autoincrement,
    account text not null default 'default',
    action text not null default 'unlock_contact_emails',
    event_id text,
    personnel_ids text,
    task_id text,
    query text,
    max_pages integer not null default 1,
    reference text,
    dedupe_key text,
    max_credits integer,
    approved integer not null default 0,
    created_at integer not null default (cast((julianday('now') - 2440587.5) * 86400000 as integer)),
    -- Written by the worker from here on.
    status text not null default 'new'
        check (status in ('new', 'awaiting_approval', 'accepted', 'done', 'rejected', 'cancelled')),
    reason text,
    quoted_credits integer,
    finished_at integer,
    unique (account, dedupe_key)
) strict;

create index inbox_new on inbox (id) where status = 'new';
