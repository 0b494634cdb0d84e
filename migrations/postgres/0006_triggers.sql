-- Why: rules that hold for whoever writes (what is appended only, what is erased and not changed), and what is
-- counted and numbered as rows are written. A trigger runs once for a statement where a set is enough.
-- After an update, what is new is `new_rows` without `old_rows`, and not a join of them: a plan is made for the
-- first set, and kept for larger ones.

create function refuse() returns trigger language plpgsql as $$
begin
    raise exception using message = tg_argv[0], errcode = 'integrity_constraint_violation';
end
$$;

create trigger ledger_is_append_only before update or delete or truncate on ledger
for each statement execute function refuse('the ledger is append-only');

create trigger request_events_is_append_only before update or truncate on request_events
for each statement execute function refuse('the timeline is append-only');

create trigger contact_values_are_never_deleted before delete or truncate on contact_values
for each statement execute function refuse('a value is erased, not deleted');

-- At equal length as in SQLite, where the old value must be written over. Here it is gone after VACUUM.
create trigger contact_values_are_erased_at_equal_length before update on contact_values
for each row
when (new.id <> old.id or new.item_id <> old.item_id or new.stored_at <> old.stored_at
      or new.is_erased <> 1 or octet_length(new.value) <> octet_length(old.value))
execute function refuse('a value is erased at equal length, and not changed');

create function account_owner() returns trigger language plpgsql as $$
begin
    new.owner := new.account;
    return new;
end
$$;
create trigger account_owner before insert on accounts for each row when (new.owner is null)
execute function account_owner();

create function add_figure(figure text, of_account text, with_label text, more bigint) returns void language sql
begin atomic
    insert into figures (name, account, label, value) values (figure, of_account, with_label, more)
    on conflict (name, account, label) do update set value = figures.value + excluded.value;
end;

create function set_figure(figure text, of_account text, known bigint) returns void language sql
begin atomic
    insert into figures (name, account, label, value) values (figure, of_account, '', known)
    on conflict (name, account, label) do update set value = excluded.value;
end;

-- Counts outcomes, and gives each contact's the next number of `contact_changes`.
-- Who follows these numbers must not meet a lower one later. A sequence alone does not promise that: of two open
-- transactions, the one with the higher number may commit first. So who takes numbers holds a lock to the end of its
-- transaction, with any number of writers.
create function settle_items(settled bigint[]) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock('changes'::regclass::oid::bigint);
    perform add_figure('items', i.account, i.outcome, count(*))
    from items i where i.id = any (settled) group by i.account, i.outcome;
    insert into changes (at, item_id, outcome, source)
    select i.resolved_at, i.id, i.outcome, i.source from items i
    where i.id = any (settled) and i.action in ('unlock_contact_emails', 'unlock_contact_phones')
    order by i.id;
end
$$;

create function items_added() returns trigger language plpgsql as $$
declare
    settled bigint[] := array(select id from new_rows where outcome <> 'pending');
begin
    if cardinality(settled) > 0 then
        perform tell_contacts(settled);
        perform settle_items(settled);
    end if;
    return null;
end
$$;
create trigger items_added after insert on items referencing new table as new_rows
for each statement execute function items_added();

create function items_changed() returns trigger language plpgsql as $$
declare
    settled bigint[] := array(
        select id from (select id, outcome from new_rows where outcome <> 'pending'
                        except select id, outcome from old_rows) as one);
begin
    if cardinality(settled) > 0 then
        perform tell_contacts(array(
            select unnest(settled) intersect select id from old_rows where outcome = 'pending'));
        perform settle_items(settled);
    end if;
    return null;
end
$$;
create trigger items_changed after update on items referencing old table as old_rows new table as new_rows
for each statement execute function items_changed();

create function jobs_added() returns trigger language plpgsql as $$
begin
    perform add_figure('jobs', account, state, count(*)) from new_rows group by account, state;
    return null;
end
$$;
create trigger jobs_added after insert on jobs referencing new table as new_rows
for each statement execute function jobs_added();

create function jobs_changed() returns trigger language plpgsql as $$
declare
    lacking bigint[] := array(
        select id from (select id, state_reason from new_rows
                        where state = 'queued' and state_reason in ('insufficient_credits', 'budget')
                        except select id, state_reason from old_rows) as one);
begin
    perform add_figure('jobs', account, state, sum(more)::bigint)
    from (select account, state, 1 as more from new_rows union all select account, state, -1 from old_rows) as one
    group by account, state having sum(more) <> 0;
    insert into figures (name, account, label, value)
    select 'ended_at', account, '', max(finished_at) from new_rows where finished_at is not null group by account
    on conflict (name, account, label) do update set value = greatest(figures.value, excluded.value);
    if cardinality(lacking) > 0 then
        perform tell_lack(lacking);
    end if;
    return null;
end
$$;
create trigger jobs_changed after update on jobs referencing old table as old_rows new table as new_rows
for each statement execute function jobs_changed();

create function ledger_added() returns trigger language plpgsql as $$
begin
    perform add_figure('spent', account, '', sum(credits)::bigint)
    from new_rows where entry = 'charge' group by account;
    return null;
end
$$;
create trigger ledger_added after insert on ledger referencing new table as new_rows
for each statement execute function ledger_added();

create function window_settled() returns trigger language plpgsql as $$
begin
    perform add_figure('settlements', new.account, case when new.lapsed = 1 then 'lapsed' else new.verdict end, 1);
    perform set_figure('settled_at', new.account, new.closed_at);
    perform set_figure('unexplained', new.account, case new.verdict
        when 'overspent' then new.spent - new.expected_max
        when 'underspent' then new.spent - new.expected_min
        else 0 end);
    return null;
end
$$;
create trigger window_settled after update on windows for each row
when (new.verdict is not null and old.verdict is null)
execute function window_settled();
