-- Why: what another program writes over a row that was taken is noticed without reading the whole
-- table: an approval, a cancellation, a status that is only the worker's to write.
-- Triggers run in the writer's own SQLite, however old, and its `INSERT OR …` or `UPDATE OR …` takes the
-- place of every conflict clause inside them. So nothing in them can meet a conflict.

-- Rows that somebody else has written since the worker last looked at them.
create table inbox_written (
    id integer primary key,
    -- Its status before; 'new' for one that was inserted with another status.
    was text not null,
    -- Goes up with each write, so that one after the look is not taken for seen.
    times integer not null
) strict;

-- 1 inside the worker's own transactions, so nobody else ever sees it.
create table inbox_worker (is_writing integer not null) strict;
insert into inbox_worker (is_writing) values (0);

create trigger inbox_row_inserted after insert on inbox
when new.status <> 'new'
begin
    insert into inbox_written (id, was, times)
    select new.id, 'new', 1 where not exists (select 1 from inbox_written where id = new.id);
end;

create trigger inbox_row_written
after update of approved, status, reason, quoted_credits, finished_at on inbox
when (select is_writing from inbox_worker) = 0
    and (new.approved <> old.approved or new.status <> old.status or new.reason is not old.reason
        or new.quoted_credits is not old.quoted_credits or new.finished_at is not old.finished_at)
begin
    update inbox_written set times = times + 1 where id = new.id;
    insert into inbox_written (id, was, times)
    select new.id, old.status, 1 where not exists (select 1 from inbox_written where id = new.id);
end;
