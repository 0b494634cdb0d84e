-- Why: a standby that was promoted, or a restored copy, may lack what was committed last. The cluster and the line of its
-- history that a worker saw last are kept in the database itself, so they are as old as the copy.
alter table engine add column system_id text, add column timeline bigint;

-- Nulls where this role, or this kind of server, may not tell.
create function server_history(out system_id text, out timeline bigint) language plpgsql volatile as $$
begin
    select s.system_identifier::text into system_id from pg_control_system() s;
    -- The first 8 digits of the name of the file that is written now.
    timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
exception when others then
    system_id := null;
    timeline := null;
end;
$$;
