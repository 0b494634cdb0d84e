-- Whether who asks may only propose (inbox.needs_approval): what a person approves is all that may be spent then, even below
-- credits.approve_above.
alter table requests add column needs_approval integer not null default 0 check (needs_approval in (0, 1));
