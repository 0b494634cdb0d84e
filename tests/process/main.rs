//! The worker as a process against the sandbox: killed, stopped, started twice, short of resources.
//!
//! The sandbox charges every repeated submission again and skips nobody, so a contact that is sent twice is
//! charged twice. `UNLOCKD_TEST_REPEATS` (default 1) repeats the kill sweep; the figure in the README is from
//! 20.

mod cut;
#[path = "../shared/db.rs"]
mod db;
mod disk;
mod errors;
mod fleet;
mod inbox_file;
#[path = "../shared/invariants.rs"]
mod invariants;
mod kills;
mod memory;
#[path = "../shared/network.rs"]
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
mod network;
mod on_server;
mod pickup;
mod pooler;
#[path = "../shared/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
mod postgres;
mod programs;
mod restore;
#[path = "../shared/small_disk.rs"]
#[allow(dead_code, unreachable_pub, reason = "not every suite needs all of it")]
mod small_disk;
mod stops;
mod support;
mod systemd;
mod workers;
