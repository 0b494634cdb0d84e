-- Why: people are told at 50, 80 and 100 % of a limit on credits, and when an hour costs three times the usual, once for
-- each part and period. A row is what was told; its message for notify.url is written with it. The outbox is made anew
-- since its check names the types; its few rows are kept.
create table budget_warnings (
    id integer primary key,
    -- The owner, or the name of the token.
    subject text not null,
    limit_name text not null check (limit_name in ('daily_limit', 'monthly_limit', 'token_daily_credits', 'usual_hour')),
    -- The start of the day, month or hour.
    period integer not null,
    percent integer not null check (percent in (50, 80, 100)),
    spent integer not null,
    -- The limit: another one is told anew.
    credits integer not null,
    at integer not null,
    unique (subject, limit_name, period, credits, percent)
) strict;
create index budget_warnings_by_period on budget_warnings (period);
create index budget_warnings_by_age on budget_warnings (at);

create table outbox_kept as select * from outbox;
drop table outbox;
create table outbox (
    id integer primary key autoincrement,
    -- The receiver's key against duplicates (webhook-id): the same at every attempt.
    message_id text not null unique default ('msg_' || lower(hex(randomblob(16)))),
    type text not null check (type in ('request.finished', 'request.awaiting_approval', 'job.in_doubt',
        'account.paused', 'contact.resolved', 'budget.warning')),
    at integer not null,
    data text not null check (json_valid(data)),
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'given_up')),
    attempts integer not null default 0,
    due_at integer not null default 0,
    ended_at integer,
    check ((state = 'waiting') = (ended_at is null))
) strict;
insert into outbox (id, message_id, type, at, data, state, attempts, due_at, ended_at)
select id, message_id, type, at, data, state, attempts, due_at, ended_at from outbox_kept;
drop table outbox_kept;
create index outbox_waiting on outbox (due_at) where state = 'waiting';
create index outbox_ended on outbox (ended_at) where state <> 'waiting';

create trigger outbox_wanted before insert on outbox
when not exists (select 1 from outbox_is_open where coalesce(instr(events, '"' || new.type || '"'), 1) > 0)
begin
    select raise(ignore);
end;

create trigger outbox_budget_warning after insert on budget_warnings
when exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    values ('budget.warning', new.at, json_object('limit', new.limit_name,
        iif(new.limit_name = 'token_daily_credits', 'token', 'owner'), new.subject,
        'percent', new.percent, 'spent', new.spent, 'credits', new.credits,
        'since', strftime('%Y-%m-%dT%H:%M:%SZ', new.period / 1000, 'unixepoch')));
end;
