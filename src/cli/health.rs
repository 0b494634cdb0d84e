//! `unlockd health`: is the daemon running and healthy? For container health checks.
//!
//! The daemon renews its lease every five seconds from the same runtime that runs its passes, so a
//! lease that is fresh says that it is alive and that its database can be written.

use std::io::Write;

use super::{Context, Outcome, existing};
use crate::clock::Clock;
use crate::store::lease;
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
    let config = context.load()?;
    let store = existing(&config).await?;
    let row = lease::read(&store).await?;
    let now = Clock::real().now();
    let silent_s = row.silent_ms(now) / 1_000;
    let stops = needs::stops(&store, &config).await?;
    let silenced = stops.iter().find(|stop| row.is_held() && stop.hides_workers());
    if let (false, Some(stop)) = (row.is_alive(now), silenced) {
        let (what, to_do) = (stop.what(), stop.to_do());
        return Err(anyhow::anyhow!(
            "{what}, so no worker can show that it lives (last {silent_s} s ago); {to_do}"
        )
        .into());
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
    if let (true, Some(stop)) = (args.ready, stops.first()) {
        return Err(anyhow::anyhow!("{}; {}", stop.what(), stop.to_do()).into());
    }
    writeln!(std::io::stdout(), "ok: worker {} was alive {silent_s} s ago", row.pid)?;
    Ok(())
}
