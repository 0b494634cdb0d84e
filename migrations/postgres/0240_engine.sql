-- Why: what this engine needs beside the tables that both engines have. SQLite knows these by other means: a file's
-- change counter, a lock beside the file, json_patch, and the clock of its one machine.

-- One row. `outside_commits` goes up with each transaction of a program of ours that is not the worker, so that the
-- worker looks at everything anew. `lease_host` is the lock file of the lease's holder: its lock says something only
-- to workers that have the same file.
create table engine (
    id bigint primary key check (id = 1),
    outside_commits bigint not null default 0,
    lease_host text
) with (fillfactor = 50);
insert into engine (id) values (1);

-- RFC 7396: objects are merged to any depth, null removes a member, and anything else replaces what was there.
create function json_merged(target jsonb, patch jsonb) returns jsonb language plpgsql immutable parallel safe as $$
declare
    merged jsonb := case jsonb_typeof(target) when 'object' then target else '{}' end;
    member record;
begin
    if jsonb_typeof(patch) is distinct from 'object' then
        return patch;
    end if;
    for member in select key, value from jsonb_each(patch) loop
        if jsonb_typeof(member.value) = 'null' then
            merged := merged - member.key;
        else
            merged := merged || jsonb_build_object(member.key, json_merged(merged -> member.key, member.value));
        end if;
    end loop;
    return merged;
end;
$$;

-- The clock that all hosts share; `own` is the time by the caller's clock, which does not count here.
create function database_clock(own bigint) returns bigint language sql volatile parallel safe
begin atomic
    select (extract(epoch from clock_timestamp()) * 1000)::bigint where own is not null;
end;
