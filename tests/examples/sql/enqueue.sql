-- Asks for contacts, in the inbox file. Again with the same dedupe_key it writes nothing.
insert or ignore into inbox (personnel_ids, reference, dedupe_key) values ('["801","802"]', 'SQL', 'sql-list-1');
