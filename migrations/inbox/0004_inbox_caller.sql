-- Why: a row that came over the HTTP API names its caller, so that people see who asked, and a caller that may only
-- propose writes rows that always wait for a person. Other programs may use both columns, too.
alter table inbox add column caller text;
alter table inbox add column needs_approval integer not null default 0;
