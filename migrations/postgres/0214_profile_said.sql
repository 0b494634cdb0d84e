-- Why: as step 0214 of migrations/state: what a contact's profile said last while its value was waited for.
alter table items add column profile_said text collate "C";
