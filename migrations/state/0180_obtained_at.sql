-- Why: a result that this database already had is resolved now, but its value was read earlier, so a reader who keeps the
-- newest by resolved_at replaced newer data. The view says when the value was read, and leaves out requests that
-- retention.history removed.
drop view contact_outcomes;

-- Of a value that was copied from another item: when that was read. Null: at resolved_at.
alter table items add column obtained_at integer;

update items set obtained_at = (
    select max(had.resolved_at) from items had
    where had.personnel_id = items.personnel_id and had.account = items.account and had.action = items.action
      and had.outcome = 'delivered' and had.source <> 'store' and had.resolved_at <= items.resolved_at)
where source = 'store';

create view contact_outcomes as
select i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id, i.outcome,
       iif(i.action = 'unlock_contact_emails', v.value, null) as email,
       iif(i.action = 'unlock_contact_phones', v.value, null) as phone,
       i.error_code, i.source, i.job_id, j.task_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.resolved_at / 1000.0, 'unixepoch') as resolved_at,
       iif(i.outcome = 'delivered',
           strftime('%Y-%m-%dT%H:%M:%fZ', coalesce(i.obtained_at, i.resolved_at) / 1000.0, 'unixepoch'), null) as obtained_at
from items i
join requests r on r.id = i.request_id
left join jobs j on j.id = i.job_id
left join contact_values v on v.item_id = i.id and v.is_erased = 0
where i.action in ('unlock_contact_emails', 'unlock_contact_phones') and r.removed_at is null;
