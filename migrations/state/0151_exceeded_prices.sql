-- Why: when the balance shows twice in succession that a price was exceeded, the API charges more than it says. Then
-- the owner's accounts stop until a person resumes them. The times are counted here, by owner and action.
create table exceeded_prices (
    owner text not null,
    action text not null,
    times integer not null,
    primary key (owner, action)
) strict;

-- The last of those settlements, as the reason for the pause that began at the same moment as paused_at.
alter table accounts add column overcharged_at integer;
alter table accounts add column overcharged_expected integer;
alter table accounts add column overcharged_spent integer;

-- As it was (0108), with the new word.
drop trigger outbox_account_paused;
create trigger outbox_account_paused after update of paused_at on accounts
when new.paused_at is not null and old.paused_at is null and exists (select 1 from outbox_is_open)
begin
    insert into outbox (type, at, data)
    values ('account.paused', new.paused_at, json_object('account', new.account,
            'reason', case new.paused_at when new.restored_at then 'restored'
                                         when new.overcharged_at then 'overcharged' else 'person' end));
end;
