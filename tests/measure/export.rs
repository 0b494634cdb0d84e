//! An export of many contacts, and a purge of all of them: the time, and the most memory.

use std::time::{Duration, Instant};

use crate::resume;
use crate::support::{Place, Worker, number, unlimited};

pub(crate) async fn run(arguments: &[String]) {
    let contacts = number(arguments, 0, 1_000_000) as i64;
    let place = Place::new(unlimited(), "").await;
    resume::history(&mut place.connect().await, contacts, 0, 0).await;
    let commands: [(&str, &[&str]); 4] = [
        ("export as CSV", &["export", "-o", "contacts.csv"]),
        ("export as JSON Lines", &["export", "--json", "-o", "contacts.jsonl"]),
        ("backup", &["backup", "copy.db"]),
        ("purge", &["purge", "--older-than", "0s"]),
    ];
    for (what, arguments) in commands {
        let child = place.command().args(arguments).spawn().expect("it starts");
        let mut command = Worker { child, since: Instant::now() };
        let mut memory_mb: f64 = 0.0;
        // After its end a process no longer reports its memory.
        while command.child.try_wait().expect("ours").is_none() {
            memory_mb = memory_mb.max(command.memory_mb("VmHWM"));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let took = command.since.elapsed().as_secs_f64();
        println!("{what}: {contacts} contacts in {took:.1} s; memory at most {memory_mb:.0} MB");
    }
    let size = |name| std::fs::metadata(place.path(name)).map_or(0.0, |file| file.len() as f64 / 1e6);
    println!("database {:.0} MB, CSV {:.0} MB", size("unlockd.db"), size("contacts.csv"));
}
