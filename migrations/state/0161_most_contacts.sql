-- The most contacts of one call, if the API has said so (422, `details.limit`): a restart must not ask for a refusal again.
alter table accounts add column most_contacts integer;
