-- Why: a worker that finds an older copy of its database submits nothing until a person resumes, and
-- from then on asks what each batch would cost, since only the API knows what was bought meanwhile.
alter table accounts add column restored_at integer;
