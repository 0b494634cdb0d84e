-- Why: an email or phone that is erased must be gone from the file. SQLite leaves old places of a row
-- as they were when it passes rows on to another page (secure_delete does not overwrite those), which
-- happened to items, since their rows grow. Values get a table in which no row ever moves: rows are
-- only added at its end, are never deleted, and are erased by writing over them at equal length.
-- The old table is dropped and not altered: secure_delete overwrites each of its pages as a whole. Not
-- renamed either, which would change what views, triggers and foreign keys of other tables mean by items.
drop view contact_outcomes;
create table items_kept as
select id, request_id, account, action, event_id, personnel_id, state, job_id, outcome, error_code,
       source, read_at, reads, reading_since, set_aside, checked_at, resolved_at
from items order by id;

-- The email or phone of a delivered item: which of the two, the item's action says.
create table contact_values (
    -- autoincrement: a new row always comes last.
    id integer primary key autoincrement,
    item_id integer not null unique references items (id),
    value text not null,
    -- 1: its value was written over. 0 and 1 take the same room in a row (none), as they must.
    is_erased integer not null default 0 check (is_erased in (0, 1)),
    stored_at integer not null
) strict;
insert into contact_values (item_id, value, stored_at)
select id, coalesce(email, phone), resolved_at from items
where email is not null or phone is not null order by id;
-- An item whose value was erased before has one that is erased.
insert into contact_values (item_id, value, is_erased, stored_at)
select id, '', 1, resolved_at from items
where outcome = 'delivered' and email is null and phone is null
    and action in ('unlock_contact_emails', 'unlock_contact_phones') order by id;

drop table items;
create table items (
    id integer primary key,
    request_id integer not null references requests (id),
    account text not null,
    action text not null,
    event_id text,
    personnel_id text not null,
    -- unapproved: its request waits for a person; waiting: for a batch; assigned: to job_id;
    -- reading: unlocked without a task of ours, its value is read from the profile.
    state text not null check (state in ('unapproved', 'waiting', 'assigned', 'reading', 'done')),
    job_id integer references jobs (id),
    outcome text not null default 'pending' check (outcome in ('pending', 'delivered', 'no_value',
        'failed', 'unresolved', 'not_returned', 'invalid', 'missing', 'unlinked', 'rejected',
        'cancelled', 'lost', 'expired')),
    error_code text,
    source text check (source in ('task', 'profile', 'store')),
    -- When the profile is read next, how often it was, and since when.
    read_at integer,
    reads integer not null default 0,
    reading_since integer,
    -- 1: left its batch because a precheck said that it need not be paid for. If its profile says
    -- otherwise it is sent after all, and checked_at says when that was seen.
    set_aside integer not null default 0 check (set_aside in (0, 1)),
    checked_at integer,
    resolved_at integer,
    unique (request_id, personnel_id),
    check ((state = 'done') = (outcome <> 'pending')),
    check ((state = 'done') = (resolved_at is not null)),
    check ((state = 'reading') = (read_at is not null)),
    check (state <> 'assigned' or job_id is not null),
    check ((outcome = 'delivered') = (source is not null))
) strict;
insert into items (id, request_id, account, action, event_id, personnel_id, state, job_id, outcome,
    error_code, source, read_at, reads, reading_since, set_aside, checked_at, resolved_at)
select id, request_id, account, action, event_id, personnel_id, state, job_id, outcome,
    error_code, source, read_at, reads, reading_since, set_aside, checked_at, resolved_at
from items_kept;
drop table items_kept;

create index items_waiting on items (account, action, event_id, id) where state = 'waiting';
create index items_oldest_waiting on items (account, id) where state = 'waiting';
create index items_reading on items (account, read_at) where state = 'reading';
create index items_open on items (request_id) where state <> 'done';
create index items_by_job on items (job_id, personnel_id) where job_id is not null;
create index items_by_contact on items (personnel_id, account, action);
create index contact_values_to_erase on contact_values (stored_at) where is_erased = 0;

-- As they were (0106); they went with the table.
create trigger figures_item_added after insert on items when new.outcome <> 'pending'
begin
    insert into figures values ('items', new.account, new.outcome, 1)
    on conflict do update set value = value + 1;
end;
create trigger figures_item_settled after update of outcome on items
when new.outcome <> old.outcome and new.outcome <> 'pending'
begin
    insert into figures values ('items', new.account, new.outcome, 1)
    on conflict do update set value = value + 1;
end;

create trigger contact_values_are_never_deleted before delete on contact_values
begin
    select raise(abort, 'a value is erased, not deleted');
end;
create trigger contact_values_are_erased_at_equal_length before update on contact_values
when new.id <> old.id or new.item_id <> old.item_id or new.stored_at <> old.stored_at
    or new.is_erased <> 1 or length(cast(new.value as blob)) <> length(cast(old.value as blob))
begin
    select raise(abort, 'a value is erased at equal length, and not changed');
end;

create view contact_outcomes as
select i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id, i.outcome,
       iif(i.action = 'unlock_contact_emails', v.value, null) as email,
       iif(i.action = 'unlock_contact_phones', v.value, null) as phone,
       i.error_code, i.source, i.job_id, j.task_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.resolved_at / 1000.0, 'unixepoch') as resolved_at
from items i
join requests r on r.id = i.request_id
left join jobs j on j.id = i.job_id
left join contact_values v on v.item_id = i.id and v.is_erased = 0
where i.action in ('unlock_contact_emails', 'unlock_contact_phones');
