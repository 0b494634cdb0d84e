-- Why: an item's state says why it is there. Six columns (set_aside, checked_at, reading_since,
-- unlocking_since beside read_at and reads) become one word and the time since when it holds. What becomes
-- impossible: a profile that is read for no reason or for two, and a reason that no state has.
drop view contact_outcomes;
create table items_kept as select * from items order by id;
drop table items;
create table items (
    id integer primary key,
    request_id integer not null references requests (id),
    account text not null,
    action text not null,
    event_id text,
    personnel_id text not null,
    -- domain/item.rs owns state, state_reason and outcome.
    -- unapproved: its request waits for a person; waiting: for a batch; assigned: in job_id;
    -- reading: no task of ours brings its value, it is read from the profile.
    state text not null check (state in ('unapproved', 'waiting', 'assigned', 'reading', 'done')),
    -- reading: why its profile is read. Before that: what its profile or a precheck has shown.
    state_reason text,
    -- Since when that holds. unlocking: since the first precheck that said so, over any number of batches.
    reason_since integer,
    job_id integer references jobs (id),
    outcome text not null default 'pending' check (outcome in ('pending', 'delivered', 'no_value',
        'failed', 'unresolved', 'not_returned', 'invalid', 'missing', 'unlinked', 'rejected',
        'cancelled', 'lost', 'expired')),
    error_code text,
    source text check (source in ('task', 'profile', 'store')),
    -- When the profile is read next, and how often it was read without a result.
    read_at integer,
    reads integer not null default 0,
    resolved_at integer,
    unique (request_id, personnel_id),
    check ((state = 'done') = (outcome <> 'pending')),
    check ((state = 'done') = (resolved_at is not null)),
    check ((state = 'reading') = (read_at is not null)),
    check (state = 'reading' or reads = 0),
    check (state not in ('assigned', 'reading') or job_id is not null),
    check (state not in ('unapproved', 'waiting') or job_id is null),
    check ((state_reason is null) = (reason_since is null)),
    check (case state
        when 'done' then state_reason is null
        when 'reading' then state_reason is not null and state_reason in ('already_unlocked', 'unlocking',
            'paid_before', 'skipped', 'lost_answer', 'event_unlocked')
        else state_reason is null or state_reason in ('seen_locked', 'unlocking')
    end),
    check ((outcome = 'delivered') = (source is not null))
) strict;

insert into items (id, request_id, account, action, event_id, personnel_id, state, state_reason, reason_since,
    job_id, outcome, error_code, source, read_at, reads, resolved_at)
select k.id, k.request_id, k.account, k.action, k.event_id, k.personnel_id, k.state,
       case
           when k.state = 'done' then null
           when k.state = 'reading' and k.set_aside = 1 and k.unlocking_since is not null then 'unlocking'
           when k.state = 'reading' and k.set_aside = 1 then 'already_unlocked'
           when k.state = 'reading' and k.action = 'unlock_event_contacts' then 'event_unlocked'
           when k.state = 'reading' and j.state = 'in_doubt' then 'lost_answer'
           when k.state = 'reading' then 'skipped'
           when k.unlocking_since is not null then 'unlocking'
           when k.checked_at is not null then 'seen_locked'
       end,
       case
           when k.state = 'done' then null
           when k.state = 'reading' and k.set_aside = 1 and k.unlocking_since is not null then k.unlocking_since
           when k.state = 'reading' then coalesce(k.reading_since, k.read_at)
           when k.unlocking_since is not null then k.unlocking_since
           else k.checked_at
       end,
       case when k.state in ('unapproved', 'waiting') then null else k.job_id end,
       k.outcome, k.error_code, k.source, k.read_at,
       case when k.state = 'reading' then k.reads else 0 end,
       k.resolved_at
from items_kept k left join jobs j on j.id = k.job_id;
drop table items_kept;

create index items_waiting on items (account, action, event_id, id) where state = 'waiting';
create index items_oldest_waiting on items (account, id) where state = 'waiting';
create index items_reading on items (account, read_at) where state = 'reading';
create index items_open on items (request_id) where state <> 'done';
create index items_by_job on items (job_id, personnel_id) where job_id is not null;
create index items_by_contact on items (personnel_id, account, action);

-- As they were (0106, 0107); they went with the table.
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
