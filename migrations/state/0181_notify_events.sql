-- Why: a receiver is told only of what notify.events names; the outcome of each contact is a message of its own, for
-- receivers that want it. A message that is not wanted is not written. The table is made anew since its check names the
-- types; its few rows are kept.
-- As JSON. Null until the worker starts: all types of before.
alter table outbox_is_open add column events text;

create table outbox_kept as select * from outbox;
drop table outbox;
create table outbox (
    id integer primary key autoincrement,
    -- The receiver's key against duplicates (webhook-id): the same at every attempt.
    message_id text not null unique default ('msg_' || lower(hex(randomblob(16)))),
    type text not null check (type in ('request.finished', 'request.awaiting_approval', 'job.in_doubt',
        'account.paused', 'contact.resolved')),
    at integer not null,
    data text not null check (json_valid(data)),
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'given_up')),
    attempts integer not null default 0,
    due_at integer not null default 0,
    ended_at integer,
    check ((state = 'waiting') = (ended_at is null))
) strict;
insert into outbox (id, message_id, type, at, data, state, attempts, due_at, ended_at)
select id, message_id, type, at, data, state, attempts, due_at, ended_at from outbox_kept;
drop table outbox_kept;
create index outbox_waiting on outbox (due_at) where state = 'waiting';
create index outbox_ended on outbox (ended_at) where state <> 'waiting';

create trigger outbox_wanted before insert on outbox
when not exists (select 1 from outbox_is_open where coalesce(instr(events, '"' || new.type || '"'), 1) > 0)
begin
    select raise(ignore);
end;

create trigger outbox_contact_resolved after update of outcome on items
when old.outcome = 'pending' and new.outcome <> 'pending'
    and new.action in ('unlock_contact_emails', 'unlock_contact_phones')
    and exists (select 1 from outbox_is_open where instr(events, '"contact.resolved"') > 0)
begin
    insert into outbox (type, at, data)
    select 'contact.resolved', new.resolved_at, json_object(
        'request_id', r.id, 'reference', r.reference, 'account', new.account, 'action', new.action,
        'event_id', new.event_id, 'personnel_id', new.personnel_id, 'outcome', new.outcome, 'source', new.source)
    from requests r where r.id = new.request_id;
end;

-- Ids that are no contacts have their outcome from the beginning.
create trigger outbox_contact_invalid after insert on items
when new.outcome <> 'pending' and new.action in ('unlock_contact_emails', 'unlock_contact_phones')
    and exists (select 1 from outbox_is_open where instr(events, '"contact.resolved"') > 0)
begin
    insert into outbox (type, at, data)
    select 'contact.resolved', new.resolved_at, json_object(
        'request_id', r.id, 'reference', r.reference, 'account', new.account, 'action', new.action,
        'event_id', new.event_id, 'personnel_id', new.personnel_id, 'outcome', new.outcome, 'source', new.source)
    from requests r where r.id = new.request_id;
end;
