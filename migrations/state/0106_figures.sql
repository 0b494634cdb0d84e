-- Why: /metrics tells of all history, and a scrape must not read all history. Triggers keep these few
-- rows in the transaction of each change, so that no path can forget them; the integration tests compare
-- them with the tables after every test.
create table figures (
    name text not null check (name in ('jobs', 'items', 'spent', 'settlements', 'unexplained',
        'settled_at', 'ended_at')),
    account text not null,
    -- A state, an outcome or a verdict; empty for the others.
    label text not null,
    value integer not null,
    primary key (name, account, label)
) strict, without rowid;

-- jobs: how many are in each state. ended_at: when the last one came to its end.
create trigger figures_job_added after insert on jobs
begin
    insert into figures values ('jobs', new.account, new.state, 1)
    on conflict do update set value = value + 1;
end;
create trigger figures_job_moved after update of state on jobs when new.state <> old.state
begin
    update figures set value = value - 1 where name = 'jobs' and account = old.account and label = old.state;
    insert into figures values ('jobs', new.account, new.state, 1)
    on conflict do update set value = value + 1;
end;
create trigger figures_job_ended after update of finished_at on jobs
when new.finished_at is not null and old.finished_at is null
begin
    insert into figures values ('ended_at', new.account, '', new.finished_at)
    on conflict do update set value = max(value, excluded.value);
end;

-- items: how often an item got each outcome. It never falls: one that is resumed gets another one later.
create trigger figures_item_added after insert on items when new.outcome <> 'pending'
begin
    insert into figures values ('items', new.account, new.outcome, 1)
    on conflict do update set value = value + 1;
end;
create trigger figures_item_settled after update of outcome on items
when new.outcome <> old.outcome and new.outcome <> 'pending'
begin
    insert into figures values ('items', new.account, new.outcome, 1)
    on conflict do update set value = value + 1;
end;

-- spent: credits booked. The ledger is append-only, so this never falls either.
create trigger figures_charged after insert on ledger when new.entry = 'charge'
begin
    insert into figures values ('spent', new.account, '', new.credits)
    on conflict do update set value = value + excluded.value;
end;

-- settlements: by verdict. settled_at and unexplained are the last one's: credits that left the balance
-- beyond what was expected, or (negative) less than that.
create trigger figures_settled after update of verdict on windows
when new.verdict is not null and old.verdict is null
begin
    insert into figures values ('settlements', new.account, new.verdict, 1)
    on conflict do update set value = value + 1;
    insert into figures values ('settled_at', new.account, '', new.closed_at)
    on conflict do update set value = excluded.value;
    insert into figures values ('unexplained', new.account, '', case new.verdict
        when 'overspent' then new.spent - new.expected_max
        when 'underspent' then new.spent - new.expected_min
        else 0 end)
    on conflict do update set value = excluded.value;
end;

-- What was there before.
insert into figures select 'jobs', account, state, count(*) from jobs group by account, state;
insert into figures select 'ended_at', account, '', max(finished_at) from jobs
    where finished_at is not null group by account;
insert into figures select 'items', account, outcome, count(*) from items
    where outcome <> 'pending' group by account, outcome;
insert into figures select 'spent', account, '', sum(credits) from ledger where entry = 'charge' group by account;
insert into figures select 'settlements', account, verdict, count(*) from windows
    where verdict is not null group by account, verdict;
insert into figures select 'settled_at', account, '', max(closed_at) from windows
    where verdict is not null group by account;
