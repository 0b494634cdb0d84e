-- Why: a call that the API refuses for some of its contacts is divided, and each part is a job of its own. All
-- parts name the job that was refused first (it names itself): a part takes no other contacts, and when none of
-- them is accepted the refusal is no matter of single contacts.
alter table jobs add column divided_from integer references jobs (id);
create index jobs_divided on jobs (divided_from) where divided_from is not null;
