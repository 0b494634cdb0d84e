-- Why: what notify.url is told must be neither lost nor invented by a crash, so a message is written in
-- the transaction of the change that it tells of. Triggers on the timeline and on accounts do it: they
-- cover every path, commands of other processes included. A message holds ids, counts and credits, and
-- nothing that a caller or the API wrote in words of its own.
create table outbox (
    id integer primary key autoincrement,
    -- The receiver's key against duplicates (webhook-id): the same at every attempt.
    message_id text not null unique default ('msg_' || lower(hex(randomblob(16)))),
    type text not null check (type in ('request.finished', 'request.awaiting_approval', 'job.in_doubt',
        'account.paused')),
    at integer not null,
    data text not null check (json_valid(data)),
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'given_up')),
    attempts integer not null default 0,
    due_at integer not null default 0,
    ended_at integer,
    check ((state = 'waiting') = (ended_at is null))
) strict;
create index outbox_waiting on outbox (due_at) where state = 'waiting';
create index outbox_ended on outbox (ended_at) where state <> 'waiting';

-- One row while messages are wanted (notify.url is set, and its receiver has not said 410 Gone). Without
-- it nothing is written, so that an address that is set one day does not get ancient news.
create table outbox_is_open (id integer primary key check (id = 1)) strict;

create trigger outbox_request_finished after insert on request_events
when new.request_id is not null and new.event in ('done', 'cancelled', 'rejected')
    and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    select 'request.finished', new.at, json_object(
        'request_id', r.id, 'status', r.status,
        'contacts', (select count(*) from items i where i.request_id = r.id),
        'outcomes', json((select json_group_object(outcome, contacts) from
            (select outcome, count(*) as contacts from items i where i.request_id = r.id group by outcome))),
        'committed_credits', r.committed_credits)
    from requests r where r.id = new.request_id and r.finished_at is not null;
end;

create trigger outbox_request_awaits_approval after insert on request_events
when new.request_id is not null and new.event = 'awaiting_approval'
    and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    select 'request.awaiting_approval', new.at, json_object(
        'request_id', r.id,
        'contacts', (select count(*) from items i where i.request_id = r.id),
        'quoted_credits', r.quoted_credits)
    from requests r where r.id = new.request_id and r.status = 'awaiting_approval';
end;

-- Once when an answer is lost, and once more when looking has not settled it and a person has to decide.
create trigger outbox_job_in_doubt after insert on request_events
when new.job_id is not null and new.event in ('answer_lost', 'stayed_unclear')
    and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    select 'job.in_doubt', new.at, json_object(
        'job_id', j.id, 'account', j.account,
        'needs_decision', json(iif(j.state_reason = 'needs_decision', 'true', 'false')),
        'contacts', j.contacts, 'credits_at_most', j.cost,
        'request_ids', json((select json_group_array(request_id) from
            (select distinct request_id from items i where i.job_id = j.id order by request_id))))
    from jobs j where j.id = new.job_id and j.state = 'in_doubt';
end;

-- Accounts and their names come from the configuration.
create trigger outbox_account_paused after update of paused_at on accounts
when new.paused_at is not null and old.paused_at is null and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    values ('account.paused', new.paused_at, json_object('account', new.account, 'reason', 'person'));
end;

create trigger outbox_account_key_refused after update of refused_key on accounts
when new.refused_key is not null and new.refused_key is not old.refused_key
    and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    values ('account.paused', new.key_refused_at,
            json_object('account', new.account, 'reason', 'invalid_api_key'));
end;

-- Only the first job that waits tells it.
create trigger outbox_account_lacks_credits after update of state_reason on jobs
when new.state = 'queued' and new.state_reason in ('insufficient_credits', 'budget')
    and new.state_reason is not old.state_reason
    and exists (select 1 from outbox_is_open)
    and not exists (select 1 from jobs o where o.state = 'queued' and o.account = new.account
                      and o.state_reason = new.state_reason and o.id <> new.id)
begin
    insert into outbox (type, at, data)
    values ('account.paused', coalesce(new.due_at, new.created_at),
            json_object('account', new.account, 'reason', new.state_reason, 'job_id', new.id));
end;
