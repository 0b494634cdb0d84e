-- Why: what notify.url is told must be neither lost nor invented by a crash, so a message is written in the
-- transaction of the change that it tells of. A message holds ids, counts, credits and the caller's reference.
-- row_to_json: the same text as SQLite's json_object.

-- Whether a type of message is wanted; while notify.events was not read yet: `unless_said`.
create function is_wanted(message text, unless_said boolean) returns boolean language sql stable
begin atomic
    select exists (select 1 from outbox_is_open
                   where coalesce(strpos(events, '"' || message || '"') > 0, unless_said));
end;

create function outbox_wanted() returns trigger language plpgsql as $$
begin
    if is_wanted(new.type, true) then
        return new;
    end if;
    return null;
end
$$;
create trigger outbox_wanted before insert on outbox for each row execute function outbox_wanted();

-- Contacts whose outcome is known now.
create function tell_contacts(resolved bigint[]) returns void language plpgsql as $$
begin
    if cardinality(resolved) > 0 and is_wanted('contact.resolved', false) then
        insert into outbox (type, at, data)
        select 'contact.resolved', i.resolved_at, row_to_json(told)
        from items i
        cross join lateral (
            select i.request_id, (select r.reference from requests r where r.id = i.request_id) as reference,
                   i.account, i.action, i.event_id, i.personnel_id, i.outcome, i.source) as told
        where i.id = any (resolved) and i.action in ('unlock_contact_emails', 'unlock_contact_phones')
        order by i.id;
    end if;
end
$$;

-- Accounts and their names come from the configuration.
create function tell_paused(of_account text, since bigint, why text) returns void language sql
begin atomic
    insert into outbox (type, at, data)
    select 'account.paused', since, row_to_json(told)
    from (select of_account as account, why as reason) as told
    where exists (select 1 from outbox_is_open);
end;

create function account_stopped() returns trigger language plpgsql as $$
begin
    if new.paused_at is not null and old.paused_at is null then
        perform tell_paused(new.account, new.paused_at, case new.paused_at
            when new.restored_at then 'restored' when new.overcharged_at then 'overcharged' else 'person' end);
    end if;
    if new.refused_key is not null and new.refused_key is distinct from old.refused_key then
        perform tell_paused(new.account, new.key_refused_at, 'invalid_api_key');
    end if;
    -- Unless a job told it before.
    if new.waits_for in ('insufficient_credits', 'budget') and new.waits_for is distinct from old.waits_for
        and not exists (select 1 from jobs
                        where state = 'queued' and account = new.account and state_reason = new.waits_for) then
        perform tell_paused(new.account, new.waits_since, new.waits_for);
    end if;
    return null;
end
$$;
create trigger account_stopped after update on accounts for each row
when (new.paused_at is distinct from old.paused_at or new.refused_key is distinct from old.refused_key
      or new.waits_for is distinct from old.waits_for)
execute function account_stopped();

-- Of the jobs that began to wait for credits in one statement, the first of an account tells it, unless a job or the
-- account told it before.
create function tell_lack(began bigint[]) returns void language plpgsql as $$
begin
    insert into outbox (type, at, data)
    select 'account.paused', coalesce(j.due_at, j.created_at), row_to_json(told)
    from jobs j
    cross join lateral (select j.account, j.state_reason as reason, j.id as job_id) as told
    where j.id in (select min(one.id) from jobs one where one.id = any (began) group by one.account, one.state_reason)
      and exists (select 1 from outbox_is_open)
      and not exists (select 1 from jobs o
                      where o.state = 'queued' and o.account = j.account and o.state_reason = j.state_reason
                        and o.id <> all (began))
      and not exists (select 1 from accounts a where a.account = j.account and a.waits_for = j.state_reason)
    order by j.id;
end
$$;

create function request_events_added() returns trigger language plpgsql as $$
begin
    if not exists (select 1 from outbox_is_open) then
        return null;
    end if;

    insert into outbox (type, at, data)
    select 'request.finished', n.at, row_to_json(told)
    from new_rows n
    cross join lateral (
        select r.id as request_id, r.reference, r.status,
               (select count(*) from items i where i.request_id = r.id) as items,
               (select ('{' || coalesce(string_agg(to_json(o.outcome)::text || ':' || o.items, ',' order by o.outcome), '')
                        || '}')::json
                from (select i.outcome, count(*) as items from items i where i.request_id = r.id group by i.outcome) as o)
                   as outcomes,
               r.committed_credits
        from requests r where r.id = n.request_id and r.finished_at is not null) as told
    where n.event in ('done', 'cancelled', 'rejected')
    order by n.id;

    insert into outbox (type, at, data)
    select 'request.awaiting_approval', n.at, row_to_json(told)
    from new_rows n
    cross join lateral (
        select r.id as request_id, r.reference, (select count(*) from items i where i.request_id = r.id) as items,
               r.quoted_credits
        from requests r where r.id = n.request_id and r.status = 'awaiting_approval') as told
    where n.event = 'awaiting_approval'
    order by n.id;

    -- Once when an answer is lost, and once more when looking has not settled it and a person has to decide.
    insert into outbox (type, at, data)
    select 'job.in_doubt', n.at, row_to_json(told)
    from new_rows n
    cross join lateral (
        select j.id as job_id, j.account, coalesce(j.state_reason = 'needs_decision', false) as needs_decision,
               j.contacts as items, j.cost as credits_at_most,
               array(select distinct i.request_id from items i where i.job_id = j.id order by i.request_id)
                   as request_ids,
               array(select distinct r.reference from items i join requests r on r.id = i.request_id
                     where i.job_id = j.id and r.reference is not null order by r.reference limit 100) as "references"
        from jobs j where j.id = n.job_id and j.state = 'in_doubt') as told
    where n.event in ('answer_lost', 'stayed_unclear')
    order by n.id;
    return null;
end
$$;
create trigger request_events_added after insert on request_events referencing new table as new_rows
for each statement execute function request_events_added();
