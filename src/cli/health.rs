//! `unlockd health`: is the daemon running and healthy? For container health checks.
//!
//! The daemon renews its lease every five seconds from the same runtime that runs its passes, so a
//! lease that is fresh says that it is alive and that its database can be written.

use std::io::Write;

use super::{Context, Outcome, existing, leases};
use crate::clock::Clock;
use crate::domain::needs::Stop;
use crate::store::lease;
use crate::store::postgres::members::{self, Members};
use crate::worker::people::needs;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd health
  HEALTHCHECK CMD [\"unlockd\", \"health\", \"--ready\"]

Exit code 0: healthy; 1: not healthy, and one line says why; 3: there is no database yet.")]
pub(super) struct Args {
    /// Also check that it can buy: the disk has enough free space, and commits are kept as postgres.durability says
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load_in_part()?;
    let store = existing(&config).await?;
    let row = lease::read(&store).await?;
    let now = Clock::real().now();
    let stops = needs::stops(&store, &config).await?;
    let silent_s = row.silent_ms(now) / 1_000;
    // Others may share the database: their sign of life says nothing about this host's worker.
    let seen = members::read(&store).await?.filter(|seen| !seen.workers.is_empty());
    let here = seen.map(|seen| here(&seen, &leases::host(&config)));
    let is_alive = here.as_ref().map_or_else(|| row.is_alive(now), Result::is_ok);
    let silenced = stops.iter().find(|stop| row.is_held() && stop.hides_workers());
    if let (false, Some(stop)) = (is_alive, silenced) {
        let (what, to_do) = (stop.what(), stop.to_do());
        return Err(anyhow::anyhow!(
            "{what}, so no worker can show that it lives (last {silent_s} s ago); {to_do}"
        )
        .into());
    }
    if let Some(here) = here {
        let (pid, silent_s) = here.map_err(anyhow::Error::msg)?;
        return well(&args, &stops, pid, silent_s);
    }
    if !row.is_alive(now) {
        let database = config.database.display();
        let problem = match row.is_held() {
            true => format!(
                "worker {} has shown no sign of life for {silent_s} s, so nothing is bought: it has died or is stopped \
                 (start one: unlockd run), or another program holds the write lock of {database}",
                row.pid
            ),
            false => format!("no worker runs on {database}, so nothing is bought; start one: unlockd run"),
        };
        return Err(anyhow::Error::msg(problem).into());
    }
    well(&args, &stops, row.pid, silent_s)
}

fn well(args: &Args, stops: &[Stop], pid: i64, silent_s: i64) -> Outcome {
    if let (true, Some(stop)) = (args.ready, stops.first()) {
        return Err(anyhow::anyhow!("{}; {}", stop.what(), stop.to_do()).into());
    }
    writeln!(std::io::stdout(), "ok: worker {pid} was alive {silent_s} s ago")?;
    Ok(())
}

/// The process of this host's worker, and for how many seconds it has shown no sign of life; or what is wrong.
fn here(seen: &Members, host: &str) -> Result<(i64, i64), String> {
    let worker = seen.workers.iter().filter(|worker| worker.host == host).max_by_key(|worker| worker.seen_at);
    let Some(worker) = worker else {
        let mut others: Vec<&str> = seen.workers.iter().map(|worker| worker.host.as_str()).collect();
        others.dedup();
        return Err(format!(
            "no worker of this host ({host}) shows that it lives; of the same database do: {}. Start one: unlockd run. If \
             this is its host, fleet.host must be the same here",
            others.join(", ")
        ));
    };
    let silent_s = (seen.now - worker.seen_at) / 1_000;
    match seen.silent_since(worker) {
        None => Ok((worker.pid, silent_s)),
        Some(_) => Err(format!(
            "worker {} of this host has shown no sign of life for {silent_s} s: it has died or is stopped, or the \
             database does not answer it",
            worker.pid
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::members::Worker;

    #[test]
    fn only_this_hosts_worker_counts() {
        let mut seen = Members {
            workers: vec![Worker::named("w1", "one", 41, 99_000), Worker::named("w2", "two", 42, 60_000)],
            now: 100_000,
            ..Members::default()
        };
        assert_eq!(here(&seen, "one"), Ok((41, 1)));
        let frozen = here(&seen, "two").expect_err("silent");
        assert!(frozen.starts_with("worker 42 of this host") && frozen.contains("for 40 s"), "{frozen}");
        // A second worker of the host.
        seen.workers.push(Worker::named("w3", "two", 43, 98_000));
        assert_eq!(here(&seen, "two"), Ok((43, 2)));
        let missing = here(&seen, "three").expect_err("none");
        assert!(missing.contains("(three)") && missing.contains("one, two"), "{missing}");
    }
}
