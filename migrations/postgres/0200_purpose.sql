-- Why: as step 0200 of migrations/state and step 0005 of migrations/inbox: a person who decides sees whether an agent
-- asked, and what the contacts are for.
alter table requests add column agent text collate "C";
alter table requests add column purpose text collate "C";
alter table inbox add column agent text collate "C";
alter table inbox add column purpose text collate "C";
