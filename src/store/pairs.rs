//! Statements that need a different text for each engine, side by side; there should be few (a test counts
//! them), and each says why it is here.

use crate::store::sql::Text;

/// `json_patch` merges objects to any depth; PostgreSQL has no such function. Done in SQL and not in Rust,
/// since a result may be large.
pub(in crate::store) const ADD_TO_RESULT: Text = Text {
    sqlite: "update direct_results set result = json_patch(result, $2)
     where item_id in (select id from items where job_id = $1 and state = 'reading')",
    postgres: "update direct_results set result = json_merged(result::jsonb, $2::jsonb)::text
     where item_id in (select id from items where job_id = $1 and state = 'reading')",
};

/// The syntax of JSON paths differs. Done in SQL, since the results may be large.
pub(in crate::store) const SUM_UP_RESULT: Text = Text {
    sqlite: "select outcome, credits_used,
            case json_type(result) when 'array' then json_array_length(result) end as found,
            cast(result ->> '$.event.name' as text) as event_name,
            cast(result ->> '$.accessMode' as text) as access_mode,
            cast(result ->> '$.access.visitors' as integer) as visitors,
            cast(result ->> '$.counts.visibleTotal' as integer) as people
     from action_results where request_id = $1",
    postgres: "select outcome, credits_used,
            case json_typeof(result::json) when 'array' then json_array_length(result::json) end::bigint as found,
            result::json -> 'event' ->> 'name' as event_name,
            result::json ->> 'accessMode' as access_mode,
            (result::json -> 'access' ->> 'visitors')::boolean as visitors,
            (result::json -> 'counts' ->> 'visibleTotal')::bigint as people
     from action_results where request_id = $1",
};

/// A value is overwritten in place, with the same length: see [`crate::store::sqlite::erase`].
pub(in crate::store) const ERASE_DELIVERED_BEFORE: Text = Text {
    sqlite: "update contact_values
     set is_erased = 1, value = replace(hex(zeroblob(length(cast(value as blob)))), '00', '-')
     where id in (select id from contact_values where is_erased = 0 and stored_at < $1
                  order by stored_at limit $2)",
    postgres: "update contact_values
     set is_erased = 1, value = repeat('-', octet_length(value))
     where id in (select id from contact_values where is_erased = 0 and stored_at < $1
                  order by stored_at limit $2)",
};

/// The same.
pub(in crate::store) const ERASE_OF_PERSON: Text = Text {
    sqlite: "update contact_values
     set is_erased = 1, value = replace(hex(zeroblob(length(cast(value as blob)))), '00', '-')
     where id in (select v.id from items i join contact_values v on v.item_id = i.id
                  where i.personnel_id = $1 and v.is_erased = 0 limit $2)",
    postgres: "update contact_values
     set is_erased = 1, value = repeat('-', octet_length(value))
     where id in (select v.id from items i join contact_values v on v.item_id = i.id
                  where i.personnel_id = $1 and v.is_erased = 0 limit $2)",
};

/// The counter of ids, and the highest id; each engine keeps its counter in its own place.
pub(in crate::store) const READ_COUNTER: Text = Text {
    sqlite: "select
       coalesce((select seq from sqlite_sequence where name = 'inbox'), 0) as seq,
       coalesce((select max(id) from inbox), 0) as highest",
    postgres: "select
       coalesce(pg_sequence_last_value(pg_get_serial_sequence('inbox', 'id')::regclass), 0) as seq,
       coalesce((select max(id) from inbox), 0) as highest",
};

/// The same.
pub(in crate::store) const INSERT_COUNTER: Text = Text {
    sqlite: "insert into sqlite_sequence (name, seq)
     select 'inbox', $1 where not exists (select 1 from sqlite_sequence where name = 'inbox')",
    postgres: "select $1::bigint",
};

/// The same. Not above the bound `$2`, and not below `$1` and what is in use.
pub(in crate::store) const SET_COUNTER: Text = Text {
    sqlite: "update sqlite_sequence
     set seq = max($1, case when seq <= $2 then seq else 0 end,
                   coalesce((select max(id) from inbox where id <= $2), 0))
     where name = 'inbox'",
    postgres: "select setval(pg_get_serial_sequence('inbox', 'id')::regclass, greatest($1, 1,
           (select case when last <= $2 then last else 0 end
            from (select coalesce(pg_sequence_last_value(pg_get_serial_sequence('inbox', 'id')::regclass), 0) as last) as counter),
           coalesce((select max(id) from inbox where id <= $2), 0)))",
};

/// Each engine keeps its triggers in its own place. Those of ours are named.
pub(in crate::store) const HAS_OTHER_TRIGGERS: Text = Text {
    sqlite: "select exists (
     select 1 from sqlite_schema where type = 'trigger' and lower(tbl_name) = 'inbox'
       and name not in ('inbox_row_inserted', 'inbox_row_written'))",
    postgres: "select exists (
     select 1 from pg_trigger where tgrelid = 'inbox'::regclass and not tgisinternal
       and tgname not in ('inbox_added', 'inbox_changed'))",
};

/// Only where other programs can write at the same time.
pub(in crate::store) const LOCK_INBOX_ROWS: Text = Text {
    sqlite: "select value from json_ids($1)",
    postgres: "select id from inbox where id in (select value from json_ids($1)) order by id for update skip locked",
};
