-- Why: the vendor limits each address, and each host of workers that share a database has one of its own.
-- Empty: the one worker of a database.
alter table address_limit drop column id;
alter table address_limit add column host text collate "C" not null default '' primary key;
alter table address_limit alter column host drop default;
