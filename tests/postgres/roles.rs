//! What producers and readers may do, and that they may do nothing else.

use sqlx::{AssertSqlSafe, Executor, PgConnection};
use unlockd::store::postgres::grants::{Role, grants};

use crate::server::{self, Database};

/// PostgreSQL's codes for a missing privilege, and for a view that cannot be written by anybody.
const REFUSED: [&str; 2] = ["42501", "55000"];

/// A database with a row of each kind, and roles of its own: a role belongs to the server, not to a database.
struct Roles {
    database: Database,
    names: Vec<String>,
}

impl Roles {
    async fn new(wanted: &[(&str, Role)]) -> Option<Roles> {
        let database = server::database().await?;
        let mut owner = database.connect().await;
        let mut names = Vec::new();
        for (name, role) in wanted {
            // A name that must be quoted.
            let name = format!("{name} of {}", database.name());
            run(&mut owner, &format!("create role \"{name}\"")).await;
            for grant in grants(*role, &name, "public") {
                run(&mut owner, &grant).await;
            }
            names.push(name);
        }
        for statement in [
            "insert into requests (id, account, action, max_pages, quoted_credits, status, row_digest, created_at, taken_at)
             values (1, 'default', 'unlock_contact_emails', 1, 15, 'accepted', 'x', 1, 1)",
            "insert into jobs (account, action, state, created_at) values ('default', 'unlock_contact_emails', 'queued', 1)",
            "insert into items (request_id, account, action, personnel_id, state, job_id, outcome, source, resolved_at)
             values (1, 'default', 'unlock_contact_emails', '700', 'done', 1, 'delivered', 'task', 1)",
            "insert into contact_values (item_id, value, stored_at) values (1, 'a@example.com', 1)",
            "insert into inbox (personnel_ids) values ('[\"700\"]')",
        ] {
            run(&mut owner, statement).await;
        }
        Some(Roles { database, names })
    }

    async fn connect(&self, place: usize) -> PgConnection {
        self.database.connect_as(&format!("\"{}\"", self.names[place])).await
    }

    /// Roles outlive their database.
    async fn remove(self) {
        let mut owner = self.database.connect().await;
        for name in &self.names {
            run(&mut owner, &format!("drop owned by \"{name}\"; drop role \"{name}\"")).await;
        }
    }
}

async fn run(connection: &mut PgConnection, statement: &str) -> u64 {
    let done = connection.execute(AssertSqlSafe(statement)).await;
    done.unwrap_or_else(|error| panic!("{error}: {statement}")).rows_affected()
}

async fn number(connection: &mut PgConnection, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement)
        .fetch_one(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}: {statement}"))
}

async fn assert_refused(connection: &mut PgConnection, statement: &str) {
    let error = connection.execute(AssertSqlSafe(statement)).await.expect_err(statement);
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    assert!(REFUSED.contains(&code.as_ref()), "{error}: {statement}");
}

/// Every table and view of ours.
async fn relations(database: &Database) -> Vec<String> {
    sqlx::query_scalar(
        "select relname::text from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')",
    )
    .fetch_all(&mut database.connect().await)
    .await
    .expect("reads the catalogue")
}

#[tokio::test]
async fn producers_enqueue_and_decide_about_their_own_rows() {
    let Some(roles) = Roles::new(&[("crm", Role::Producers), ("web", Role::Producers)]).await else { return };
    let (mut crm, mut web) = (roles.connect(0).await, roles.connect(1).await);
    let enqueue = "insert into inbox (event_id, personnel_ids, reference, dedupe_key)
                   values ('9', '[\"789\"]', 'a', 'key') on conflict do nothing returning id";
    let id = number(&mut crm, enqueue).await;
    // Idempotent, also with the conflict named, and also over another role's key, whose row stays hidden.
    assert_eq!(
        run(
            &mut crm,
            "insert into inbox (dedupe_key) values ('key') on conflict (account, dedupe_key) do nothing"
        )
        .await,
        0
    );
    assert_eq!(
        run(&mut web, "insert into inbox (dedupe_key) values ('key') on conflict do nothing").await,
        0
    );
    assert_eq!(number(&mut web, "select count(*) from inbox").await, 0);

    // Its own row only: not the owner's, and not another producer's.
    assert_eq!(number(&mut crm, "select count(*) from inbox").await, 1);
    assert_eq!(run(&mut crm, "update inbox set approved = 1").await, 1);
    assert_eq!(run(&mut web, "update inbox set status = 'cancelled'").await, 0);
    assert_eq!(run(&mut crm, "update inbox set status = 'cancelled' where reference = 'a'").await, 1);

    // The worker finds what was written, and sees every row.
    let mut owner = roles.database.connect().await;
    assert_eq!(number(&mut owner, "select count(*) from inbox").await, 2);
    let written: (i64, String, i64) = sqlx::query_as("select id, was, times from inbox_written")
        .fetch_one(&mut owner)
        .await
        .expect("one row");
    assert_eq!(written, (id, "new".to_owned(), 2));
    roles.remove().await;
}

#[tokio::test]
async fn producers_may_do_nothing_else() {
    let Some(roles) = Roles::new(&[("crm", Role::Producers)]).await else { return };
    let mut crm = roles.connect(0).await;
    run(&mut crm, "insert into inbox (personnel_ids) values ('[1]')").await;
    for statement in [
        "insert into inbox (id) values (1000)",
        "insert into inbox (status) values ('done')",
        "insert into inbox (created_at) values (0)",
        "insert into inbox (written_by) values ('somebody')",
        "insert into inbox (quoted_credits) values (0)",
        "update inbox set personnel_ids = '[2]'",
        "update inbox set max_credits = 1000000",
        "update inbox set written_by = 'somebody'",
        "update inbox set reason = ''",
        "update inbox set quoted_credits = 0",
        "delete from inbox",
        "truncate inbox",
        "drop table inbox",
        "alter table inbox disable row level security",
        "alter table inbox disable trigger all",
        "create trigger mine before insert on inbox for each row execute function refuse()",
        "create table public.mine (id bigint)",
        "select nextval('inbox_id_seq')",
        "select setval('inbox_id_seq', 1)",
        "select inbox_added()",
        "select settle_items(array[1])",
        "select add_figure('spent', 'default', '', -100)",
        "create temp table rows (id bigint, status text);
         create trigger mine after insert on rows referencing new table as new_rows
         for each statement execute function inbox_added()",
        "select * from worker_lease for update",
        "copy inbox to program 'cat'",
    ] {
        assert_refused(&mut crm, statement).await;
    }
    for relation in relations(&roles.database).await {
        if relation != "inbox" {
            assert_refused(&mut crm, &format!("select * from {relation}")).await;
            assert_refused(&mut crm, &format!("delete from {relation}")).await;
        }
    }
    assert_eq!(number(&mut crm, "select count(*) from inbox").await, 1);
    roles.remove().await;
}

#[tokio::test]
async fn a_table_of_the_same_name_in_front_changes_nothing() {
    let Some(roles) = Roles::new(&[("crm", Role::Producers)]).await else { return };
    let mut crm = roles.connect(0).await;
    // Temporary tables come first in every search_path but that of our functions.
    run(&mut crm, "create temp table inbox_worker (is_writing bigint); insert into inbox_worker values (1)")
        .await;
    run(&mut crm, "create temp table inbox_written (id bigint unique, was text, times bigint)").await;
    run(&mut crm, "insert into inbox (personnel_ids) values ('[1]')").await;
    run(&mut crm, "update inbox set status = 'cancelled'").await;
    assert_eq!(number(&mut crm, "select count(*) from pg_temp.inbox_written").await, 0);
    let mut owner = roles.database.connect().await;
    assert_eq!(number(&mut owner, "select count(*) from inbox_written").await, 1);
    let loose: Vec<String> = sqlx::query_scalar(
        "select distinct p.proname::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid
         where not t.tgisinternal and not coalesce(array_to_string(p.proconfig, ',') like 'search_path=%, pg_temp', false)",
    )
    .fetch_all(&mut owner)
    .await
    .expect("reads the catalogue");
    assert!(loose.is_empty(), "these trigger functions have no search_path of their own: {loose:?}");
    roles.remove().await;
}

#[tokio::test]
async fn readers_read_what_the_contract_names_without_values() {
    let Some(roles) = Roles::new(&[("bi", Role::Readers), ("crm", Role::Readers)]).await else { return };
    let (mut owner, mut bi) = (roles.database.connect().await, roles.connect(0).await);
    let readable = ["contact_outcomes", "action_results", "contact_changes", "spend", "credit_audit"];
    for relation in relations(&roles.database).await {
        // `select *` names columns that it may not see.
        assert_refused(&mut bi, &format!("delete from {relation}")).await;
        let columns: Vec<String> = sqlx::query_scalar(
            "select column_name::text from information_schema.columns where table_schema = 'public' and table_name = $1",
        )
        .bind(&relation)
        .fetch_all(&mut owner)
        .await
        .expect("reads the catalogue");
        let mut hidden = Vec::new();
        for column in columns {
            let read = AssertSqlSafe(format!("select {column} from {relation}"));
            if bi.execute(read).await.is_err() {
                hidden.push(column);
            }
        }
        match relation.as_str() {
            "contact_outcomes" => assert_eq!(hidden, ["email", "phone"]),
            "action_results" => assert_eq!(hidden, ["result"]),
            "jobs" | "balance_snapshots" | "request_events" => {}
            other if readable.contains(&other) => assert!(hidden.is_empty(), "{other}: {hidden:?}"),
            other => assert_refused(&mut bi, &format!("select 1 from {other}")).await,
        }
    }
    assert_eq!(
        number(&mut bi, "select count(request_id) from contact_outcomes where outcome = 'delivered'").await,
        1
    );
    assert_refused(&mut bi, "insert into inbox (personnel_ids) values ('[1]')").await;

    // The values, for a role that is to have them.
    for grant in grants(Role::Values, &roles.names[1], "public") {
        run(&mut owner, &grant).await;
    }
    let mut crm = roles.connect(1).await;
    assert_eq!(
        number(&mut crm, "select count(*) from contact_outcomes where email = 'a@example.com'").await,
        1
    );
    assert_refused(&mut crm, "select * from contact_values").await;
    roles.remove().await;
}
