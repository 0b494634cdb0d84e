-- Why: as step 0211 of migrations/state: the status of each row is compared without a table of all words. The index is
-- made anew as it was, so that every connection reads the text of the table again.
pragma writable_schema = on;
update sqlite_schema set sql = replace(sql,
    'status in (''new'', ''awaiting_approval'', ''accepted'', ''done'', ''rejected'', ''cancelled'')',
    '(status = ''new'' or status = ''awaiting_approval'' or status = ''accepted'' or status = ''done'' or
    status = ''rejected'' or status = ''cancelled'')')
where name = 'inbox';

drop index inbox_new;
create index inbox_new on inbox (id) where status = 'new';
pragma writable_schema = reset;
