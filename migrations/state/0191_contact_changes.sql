-- Why: a program that mirrors results reads what is new since it looked last. The time of an outcome is no order to
-- follow: two outcomes may share one, and an outcome may change. So each settled outcome gets the next number. There
-- is one writer, so a number that appears later is greater.
create table changes (
    seq integer primary key autoincrement,
    at integer not null,
    item_id integer not null,
    outcome text not null,
    source text
) strict;

create trigger changes_item_added after insert on items
when new.outcome <> 'pending' and new.action in ('unlock_contact_emails', 'unlock_contact_phones')
begin
    insert into changes (at, item_id, outcome, source)
    values (new.resolved_at, new.id, new.outcome, new.source);
end;
create trigger changes_item_settled after update of outcome on items
when new.outcome <> old.outcome and new.outcome <> 'pending'
    and new.action in ('unlock_contact_emails', 'unlock_contact_phones')
begin
    insert into changes (at, item_id, outcome, source)
    values (new.resolved_at, new.id, new.outcome, new.source);
end;

-- What was settled before, in its order.
insert into changes (at, item_id, outcome, source)
select resolved_at, id, outcome, source from items
where outcome <> 'pending' and action in ('unlock_contact_emails', 'unlock_contact_phones')
order by resolved_at, id;

create view contact_changes as
select c.seq, strftime('%Y-%m-%dT%H:%M:%fZ', c.at / 1000.0, 'unixepoch') as at, i.request_id, r.reference, i.account,
       i.action, i.event_id, i.personnel_id, c.outcome, c.source
from changes c
join items i on i.id = c.item_id
join requests r on r.id = i.request_id
where r.removed_at is null;
