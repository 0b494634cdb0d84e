-- Why: the public contract names this view for the actions that have no contacts. This version does
-- not carry them out yet and rejects such requests; the view says so with the contract's own words.
create view action_results as
select id as request_id, reference, account, action, event_id, query,
       iif(status in ('rejected', 'cancelled'), status, 'pending') as outcome,
       cast(null as integer) as credits_used,
       cast(null as text) as result,
       strftime('%Y-%m-%dT%H:%M:%fZ', finished_at / 1000.0, 'unixepoch') as resolved_at
from requests
where action in ('unlock_event_contacts', 'search_exhibitor_companies', 'search_exhibitor_events');
