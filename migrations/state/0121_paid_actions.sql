-- Why: three more paid actions without contacts: the visitor layer of an event, both of its layers, and the events of a
-- person. Their results stand in the same view, and its index finds their requests, too.
drop view action_results;
create view action_results as
select r.id as request_id, r.reference, r.account, r.action, r.event_id, r.query,
       case
           when r.finished_at is null then 'pending'
           when exists (select 1 from items i where i.request_id = r.id and i.outcome = 'delivered')
               then case
                   when r.action in ('search_exhibitor_companies', 'search_exhibitor_events',
                                     'search_personnel_events') then 'found'
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
       case
           when r.action in ('unlock_event_contacts', 'unlock_event_visitors', 'unlock_event_full_access')
               then (select d.result from direct_results d where d.request_id = r.id)
           else (select json_group_array(json(found.value))
                 from (select d.result from direct_results d join items i on i.id = d.item_id
                       where d.request_id = r.id order by cast(i.personnel_id as integer)) page,
                      json_each(page.result) found
                 where found.type in ('object', 'array')
                 having count(*) > 0)
       end as result,
       strftime('%Y-%m-%dT%H:%M:%fZ', r.finished_at / 1000.0, 'unixepoch') as resolved_at
from requests r
where r.action in ('unlock_event_contacts', 'unlock_event_visitors', 'unlock_event_full_access',
                   'search_exhibitor_companies', 'search_exhibitor_events', 'search_personnel_events');

drop index requests_direct;
create index requests_direct on requests (id)
    where action in ('unlock_event_contacts', 'unlock_event_visitors', 'unlock_event_full_access',
                     'search_exhibitor_companies', 'search_exhibitor_events', 'search_personnel_events');
