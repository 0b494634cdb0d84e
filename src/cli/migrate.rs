//! `unlockd migrate`: brings the database to this version's schema, while no worker uses it.
//!
//! It holds the lease meanwhile, so that no worker starts half way. `unlockd run` does the same at its start.

use std::io::Write;

use serde_json::json;

use super::{Context, Failure, Outcome, existing_even_closed, open_noted, show};
use crate::clock::Clock;
use crate::store::lease;
use crate::store::place::Place;
use crate::store::schema::Schema;

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  unlockd migrate

To upgrade: make a backup (unlockd backup FILE), stop the worker, install the new version, then `unlockd migrate`, or
start the worker, which does the same. There is no way back but that backup and the older version.
Exit code 4: a worker is running, or the database is of a newer version. Nothing was changed then.")]
pub(super) struct Args {
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load()?;
    let is_new = match Place::is_server(&config.database) {
        // Opening makes the tables of an empty one.
        true => existing_even_closed(&config).await.is_err(),
        false => !config.database.exists(),
    };
    let store = open_noted(&config).await?;
    let before = store.schema().await?;
    if before != Schema::Current {
        let clock = Clock::real();
        let lease = lease::try_take(&store, clock.now()).await?.map_err(|holder| {
            Failure::refused(format!(
                "worker {} is running on this database, and a schema does not change under it: stop it first. \
                 Nothing was changed",
                holder.pid
            ))
        })?;
        let migrated = store.migrate().await;
        lease.release(&store, clock.now()).await?;
        migrated?;
    }
    let step = |schema| match schema {
        Schema::Older { at, .. } => Some(at),
        _ => None,
    };
    let database = config.database.display().to_string();
    if args.json {
        let from = step(before);
        return Ok(show::json(
            &json!({"database": database, "migrated": before != Schema::Current, "from": from}),
        )?);
    }
    let mut out = std::io::stdout();
    let said = match step(before) {
        Some(step) => writeln!(out, "{database}: brought from step {step} to this version's schema"),
        None if is_new => writeln!(out, "{database}: made, with this version's schema"),
        None => writeln!(out, "{database}: has this version's schema; nothing was changed"),
    };
    Ok(said?)
}
