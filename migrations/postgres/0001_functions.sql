-- Why: the store has one text for each statement. Where SQLite writes an expression in another way, the text calls
-- one of these functions (see src/store/sqlite/dialect.rs). Bodies in standard SQL: their names are resolved now, so
-- no search_path can change what they mean, and the planner writes them out in the statement.
--
-- These steps make at once what all steps of migrations/state and migrations/inbox up to 0195 have made. A later step
-- of SQLite needs a step here with the same number; a test compares the two schemas. In this schema as in SQLite's:
-- integers are bigint, a boolean is 0 or 1, a time is Unix milliseconds. Texts have the collation "C": they
-- are ordered by their bytes as in SQLite, and no new version of a system library can break an index.

do $$
begin
    if pg_catalog.current_setting('server_encoding') <> 'UTF8' then
        raise exception 'unlockd needs a database with the encoding UTF8, and this one has %',
            pg_catalog.current_setting('server_encoding')
            using hint = 'create database NAME encoding ''UTF8'' template template0';
    end if;
end
$$;

-- Rows with one column `value`: the numbers, the texts or the arrays of a JSON array. A null has no rows.
create function json_ids(list text) returns table (value bigint) language sql immutable parallel safe rows 100
begin atomic
    select one::bigint from json_array_elements_text(list::json) as one;
end;

create function json_words(list text) returns table (value text) language sql immutable parallel safe rows 100
begin atomic
    select one from json_array_elements_text(list::json) as one;
end;

-- jsonb: each element is parsed once, however many columns are read from it.
create function json_rows(list text) returns table (value jsonb) language sql immutable parallel safe rows 100
begin atomic
    select one from jsonb_array_elements(list::jsonb) as one;
end;

-- The members of a JSON object. json and not jsonb: its keys may be repeated.
create function json_pairs(object text) returns table (key text, value text)
language sql immutable parallel safe rows 100
begin atomic
    select one.key, one.value from json_each_text(object::json) as one;
end;

-- One element of an array, counted from 0, as a number or as a text. As in SQLite, true is 1 and false is 0.
create function json_number(list jsonb, place integer) returns bigint language sql immutable parallel safe
begin atomic
    select case list ->> place when 'true' then 1 when 'false' then 0 else (list ->> place)::bigint end;
end;

create function json_text(list jsonb, place integer) returns text language sql immutable parallel safe
begin atomic
    select list ->> place;
end;

-- A text as bytes. In PostgreSQL a text is always valid UTF-8, and it cannot hold NUL: a producer that sends one gets
-- an error, and what the worker writes has none (a text from the API is written without it).
create function bytes_of(words text) returns bytea language sql stable parallel safe
begin atomic
    select convert_to(words, 'UTF8');
end;

-- A time as the views show it.
create function utc_text(milliseconds bigint) returns text language sql stable parallel safe
begin atomic
    select to_char(to_timestamp(milliseconds / 1000.0) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
end;
