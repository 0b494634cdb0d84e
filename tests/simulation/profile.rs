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
#[derive(Debug)]
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
