-- Why: a worker that finds an older copy of its database submits nothing until a person resumes, and
-- from then on asks what each batch would cost, since only the API knows what was bought meanwhile.
alter table accounts add column restored_at integer;

drop trigger outbox_account_paused;
create trigger outbox_account_paused after update of paused_at on accounts
when new.paused_at is not null and old.paused_at is null and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    values ('account.paused', new.paused_at, json_object('account', new.account,
            'reason', iif(new.paused_at is new.restored_at, 'restored', 'person')));
end;
