-- See migrations/state.
alter table requests add column needs_approval bigint not null default 0 check (needs_approval in (0, 1));
