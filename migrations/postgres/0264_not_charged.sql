-- Why: a contact that left its batch before the batch was sent, or that the API skipped, keeps its job, and that job may be
-- charged for the others. 1: the job's charge is not for this contact, so nothing can be claimed for it.
-- Rows that ended before this step say 0.
alter table items add column not_charged bigint not null default 0 check (not_charged in (0, 1));
