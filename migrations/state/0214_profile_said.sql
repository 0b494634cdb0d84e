-- Why: a contact may wait for its profile for a day, and nobody could see what the profile has said last: whether a phone
-- is still being looked for, has failed, or was never asked for. The word of the API, in our spelling; no personal data.
alter table items add column profile_said text;
