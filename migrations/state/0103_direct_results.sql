-- Why: the unlock of an event and the searches answer with their result at once. Each of their paid
-- calls is an item like a contact, keyed in `personnel_id` by the event's id or the page's number;
-- what it brought and cost is here, and the views keep the two kinds apart.
create table direct_results (
    item_id integer primary key references items (id),
    request_id integer not null references requests (id),
    -- By the API's own word for an event, by the price when a search found something. An item that
    -- joined another request's call has cost nothing.
    credits_used integer not null check (credits_used >= 0),
    -- An event: an object with identity, balance after and access mode. A page: its items.
    result text not null check (json_type(result) in ('object', 'array')),
    at integer not null
) strict;
create index direct_results_by_request on direct_results (request_id);

drop view contact_outcomes;
create view contact_outcomes as
select i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id, i.outcome,
       i.email, i.phone, i.error_code, i.source, i.job_id, j.task_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.resolved_at / 1000.0, 'unixepoch') as resolved_at
from items i
join requests r on r.id = i.request_id
left join jobs j on j.id = i.job_id
where i.action in ('unlock_contact_emails', 'unlock_contact_phones');

drop view action_results;
create view action_results as
select r.id as request_id, r.reference, r.account, r.action, r.event_id, r.query,
       case
           when r.finished_at is null then 'pending'
           when exists (select 1 from items i where i.request_id = r.id and i.outcome = 'delivered')
               then case
                   when r.action <> 'unlock_event_contacts' then 'found'
                   -- Read, not bought.
                   when exists (select 1 from items i where i.request_id = r.id and i.source = 'profile')
                       then 'already_unlocked'
                   else 'unlocked'
               end
           when exists (select 1 from items i where i.request_id = r.id and i.outcome = 'no_value')
               then 'nothing_found'
           when exists (select 1 from items i where i.request_id = r.id and i.outcome = 'rejected')
               then 'rejected'
           -- Given up by a person, before it was sent or after its answer was lost.
           when exists (select 1 from items i where i.request_id = r.id) then 'cancelled'
           else r.status
       end as outcome,
       (select sum(d.credits_used) from direct_results d where d.request_id = r.id) as credits_used,
       case r.action
           when 'unlock_event_contacts' then (select d.result from direct_results d where d.request_id = r.id)
           else (select json_group_array(json(found.value))
                 from (select d.result from direct_results d join items i on i.id = d.item_id
                       where d.request_id = r.id order by cast(i.personnel_id as integer)) page,
                      json_each(page.result) found
                 where found.type in ('object', 'array')
                 having count(*) > 0)
       end as result,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.finished_at / 1000.0, 'unixepoch') as resolved_at
from requests r
where r.action in ('unlock_event_contacts', 'search_exhibitor_companies', 'search_exhibitor_events');
