-- Why: a contact that a job was charged for, and that brought no value, is not paid for again before a precheck names a
-- price for it. If none does, a person decides. Since when the contacts of this job may be paid for once more.
alter table jobs add column bought_again_at integer;
