-- Why: the same indexes as in SQLite. Where one differs, the reason stands beside it.

create index attempts_by_job on attempts (job_id);
create index balance_snapshots_by_owner on balance_snapshots (owner, id);
create index balance_snapshots_by_time on balance_snapshots (taken_at);
create index caller_credits_by_caller on caller_credits (caller, at);
create index charge_parts_by_entry on charge_parts (ledger_id);
create index contact_values_to_erase on contact_values (stored_at) where is_erased = 0;
create index direct_results_by_request on direct_results (request_id);
create index items_by_contact on items (personnel_id, account, action);
create index items_by_job on items (job_id, personnel_id) where job_id is not null;
create index items_oldest_waiting on items (account, action, id) where state = 'waiting';
create index items_open on items (request_id) where state <> 'done';
create index items_reading on items (account, read_at) where state = 'reading';
create index items_waiting on items (account, action, event_id, id) where state = 'waiting';
create index jobs_divided on jobs (divided_from) where divided_from is not null;
create index jobs_ended_by_state on jobs (state, id) where finished_at is not null;
create index jobs_expired on jobs (account) where state = 'expired';
create index jobs_in_doubt on jobs (account, due_at) where state = 'in_doubt';
create index jobs_open on jobs (id) where finished_at is null;
create index jobs_queued on jobs (account, id) where state = 'queued';
create index jobs_submitting on jobs (id) where state = 'submitting';
create index jobs_task on jobs (task_id) where task_id is not null;
create index jobs_to_poll on jobs (account, next_poll_at) where state = 'polling';
create index jobs_window on jobs (window_id) where window_id is not null;
create index ledger_by_job on ledger (job_id);
create index ledger_charges on ledger (account, at) where entry = 'charge';
create index ledger_charges_by_time on ledger (at) where entry = 'charge';
create index outbox_ended on outbox (ended_at) where state <> 'waiting';
create index outbox_waiting on outbox (due_at) where state = 'waiting';
create index recent_calls_by_account on recent_calls (account, sent_at);
create index request_events_by_job on request_events (job_id) where job_id is not null;
create index request_events_by_request on request_events (request_id) where request_id is not null;
-- An index entry holds 2,700 bytes at most, and a reference may have 1,000 characters of four bytes.
create index requests_by_reference on requests (substr(reference, 1, 200), id) where reference is not null;
-- A row that is rejected keeps its task_id as it was, up to 1,000 characters.
create index requests_by_task on requests using hash (task_id) where task_id is not null;
create index requests_direct on requests (id)
    where action in ('unlock_event_contacts', 'unlock_event_visitors', 'unlock_event_full_access',
                     'search_exhibitor_companies', 'search_exhibitor_events', 'search_personnel_events');
create index requests_ended on requests (finished_at) where finished_at is not null;
create index requests_ended_by_status on requests (status, id) where finished_at is not null;
create index requests_inbox_is_behind on requests (id) where inbox_is_behind = 1;
create index requests_open on requests (id) where finished_at is null;
create index requests_to_remove on requests (finished_at) where finished_at is not null and removed_at is null;
create index windows_by_closing on windows (closing_snapshot) where closing_snapshot is not null;
create index windows_by_opening on windows (opening_snapshot) where opening_snapshot is not null;
create index windows_by_owner on windows (owner, id);
create unique index windows_open on windows (owner) where closed_at is null;
create index windows_overspent on windows (owner, closed_at) where verdict = 'overspent';
