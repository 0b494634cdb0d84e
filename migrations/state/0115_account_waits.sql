-- Why: contacts that no key, no credits or a day's limit lets out stay items, and are in no job that could say so.
-- The submit pass notes here what they wait for; whoever tells people why nothing goes on reads it.
alter table accounts add column waits_for text
    check (waits_for in ('insufficient_credits', 'invalid_api_key', 'budget'));
alter table accounts add column waits_since integer;

-- The oldest item of each action that waits: what cannot be paid for must not hide what can.
drop index if exists items_oldest_waiting;
create index items_oldest_waiting on items (account, action, id) where state = 'waiting';

-- An account that lacks credits says so once, whether a job waits for them first or items do.
drop trigger if exists outbox_account_lacks_credits;
create trigger outbox_account_lacks_credits after update of state_reason on jobs
when new.state = 'queued' and new.state_reason in ('insufficient_credits', 'budget')
    and new.state_reason is not old.state_reason
    and exists (select 1 from outbox_is_open)
    and not exists (select 1 from jobs o where o.state = 'queued' and o.account = new.account
                      and o.state_reason = new.state_reason and o.id <> new.id)
    and not exists (select 1 from accounts a where a.account = new.account and a.waits_for = new.state_reason)
begin
    insert into outbox (type, at, data)
    values ('account.paused', coalesce(new.due_at, new.created_at),
            json_object('account', new.account, 'reason', new.state_reason, 'job_id', new.id));
end;

create trigger outbox_account_waits after update of waits_for on accounts
when new.waits_for in ('insufficient_credits', 'budget') and new.waits_for is not old.waits_for
    and exists (select 1 from outbox_is_open)
    and not exists (select 1 from jobs where state = 'queued' and account = new.account
                      and state_reason = new.waits_for)
begin
    insert into outbox (type, at, data)
    values ('account.paused', new.waits_since,
            json_object('account', new.account, 'reason', new.waits_for));
end;
