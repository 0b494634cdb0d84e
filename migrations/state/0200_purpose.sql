-- Why: the same, where the decision is made.
alter table requests add column agent text;
alter table requests add column purpose text;
