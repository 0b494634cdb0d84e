-- Why: the vendor limits the calls of each address, so calls are counted for each host of workers that share a database.
-- Not set: by the one worker of a database.
alter table recent_calls add column host text;
