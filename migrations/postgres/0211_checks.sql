-- Why: as step 0211 of migrations/state, and 0006 of migrations/inbox: nothing is to be done here, since this engine
-- prepares the words of a list once.
select 1;
