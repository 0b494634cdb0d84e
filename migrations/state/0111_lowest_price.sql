-- Why: the contacts of one call may have two prices (10 and 15). A settlement counted the charge in contacts at
-- their rounded mean and then called it overspent. It takes the charge itself now; what is certainly paid for
-- among it is counted at the lowest price.
alter table jobs add column lowest_price integer;

-- A call from before that cost less than its contacts at the mean had two prices, and nothing says which: 1 is
-- never too high. All others have one.
update jobs set lowest_price = case
    when action in ('unlock_contact_emails', 'unlock_contact_phones')
        and cost < price * (select a.contacts from attempts a where a.job_id = jobs.id order by a.id desc limit 1)
    then 1 else price end;
