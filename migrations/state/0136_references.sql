-- Why: callers know their requests by reference. Lists, exports and cancellations find them by it, also among a
-- million; a webhook message carries it, so that its receiver need not ask which request an id is.
create index requests_by_reference on requests (reference, id) where reference is not null;

drop trigger outbox_timeline;
create trigger outbox_timeline after insert on request_events
when new.event in ('done', 'cancelled', 'rejected', 'awaiting_approval', 'answer_lost', 'stayed_unclear')
    and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    select 'request.finished', new.at, json_object(
        'request_id', r.id, 'reference', r.reference, 'status', r.status,
        'items', (select count(*) from items i where i.request_id = r.id),
        'outcomes', json((select json_group_object(outcome, items) from
            (select outcome, count(*) as items from items i where i.request_id = r.id group by outcome))),
        'committed_credits', r.committed_credits)
    from requests r
    where r.id = new.request_id and r.finished_at is not null and new.event in ('done', 'cancelled', 'rejected');

    insert into outbox (type, at, data)
    select 'request.awaiting_approval', new.at, json_object(
        'request_id', r.id, 'reference', r.reference,
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
            (select distinct request_id from items i where i.job_id = j.id order by request_id))),
        'references', json((select json_group_array(reference) from
            (select distinct r.reference from items i join requests r on r.id = i.request_id
             where i.job_id = j.id and r.reference is not null order by r.reference limit 100))))
    from jobs j
    where j.id = new.job_id and j.state = 'in_doubt' and new.event in ('answer_lost', 'stayed_unclear');
end;
