//! What a seed chooses for its whole run.

use fastrand::Rng;

/// One of the endpoints that show what is unlocked may be useless.
const ALWAYS: [&str; 5] = [
    "always:404@profile",
    "always:400@profile",
    "always:400@precheck",
    "always:404@precheck",
    "always:500@precheck",
];

/// What a seed chose for its whole run.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) steps: u32,
    /// Faulty calls in 100.
    pub(crate) faults: u32,
    /// Steps in 100 that belong to people, colleagues and the vendor.
    pub(crate) others: u32,
    pub(crate) crashes: u32,
    pub(crate) inbox_apart: bool,
    /// Accounts: keys of one owner, with one pool.
    pub(crate) accounts: usize,
    pub(crate) erases: bool,
    /// The answer of one endpoint, from the first call to the last.
    pub(crate) always: Option<&'static str>,
}

impl Profile {
    pub(crate) fn choose(rng: &mut Rng, on_server: bool) -> Profile {
        Profile {
            steps: rng.u32(60..260),
            faults: [0, 5, 20, 40][rng.usize(..4)],
            others: [3, 6, 12][rng.usize(..3)],
            crashes: [0, 1, 1, 2, 4][rng.usize(..5)],
            inbox_apart: rng.u8(..5) == 0 && !on_server,
            accounts: 1 + usize::from(rng.u8(..3) == 0),
            erases: rng.u8(..6) == 0,
            always: ALWAYS.get(rng.usize(..16)).copied(),
        }
    }
}

/// What a seed chose for a history of several hosts.
#[derive(Debug)]
pub(crate) struct OnHosts {
    pub(crate) steps: u32,
    /// Steps in 1,000 in which something happens to a host.
    pub(crate) strikes: u32,
    /// What the clock of each host is ahead of the true time, in milliseconds.
    pub(crate) skews_ms: Vec<i64>,
    /// `fleet.lease`, in seconds.
    pub(crate) lease_s: u64,
    /// Whether answers of the database can be lost.
    pub(crate) is_proxied: bool,
    /// The owner of each account besides the first one's, which is owner 0.
    owner_of: Vec<usize>,
}

impl OnHosts {
    pub(crate) fn choose(rng: &mut Rng) -> OnHosts {
        let hosts = rng.usize(2..4);
        let others = [1, 1, 2, 3][rng.usize(..4)];
        let shares_one = rng.u8(..3) == 0;
        OnHosts {
            steps: rng.u32(150..500),
            strikes: [10, 25, 50][rng.usize(..3)],
            skews_ms: (0..hosts).map(|_| [0, rng.i64(-300_000..300_000)][rng.usize(..2)]).collect(),
            lease_s: [60, 60, 40, 90][rng.usize(..4)],
            is_proxied: rng.u8(..3) == 0,
            owner_of: (1..=others).chain(shares_one.then_some(others)).collect(),
        }
    }

    /// Name, key and owner of each account besides the first: keys of one owner end in its name.
    pub(crate) fn keys(&self) -> Vec<(String, String, String)> {
        let key = |(at, owner): (usize, &usize)| {
            (format!("a{at}"), format!("uak_a{at}@o{owner}"), format!("o{owner}"))
        };
        self.owner_of.iter().enumerate().map(key).collect()
    }

    pub(crate) fn owners(&self) -> usize {
        self.owner_of.iter().max().map_or(1, |last| last + 1)
    }
}
