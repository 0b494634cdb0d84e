-- What the roles may not do, on PostgreSQL: each statement must fail. Run as the producer `crm`, who has rows of its own.
select * from contact_outcomes;
select * from contact_values;
select * from jobs;
update inbox set status = 'done', reason = 'mine' where true;
delete from inbox where true;
insert into inbox (id, personnel_ids) values (1000000, '["1"]');
insert into inbox (personnel_ids, status) values ('["1"]', 'done');
truncate inbox;
drop table inbox;
create table mine (id int);
