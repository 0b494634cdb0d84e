//! A database of a PostgreSQL server: what the server promises, and what it does not.

use crate::cli::findings::Findings;
use crate::config::Config;
use crate::domain::durability::{Durability, Server, lack};
use crate::store::Store;
use crate::store::postgres::grants::{Role, grants};
use crate::store::postgres::state::{self, ServerState};
use crate::store::postgres::{listen, server};
use crate::worker::durability;

/// Connections that the worker, its page and a command need at the same time.
const NEEDED_CONNECTIONS: i64 = 20;

/// Returns whether it can be written: without a standby that confirms, each write would wait, perhaps for ever.
pub(super) async fn server(findings: &mut Findings, config: &Config, store: &Store) -> bool {
    match state::read(store).await {
        Ok(Some(found)) => itself(findings, store, &found),
        Ok(None) => return true,
        Err(error) => {
            findings.problem("database", error.to_string(), 1);
            return false;
        }
    }
    match server::read(store).await {
        Ok(Some(seen)) => failover(findings, durability::of(config), &seen.server),
        Ok(None) => {}
        Err(error) => findings.problem("failover", error.to_string(), 1),
    }
    let is_writable = commits(findings, store).await;
    notices(findings, store).await;
    other_roles(findings, config.credits.approve_from_inbox);
    is_writable
}

/// Whether a commit ends now, whatever the server says of its standbys.
async fn commits(findings: &mut Findings, store: &Store) -> bool {
    match state::confirms(store).await {
        Ok(true) => return true,
        Ok(false) => findings.fail(
            "commits",
            "a commit was not confirmed within 3 s: each waits for a standby, so nothing is bought, and a command that \
             writes ends after 10 s without knowing its outcome",
            "start the standby, or let the one that hangs go on (pg_stat_replication shows those that are connected)",
            1,
        ),
        Err(error) => findings.problem("commits", error.to_string(), 1),
    }
    false
}

/// What the server says of itself.
fn itself(findings: &mut Findings, store: &Store, found: &ServerState) {
    let shown = store.path().display();
    let ServerState { version, role, connections, max_connections, .. } = found;
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
}

/// What a failover may lose.
fn failover(findings: &mut Findings, durability: Durability, server: &Server) {
    let (word, standbys) = (durability.as_str(), server.standbys);
    if let Some(lack) = lack(durability, server) {
        let detail = format!("postgres.durability = \"{word}\": nothing is bought: {}", lack.what());
        return findings.fail("failover", detail, lack.to_do(), 1);
    }
    let named = server.standby_names.trim();
    match durability {
        Durability::Synchronous if named.contains('*') => findings.warn(
            "failover",
            format!("{word}: any program that streams the log confirms commits (synchronous_standby_names = '{named}')"),
            "name the standbys that may be promoted, and no other",
        ),
        Durability::Synchronous if server.confirming.is_none() => findings.warn(
            "failover",
            format!("{word}: {standbys} connected; whether one of '{named}' confirms commits is not visible to this role"),
            "grant pg_monitor to the role; without it the next paid call shows it",
        ),
        Durability::Synchronous => {
            let confirming = server.confirming.unwrap_or_default();
            findings.ok("failover", format!("{word}: {confirming} of {standbys} standbys confirm commits ('{named}')"));
        }
        Durability::Single if standbys > 0 => findings.warn(
            "failover",
            format!("{word}: this server has {standbys} standbys; commits are lost if one of them is promoted"),
            "never promote them, or set postgres.durability to \"synchronous\" or \"verify\"",
        ),
        Durability::Single => findings.ok("failover", format!("{word}: there is no standby that could be promoted")),
        Durability::Storage => findings.ok(
            "failover",
            format!("{word}: the server's storage must keep each commit by itself, which cannot be checked from here"),
        ),
        Durability::Verify => findings.ok(
            "failover",
            format!("{word}: after each failover everything is prechecked before it is bought"),
        ),
    }
}

/// Whether notifications of new rows arrive.
async fn notices(findings: &mut Findings, store: &Store) {
    match listen::arrive(store).await {
        true => findings.ok("notifications", "new rows of the inbox are noticed at once"),
        false => findings.warn(
            "notifications",
            "none arrived: a pooler in transaction mode does not pass them on, so new rows are seen every inbox.interval",
            "nothing is needed; for less delay connect to the server itself, or to a pool in session mode",
        ),
    }
}

/// The statements that a person runs once, as the role that owns the tables.
fn other_roles(findings: &mut Findings, may_approve: bool) {
    let enqueues = match may_approve {
        true => {
            "programs that enqueue, and approve and cancel their own rows (credits.approve_from_inbox = false: only a person \
             approves)"
        }
        false => {
            "programs that enqueue, and cancel their own rows (credits.approve_from_inbox = false: what they approve is not \
             heard)"
        }
    };
    for (role, name, purpose) in [
        (Role::Producers, "unlockd_producers", enqueues),
        (Role::Readers, "unlockd_readers", "programs that read, without emails, phones and results"),
        (Role::Values, "unlockd_values", "programs that read those, too"),
    ] {
        let statements = grants(role, name, "public").join(" ");
        findings.ok("grants", format!("for {purpose}: create role {name}; {statements}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::durability::History;

    /// Who may enqueue may spend, unless the configuration says otherwise.
    #[test]
    fn whether_a_program_may_approve_its_own_rows_is_said_with_its_grants() {
        for (may_approve, said) in
            [(true, "and approve and cancel their own"), (false, "and cancel their own")]
        {
            let mut findings = Findings::default();
            other_roles(&mut findings, may_approve);
            let first = serde_json::to_value(&findings.0[0]).expect("JSON")["detail"].to_string();
            assert!(first.contains(&format!("for programs that enqueue, {said} rows")), "{first}");
            assert!(first.contains("credits.approve_from_inbox = false"), "{first}");
        }
    }

    /// Each durability, with a server that is right for it and one that is not.
    #[test]
    fn what_a_server_promises_is_compared_with_what_is_configured() {
        let history = Some(History { system_id: "7".to_owned(), timeline: 1 });
        let of = |names: &str, standbys, confirming| Server {
            is_standby: false,
            standby_names: names.to_owned(),
            standbys,
            confirming,
            history: history.clone(),
        };
        let alone = of("", 0, Some(0));
        let table = [
            (Durability::Synchronous, of("ANY 1 (b)", 2, Some(1)), "ok", "1 of 2 standbys confirm"),
            (Durability::Synchronous, of("ANY 1 (b)", 1, None), "warn", "not visible to this role"),
            (Durability::Synchronous, of("*", 1, Some(1)), "warn", "any program that streams the log"),
            (Durability::Synchronous, of("ANY 1 (b)", 1, Some(0)), "fail", "no connected one is named"),
            (Durability::Synchronous, alone.clone(), "fail", "synchronous_standby_names is empty"),
            (Durability::Single, alone.clone(), "ok", "no standby that could be promoted"),
            (Durability::Single, of("", 1, Some(0)), "warn", "has 1 standbys"),
            (Durability::Storage, alone.clone(), "ok", "cannot be checked from here"),
            (Durability::Verify, of("", 1, Some(0)), "ok", "everything is prechecked"),
            (
                Durability::Verify,
                Server { history: None, ..alone.clone() },
                "fail",
                "does not show its timeline",
            ),
            (Durability::Storage, Server { is_standby: true, ..alone }, "fail", "is a standby"),
        ];
        for (durability, server, level, part) in table {
            let mut findings = Findings::default();
            failover(&mut findings, durability, &server);
            let said = serde_json::to_value(&findings.0).expect("JSON");
            assert_eq!((&said[0]["level"], said[1].is_null()), (&level.into(), true), "{said}");
            assert!(said[0]["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{part}: {said}");
            assert_eq!(said[0]["mend"].is_string(), level != "ok", "{said}");
        }
    }
}
