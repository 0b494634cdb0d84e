-- Why: ids that differ in leading zeros are one contact. The first edition kept them as they were written, so what
-- it bought as 0789 was not found under 789, and could be bought again. Where a request has both, the one with
-- zeros stays as it is: each has its own outcome already.
update items set personnel_id = ltrim(personnel_id, '0')
where personnel_id like '0%' and ltrim(personnel_id, '0') <> ''
  and action in ('unlock_contact_emails', 'unlock_contact_phones')
  and not exists (select 1 from items o
                  where o.request_id = items.request_id and o.personnel_id = ltrim(items.personnel_id, '0'));
