-- Puts what was delivered into a CRM. Run it in the CRM's database, with the results attached, read-only:
--   attach 'file:unlockd.db?mode=ro' as unlockd;
create table if not exists people (personnel_id text primary key, email text, obtained_at text);
-- Newer values replace older ones, never the other way round: a value from the store may be old.
insert into people (personnel_id, email, obtained_at)
select personnel_id, email, obtained_at from unlockd.contact_outcomes
where reference = 'SQL' and outcome = 'delivered' and email is not null
on conflict (personnel_id) do update set email = excluded.email, obtained_at = excluded.obtained_at
where people.obtained_at is null or people.obtained_at < excluded.obtained_at;
