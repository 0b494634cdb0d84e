//! A database of a PostgreSQL server: what the server promises, and what it does not.

use crate::cli::findings::Findings;
use crate::store::Store;
use crate::store::postgres::grants::{Role, grants};
use crate::store::postgres::state::{self, ServerState};

/// Connections that the worker, its page and a command need at the same time.
const NEEDED_CONNECTIONS: i64 = 20;

pub(super) async fn server(findings: &mut Findings, store: &Store) {
    let shown = store.path().display();
    let found = match state::read(store).await {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => return findings.problem("database", error.to_string(), 1),
    };
    let ServerState { version, role, connections, max_connections, .. } = &found;
    findings.ok(
        "database",
        format!(
            "{shown}: PostgreSQL {version}, role {role}, synchronous_commit=on for each write of unlockd"
        ),
    );
    let text = format!("{connections} to this database; the server takes {max_connections}");
    match max_connections - connections < NEEDED_CONNECTIONS {
        true => findings.warn(
            "connections",
            text,
            "raise max_connections, or put a pooler between (a notification of new rows does not pass one in \
             transaction mode: then they are seen every inbox.interval)",
        ),
        false => findings.ok("connections", text),
    }
    if !found.fsync {
        findings.fail(
            "durability",
            "the server runs with fsync = off: a crash of its machine may lose what was bought, and the database",
            "set fsync = on",
            1,
        );
    }
    match (found.is_encrypted, found.is_local) {
        (Some(false), false) => findings.warn(
            "encryption",
            "the connection is not encrypted: emails, phones and the password's proof cross the network as they are",
            "add ?sslmode=verify-full to the URL, with sslrootcert=FILE for an authority of your own",
        ),
        _ => findings.ok("encryption", if found.is_local { "the server is on this machine" } else { "TLS" }),
    }
    findings.ok(
        "backup",
        "by the server's own tools: pg_dump, or a base backup and the archived log (point-in-time recovery)",
    );
    other_roles(findings);
}

/// The statements that a person runs once, as the role that owns the tables.
fn other_roles(findings: &mut Findings) {
    for (role, name, purpose) in [
        (Role::Producers, "unlockd_producers", "programs that enqueue, and decide about their own rows"),
        (Role::Readers, "unlockd_readers", "programs that read, without emails, phones and results"),
        (Role::Values, "unlockd_values", "programs that read those, too"),
    ] {
        let statements = grants(role, name, "public").join(" ");
        findings.ok("grants", format!("for {purpose}: create role {name}; {statements}"));
    }
}
