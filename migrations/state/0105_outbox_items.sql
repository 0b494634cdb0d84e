-- Why: requests for an event or a search have items that are no contacts, so messages count items. The
-- three triggers on the timeline become one, which costs the same (7 microseconds an event) and reads easier.
drop trigger outbox_request_finished;
drop trigger outbox_request_awaits_approval;
drop trigger outbox_job_in_doubt;

create trigger outbox_timeline after insert on request_events
when new.event in ('done', 'cancelled', 'rejected', 'awaiting_approval', 'answer_lost', 'stayed_unclear')
    and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    select 'request.finished', new.at, json_object(
        'request_id', r.id, 'status', r.status,
        'items', (select count(*) from items i where i.request_id = r.id),
        'outcomes', json((select json_group_object(outcome, items) from
            (select outcome, count(*) as items from items i where i.request_id = r.id group by outcome))),
        'committed_credits', r.committed_credits)
    from requests r
    where r.id = new.request_id and r.finished_at is not null and new.event in ('done', 'cancelled', 'rejected');

    insert into outbox (type, at, data)
    select 'request.awaiting_approval', new.at, json_object(
        'request_id', r.id,
        'items', (select count(*) from items i where i.request_id = r.id),
        'quoted_credits', r.quoted_credits)
    from requests r
    where r.id = new.request_id and r.status = 'awaiting_approval' and new.event = 'awaiting_approval';

    -- Once when an answer is lost, and once more when looking has not settled it and a person has to decide.
    insert into outbox (type, at, data)
    select 'job.in_doubt', new.at, json_object(
        'job_id', j.id, 'account', j.account,
        'needs_decision', json(iif(j.state_reason = 'needs_decision', 'true', 'false')),
        'items', j.contacts, 'credits_at_most', j.cost,
        'request_ids', json((select json_group_array(request_id) from
            (select distinct request_id from items i where i.job_id = j.id order by request_id))))
    from jobs j
    where j.id = new.job_id and j.state = 'in_doubt' and new.event in ('answer_lost', 'stayed_unclear');
end;
