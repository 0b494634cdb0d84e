-- Why: what other programs read. The same rows, columns and texts as SQLite's views.

create view contact_outcomes as
select i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id, i.outcome,
       case when i.action = 'unlock_contact_emails' then v.value end as email,
       case when i.action = 'unlock_contact_phones' then v.value end as phone,
       i.error_code, i.source, i.job_id, j.task_id,
       utc_text(i.resolved_at) as resolved_at,
       case when i.outcome = 'delivered' then utc_text(coalesce(i.obtained_at, i.resolved_at)) end as obtained_at
from items i
join requests r on r.id = i.request_id
left join jobs j on j.id = i.job_id
left join contact_values v on v.item_id = i.id and v.is_erased = 0
where i.action in ('unlock_contact_emails', 'unlock_contact_phones') and r.removed_at is null;

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
       (select sum(d.credits_used)::bigint from direct_results d where d.request_id = r.id) as credits_used,
       case
           when r.action in ('unlock_event_contacts', 'unlock_event_visitors', 'unlock_event_full_access')
               then (select d.result from direct_results d where d.request_id = r.id order by d.item_id limit 1)
           -- The pages in the order of their numbers, which are in `personnel_id`, without zeros in front.
           else (select '[' || string_agg(found.value::text, ','
                                          order by length(i.personnel_id), i.personnel_id, found.place) || ']'
                 from direct_results d
                 join items i on i.id = d.item_id
                 cross join lateral json_array_elements(d.result::json) with ordinality as found (value, place)
                 where d.request_id = r.id and json_typeof(d.result::json) = 'array'
                   and json_typeof(found.value) in ('object', 'array'))
       end as result,
       utc_text(r.finished_at) as resolved_at
from requests r
where r.action in ('unlock_event_contacts', 'unlock_event_visitors', 'unlock_event_full_access',
                   'search_exhibitor_companies', 'search_exhibitor_events', 'search_personnel_events');

create view contact_changes as
select c.seq, utc_text(c.at) as at, i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id,
       c.outcome, c.source
from changes c
join items i on i.id = c.item_id
join requests r on r.id = i.request_id
where r.removed_at is null;

create view credit_audit as
select account, utc_text(opened_at) as opened_at, utc_text(closed_at) as closed_at,
       jobs, expected_min, expected_max, balance_before, balance_after, spent,
       case when lapsed = 1 then 'lapsed' else verdict end as verdict, owner
from windows
where closed_at is not null;

-- For each account the accounts of its owner, itself included.
create view pools as
select a.account, other.account as member from accounts a join accounts other on other.owner = a.owner;

create view spend as
select to_char(to_timestamp(l.at / 1000.0) at time zone 'UTC', 'YYYY-MM-DD') as day, l.account, j.action, r.reference,
       count(distinct l.job_id) as jobs,
       sum(case when j.action in ('unlock_contact_emails', 'unlock_contact_phones') then p.contacts else 0 end)::bigint
           as contacts,
       sum(p.credits)::bigint as credits
from ledger l
join charge_parts p on p.ledger_id = l.id
join jobs j on j.id = l.job_id
left join requests r on r.id = p.request_id
where l.entry = 'charge'
group by 1, 2, 3, 4;
