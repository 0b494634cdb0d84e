//! What a commit is worth when its server dies: whether a paid call may rest on it, and whether another server,
//! or another history of the same one, may lack commits.
//!
//! A promoted standby has every commit that it confirmed. One that confirms nothing may lack the newest ones: then
//! the record of a paid call is gone, and only asking about everything keeps it from being bought again.

use super::words::words;

words! {
    /// What keeps a commit. The words are those of `postgres.durability`.
    Durability {
        /// A standby confirms each commit.
        Synchronous = "synchronous",
        /// This server alone: no standby of it may be promoted.
        Single = "single",
        /// The server's storage, which replicates by itself.
        Storage = "storage",
        /// Nothing: after each failover everything is asked about before it is bought.
        Verify = "verify",
    }
}

/// What a server says of itself at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub is_standby: bool,
    /// `synchronous_standby_names`: the standbys whose confirmation a commit waits for.
    pub standby_names: String,
    /// Standbys that are connected, whether they confirm commits or not.
    pub standbys: i64,
    /// Those of them whose confirmation counts; `None`: this role may not see that.
    pub confirming: Option<i64>,
    /// `None`: the server does not say.
    pub history: Option<History>,
}

/// A database cluster, and the line of its history that a server is on: each promotion begins another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub system_id: String,
    pub timeline: i64,
}

/// Why no paid call may rest on a server's commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    IsStandby,
    /// No commit waits for a standby.
    NoneNamed,
    /// Commits wait, and no standby is there to confirm them.
    NoneConnected,
    /// Standbys are connected, and none of them is one of those that are named.
    NoneConfirms,
    /// A failover would not be noticed.
    NoHistory,
}

/// What keeps a paid call from resting on this server's commits; `None`: it may.
pub fn lack(durability: Durability, server: &Server) -> Option<Lack> {
    if server.is_standby {
        return Some(Lack::IsStandby);
    }
    match durability {
        Durability::Synchronous if server.standby_names.trim().is_empty() => Some(Lack::NoneNamed),
        Durability::Synchronous if server.standbys == 0 => Some(Lack::NoneConnected),
        Durability::Synchronous if server.confirming == Some(0) => Some(Lack::NoneConfirms),
        Durability::Verify if server.history.is_none() => Some(Lack::NoHistory),
        _ => None,
    }
}

/// Whether commits of `before` may be missing in `now`. A standby that confirmed each commit has all of them; any
/// other promotion, and any restored copy, may lack the newest.
pub fn may_lack_commits(durability: Durability, before: &History, now: &History) -> bool {
    match durability {
        Durability::Synchronous => before.system_id != now.system_id || now.timeline < before.timeline,
        Durability::Single | Durability::Storage | Durability::Verify => before != now,
    }
}

/// How much longer a call may be under way of which the database knows nothing, in milliseconds: 0, or less.
///
/// Its worker renewed its lease last on the server of before, and ends each call within that lease. The API may carry
/// it out a little later, at most `late_ms`. The loss was noticed `distrusted_for_ms` ago, after that server was gone.
pub fn unknown_calls_end_in(distrusted_for_ms: Option<i64>, lease_ms: i64, late_ms: i64) -> i64 {
    distrusted_for_ms.map_or(0, |ago| lease_ms + late_ms - ago)
}

impl Lack {
    /// Whether each commit waits meanwhile, also that with which a worker shows that it lives.
    pub fn holds_up_commits(self) -> bool {
        matches!(self, Lack::NoneConnected | Lack::NoneConfirms)
    }

    pub fn what(self) -> &'static str {
        match self {
            Lack::IsStandby => "the server is a standby, which cannot be written",
            Lack::NoneNamed => {
                "no commit waits for a standby: synchronous_standby_names is empty, so the record of a paid call would \
                 be lost with the server"
            }
            Lack::NoneConnected => {
                "commits wait for a standby that synchronous_standby_names names, and none is connected"
            }
            Lack::NoneConfirms => {
                "commits wait for a standby that synchronous_standby_names names, and no connected one is named there"
            }
            Lack::NoHistory => "the server does not show its timeline, so a failover would not be noticed",
        }
    }

    /// What ends it, with the line of the server's configuration.
    pub fn to_do(self) -> &'static str {
        match self {
            Lack::IsStandby => "name the primary in `database`, or an address that follows it",
            Lack::NoneNamed => {
                "set synchronous_standby_names = 'ANY 1 (STANDBY)' on the primary (Patroni: synchronous_mode: true and \
                 synchronous_mode_strict: true; CloudNativePG: spec.postgresql.synchronous), or set postgres.durability \
                 to what this server promises"
            }
            Lack::NoneConnected => "start the standby: it goes on by itself",
            Lack::NoneConfirms => {
                "let a connected standby be named: its application_name in primary_conninfo is one of \
                 synchronous_standby_names"
            }
            Lack::NoHistory => {
                "let this role execute pg_control_system() and pg_current_wal_lsn(), or use another postgres.durability"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let history = History { system_id: "7".to_owned(), timeline: 1 };
        Server {
            is_standby: false,
            standby_names: "ANY 1 (b)".to_owned(),
            standbys: 1,
            confirming: Some(1),
            history: Some(history),
        }
    }

    #[test]
    fn with_synchronous_a_standby_is_named_connected_and_confirms() {
        let of = |server: &Server| lack(Durability::Synchronous, server);
        assert_eq!(of(&server()), None);
        assert_eq!(of(&Server { confirming: None, ..server() }), None, "a role that may not see it");
        assert_eq!(of(&Server { history: None, ..server() }), None);
        assert_eq!(of(&Server { standby_names: "  ".to_owned(), ..server() }), Some(Lack::NoneNamed));
        let gone = Server { standbys: 0, confirming: Some(0), ..server() };
        assert_eq!(of(&gone), Some(Lack::NoneConnected));
        assert_eq!(of(&Server { confirming: None, ..gone }), Some(Lack::NoneConnected));
        assert_eq!(of(&Server { standbys: 2, confirming: Some(0), ..server() }), Some(Lack::NoneConfirms));
    }

    #[test]
    fn the_others_need_no_standby_and_verify_needs_to_see_a_failover() {
        let alone = Server {
            standby_names: String::new(),
            standbys: 0,
            confirming: Some(0),
            history: None,
            ..server()
        };
        for durability in [Durability::Single, Durability::Storage] {
            assert_eq!(lack(durability, &alone), None, "{durability:?}");
        }
        assert_eq!(lack(Durability::Verify, &alone), Some(Lack::NoHistory));
        assert_eq!(lack(Durability::Verify, &Server { history: server().history, ..alone }), None);
        for durability in Durability::ALL {
            let standby = Server { is_standby: true, ..server() };
            assert_eq!(lack(durability, &standby), Some(Lack::IsStandby), "{durability:?}");
        }
    }

    #[test]
    fn an_unknown_call_ends_with_the_lease_that_was_lost() {
        let of = |ago| unknown_calls_end_in(ago, 60_000, 30_000);
        assert_eq!((of(Some(0)), of(Some(89_000))), (90_000, 1_000));
        assert!(of(Some(90_000)) <= 0 && of(None) <= 0);
    }

    #[test]
    fn only_a_standby_that_confirmed_everything_is_believed() {
        let of = |system_id: &str, timeline| History { system_id: system_id.to_owned(), timeline };
        let before = of("7", 3);
        let table = Durability::ALL.map(|durability| {
            [of("7", 3), of("7", 4), of("7", 2), of("8", 3)]
                .map(|now| may_lack_commits(durability, &before, &now))
        });
        assert_eq!(
            table,
            [
                [false, false, true, true],
                [false, true, true, true],
                [false, true, true, true],
                [false, true, true, true]
            ]
        );
    }
}
