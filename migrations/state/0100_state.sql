-- Why: the worker's own truth: requests, items, jobs, submission attempts, ledger and settlements.
-- Each column that belongs to a state is tied to it by a check, so that a row cannot say two things.

-- What is known about an account between two starts. Absent until first needed.
create table accounts (
    account text primary key,
    -- A person stopped submitting (unlockd pause).
    paused_at integer,
    -- The key with this fingerprint was refused with 401 at this time. Another key clears it.
    key_refused_at integer,
    refused_key text,
    -- A person asked that parked and expired work be tried again (unlockd resume).
    resumed_at integer,
    -- The rate limit as last learned; see domain/rate.rs.
    rate_limit integer,
    rate_window_ms integer,
    rate_remaining integer,
    rate_resets_at integer,
    blocked_until integer,
    check ((key_refused_at is null) = (refused_key is null)),
    check ((rate_remaining is null) = (rate_resets_at is null))
) strict;

-- The calls of the last window, so that a crash loop cannot burst.
create table recent_calls (
    id integer primary key,
    account text not null,
    sent_at integer not null
) strict;
create index recent_calls_by_account on recent_calls (account, sent_at);

-- One inbox row that was taken; its id is the inbox id, which makes intake idempotent.
create table requests (
    id integer primary key,
    account text not null,
    action text not null,
    event_id text,
    task_id text,
    query text,
    max_pages integer not null,
    reference text,
    max_credits integer,
    -- What a person has confirmed, in credits.
    approved_credits integer,
    quoted_credits integer not null,
    -- What its submissions may have cost so far; checked against max_credits and the approval.
    committed_credits integer not null default 0,
    status text not null
        check (status in ('awaiting_approval', 'accepted', 'done', 'rejected', 'cancelled')),
    reason text,
    -- SHA-256 of the row as it was taken: tells a row that was taken before from another row that
    -- has its id because the inbox file was replaced.
    row_digest text not null,
    -- 1 while the inbox table does not show this status yet. The inbox may be another file, and a
    -- commit across two files is not atomic.
    inbox_is_behind integer not null default 1 check (inbox_is_behind in (0, 1)),
    created_at integer not null,
    taken_at integer not null,
    finished_at integer,
    check ((status in ('done', 'rejected', 'cancelled')) = (finished_at is not null)),
    check (status <> 'rejected' or reason is not null)
) strict;
create index requests_inbox_is_behind on requests (id) where inbox_is_behind = 1;
create index requests_open on requests (id) where finished_at is null;

-- One remote task, or the submission that is meant to create it. domain/job.rs owns the states.
create table jobs (
    id integer primary key autoincrement,
    account text not null,
    action text not null,
    event_id text,
    task_id text,
    state text not null check (state in ('queued', 'submitting', 'in_doubt', 'polling',
        'completed', 'failed', 'lost', 'expired', 'rejected', 'cancelled')),
    state_reason text,
    poll_count integer not null default 0,
    next_poll_at integer,
    created_at integer not null,
    submitted_at integer,
    finished_at integer,
    -- Each change of the row adds one; a write that expected another version changes nothing.
    version integer not null default 0,
    -- A task that something else created: it was not paid for by us.
    adopted integer not null default 0 check (adopted in (0, 1)),
    contacts integer not null default 0,
    -- When a queued job is tried, or an in-doubt job looked at, next.
    due_at integer,
    -- Calls about this job that failed in a row.
    failures integer not null default 0,
    -- Looks at an in-doubt job, and how many of the last ones said "no effect" in a row.
    looks integer not null default 0,
    no_effect_looks integer not null default 0,
    evidence text,
    doubt_since integer,
    -- Parked by a 402: the balance must have grown beyond this before it is tried again.
    parked_balance integer,
    -- Credits: one contact's price and the cost when it was sent.
    price integer,
    cost integer,
    window_id integer references windows (id),
    check (state <> 'polling' or (task_id is not null and next_poll_at is not null)),
    check (state = 'polling' or next_poll_at is null),
    check ((finished_at is not null)
        = (state in ('completed', 'failed', 'lost', 'expired', 'rejected', 'cancelled'))),
    check (state <> 'in_doubt' or state_reason in ('looking', 'carried_out', 'needs_decision')),
    check (state <> 'in_doubt' or doubt_since is not null),
    check (state <> 'queued' or state_reason is null
        or state_reason in ('insufficient_credits', 'invalid_api_key', 'budget', 'conflict')),
    check (state not in ('queued', 'submitting') or task_id is null),
    check (state not in ('submitting', 'in_doubt') or (price is not null and cost is not null))
) strict;
create index jobs_to_poll on jobs (account, next_poll_at) where state = 'polling';
create index jobs_queued on jobs (account, id) where state = 'queued';
create index jobs_submitting on jobs (id) where state = 'submitting';
create index jobs_in_doubt on jobs (account, due_at) where state = 'in_doubt';
create index jobs_expired on jobs (account) where state = 'expired';
create index jobs_window on jobs (window_id) where window_id is not null;
create index jobs_task on jobs (task_id) where task_id is not null;

-- One row for each distinct contact of a request.
create table items (
    id integer primary key,
    request_id integer not null references requests (id),
    account text not null,
    action text not null,
    event_id text,
    personnel_id text not null,
    -- unapproved: its request waits for a person; waiting: for a batch; assigned: to job_id;
    -- reading: unlocked without a task of ours, its value is read from the profile.
    state text not null check (state in ('unapproved', 'waiting', 'assigned', 'reading', 'done')),
    job_id integer references jobs (id),
    outcome text not null default 'pending' check (outcome in ('pending', 'delivered', 'no_value',
        'failed', 'unresolved', 'not_returned', 'invalid', 'missing', 'unlinked', 'rejected',
        'cancelled', 'lost', 'expired')),
    email text,
    phone text,
    error_code text,
    source text check (source in ('task', 'profile', 'store')),
    -- When the profile is read next, how often it was, and since when.
    read_at integer,
    reads integer not null default 0,
    reading_since integer,
    -- 1: left its batch because a precheck said that it need not be paid for. If its profile says
    -- otherwise it is sent after all, and checked_at says when that was seen.
    set_aside integer not null default 0 check (set_aside in (0, 1)),
    checked_at integer,
    resolved_at integer,
    unique (request_id, personnel_id),
    check ((state = 'done') = (outcome <> 'pending')),
    check ((state = 'done') = (resolved_at is not null)),
    check ((state = 'reading') = (read_at is not null)),
    check (state <> 'assigned' or job_id is not null),
    check (outcome = 'delivered' or (email is null and phone is null)),
    check ((outcome = 'delivered') = (source is not null))
) strict;
create index items_waiting on items (account, action, event_id, id) where state = 'waiting';
create index items_oldest_waiting on items (account, id) where state = 'waiting';
create index items_reading on items (account, read_at) where state = 'reading';
create index items_open on items (request_id) where state <> 'done';
create index items_by_job on items (job_id, personnel_id) where job_id is not null;
create index items_by_contact on items (personnel_id, account, action);

-- One submission: written before the POST, finished after its answer. An unfinished row of an
-- earlier process is a submission that may have taken effect.
create table attempts (
    id integer primary key autoincrement,
    job_id integer not null references jobs (id),
    request_id text not null,
    body_digest text not null,
    contacts integer not null,
    cost integer not null,
    lease_token integer not null,
    balance_before integer,
    started_at integer not null,
    finished_at integer,
    result text check (result in ('not_sent', 'refused', 'accepted', 'nothing_chargeable', 'unknown')),
    status integer,
    error_key text,
    trace_id text,
    check ((finished_at is null) = (result is null))
) strict;
create index attempts_by_job on attempts (job_id);

-- Credits, append-only. A hold is set before the POST and released after; a charge is what a job
-- is booked with. Holds and releases of a job sum to zero once it is known what became of it.
create table ledger (
    id integer primary key autoincrement,
    at integer not null,
    account text not null,
    job_id integer not null references jobs (id),
    entry text not null check (entry in ('hold', 'release', 'charge')),
    credits integer not null,
    check ((entry = 'hold' and credits >= 0) or (entry = 'release' and credits <= 0)
        or (entry = 'charge' and credits >= 0))
) strict;
create index ledger_charges on ledger (account, at) where entry = 'charge';
create index ledger_by_job on ledger (job_id);
create trigger ledger_is_append_only_update before update on ledger
begin
    select raise(abort, 'the ledger is append-only');
end;
create trigger ledger_is_append_only_delete before delete on ledger
begin
    select raise(abort, 'the ledger is append-only');
end;

create table balance_snapshots (
    id integer primary key autoincrement,
    account text not null,
    -- When the answer was there; asked_at is when the question was sent.
    taken_at integer not null,
    cause text not null,
    total integer not null,
    subscription integer not null,
    addon integer not null,
    gift integer not null,
    asked_at integer not null
) strict;
create index balance_snapshots_by_account on balance_snapshots (account, id);

-- A stretch in which jobs of an account overlap, and its settlement once it is closed.
create table windows (
    id integer primary key autoincrement,
    account text not null,
    opened_at integer not null,
    closed_at integer,
    opening_snapshot integer references balance_snapshots (id),
    closing_snapshot integer references balance_snapshots (id),
    jobs integer,
    expected_min integer,
    expected_max integer,
    balance_before integer,
    balance_after integer,
    spent integer,
    verdict text check (verdict in ('matched', 'underspent', 'overspent', 'unknown')),
    check ((closed_at is null) = (verdict is null))
) strict;
create unique index windows_open on windows (account) where closed_at is null;

-- A price that a settlement or a precheck showed, for estimates.
create table prices (
    account text not null,
    action text not null,
    credits integer not null check (credits > 0),
    seen_at integer not null,
    primary key (account, action)
) strict;

-- The timeline, without personal data.
create table request_events (
    id integer primary key autoincrement,
    at integer not null,
    request_id integer,
    job_id integer,
    event text not null,
    detail text
) strict;
create index request_events_by_request on request_events (request_id) where request_id is not null;
create index request_events_by_job on request_events (job_id) where job_id is not null;
create trigger request_events_is_append_only before update on request_events
begin
    select raise(abort, 'the timeline is append-only');
end;

-- One worker for one database: the holder's token goes up with every change of hands, and each of
-- its writes checks it.
create table worker_lease (
    id integer primary key check (id = 1),
    token integer not null,
    pid integer not null,
    has_lock integer not null check (has_lock in (0, 1)),
    renewed_at integer not null,
    started_at integer not null
) strict;
insert into worker_lease (id, token, pid, has_lock, renewed_at, started_at) values (1, 0, 0, 1, 0, 0);

create view contact_outcomes as
select i.request_id, r.reference, i.account, i.action, i.event_id, i.personnel_id, i.outcome,
       i.email, i.phone, i.error_code, i.source, i.job_id, j.task_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.resolved_at / 1000.0, 'unixepoch') as resolved_at
from items i
join requests r on r.id = i.request_id
left join jobs j on j.id = i.job_id;

create view credit_audit as
select account,
       strftime('%Y-%m-%dT%H:%M:%fZ', opened_at / 1000.0, 'unixepoch') as opened_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', closed_at / 1000.0, 'unixepoch') as closed_at,
       jobs, expected_min, expected_max, balance_before, balance_after, spent, verdict
from windows
where closed_at is not null;
