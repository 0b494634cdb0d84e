-- Why: people ask which request, list or client the credits went to. A job is shared by requests, so each charge is
-- divided when it is booked. The parts of a charge sum to it; a part without a request is one that nobody can be
-- named for.
create table charge_parts (
    id integer primary key,
    ledger_id integer not null references ledger (id),
    request_id integer,
    contacts integer not null check (contacts >= 0),
    credits integer not null check (credits >= 0)
) strict;
create index charge_parts_by_entry on charge_parts (ledger_id);
create index ledger_charges_by_time on ledger (at) where entry = 'charge';

-- Charges of before, divided by the contacts of each request that the job was for.
insert into charge_parts (ledger_id, request_id, contacts, credits)
select l.id, p.request_id, p.contacts,
       l.credits * p.up_to / p.whole - l.credits * (p.up_to - p.contacts) / p.whole
from ledger l
join (select job_id, request_id, contacts,
             sum(contacts) over (partition by job_id order by request_id) as up_to,
             sum(contacts) over (partition by job_id) as whole
      from (select i.job_id, i.request_id, count(*) as contacts
            from (select min(id) as id from items
                  where job_id is not null and outcome not in ('invalid', 'missing', 'unlinked', 'rejected', 'cancelled')
                  group by job_id, personnel_id) payer
            join items i on i.id = payer.id
            group by i.job_id, i.request_id) asked) p on p.job_id = l.job_id
where l.entry = 'charge' and l.credits > 0
order by l.id, p.request_id;
insert into charge_parts (ledger_id, contacts, credits)
select id, 0, credits from ledger
where entry = 'charge' and credits > 0 and id not in (select ledger_id from charge_parts);

create view spend as
select strftime('%Y-%m-%d', l.at / 1000.0, 'unixepoch') as day, l.account, j.action, r.reference,
       count(distinct l.job_id) as jobs,
       sum(iif(j.action in ('unlock_contact_emails', 'unlock_contact_phones'), p.contacts, 0)) as contacts,
       sum(p.credits) as credits
from ledger l
join charge_parts p on p.ledger_id = l.id
join jobs j on j.id = l.job_id
left join requests r on r.id = p.request_id
where l.entry = 'charge'
group by 1, 2, 3, 4;
