-- Why: a person who decides sees whether an agent asked, and what the contacts are for.
alter table inbox add column agent text;
alter table inbox add column purpose text;
