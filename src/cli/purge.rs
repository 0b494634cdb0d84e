//! `unlockd purge`: erases emails and phones, by age or of one person.
//!
//! The outcomes are kept, so unlockd still knows what was bought. Works while the worker runs.

use std::io::Write;

use serde_json::json;

use super::arguments::{length_ms, personnel};
use super::show::{self, plural};
use super::{Context, Failure, Outcome, existing_even_closed};
use crate::clock::Clock;
use crate::domain::PersonnelId;
use crate::store::Store;
use crate::store::erase::{self as rows, Which};
use crate::store::place::Place;
use crate::worker::erase;

#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true),
    after_help = "\
Examples:
  unlockd purge --older-than 90d
  unlockd purge --personnel 789

The outcomes are kept: an erased contact that is requested again is read from its profile, not bought.
Afterwards the database's files and later backups hold no byte of an erased value. Exports and earlier
backups are not changed, nor are contact ids and references: they are no emails or phones."
)]
pub(super) struct Args {
    /// Erase values delivered longer ago than this: 90m, 24h, 90d
    #[arg(long, group = "which", value_name = "DURATION", value_parser = older_than)]
    older_than: Option<i64>,
    /// Erase the values of this person, in every request
    #[arg(long, group = "which", value_name = "ID", value_parser = personnel)]
    personnel: Option<PersonnelId>,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

fn older_than(text: &str) -> Result<i64, String> {
    length_ms(text).ok_or_else(|| "write a duration such as 90m, 24h or 90d".to_owned())
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load()?;
    let store = existing_even_closed(&config).await?;
    let which = match args.personnel {
        Some(id) => Which::Of(id),
        None => Which::DeliveredBefore(Clock::real().now().plus(-args.older_than.unwrap_or_default())),
    };
    let to_come = to_come(&store, &which).await?;
    let erased = erase::values(&store, &which, || false).await?.values;
    let emptied = erase::empty_log(&store).await?;
    if args.json {
        show::json(&json!({"erased": erased, "to_come": to_come, "log_emptied": emptied}))?;
    } else {
        let mut out = std::io::stdout();
        writeln!(out, "{} erased; the outcomes are kept", plural(erased as i64, "value"))?;
        if to_come > 0 {
            let requests = plural(to_come, "unfinished request");
            writeln!(out, "{requests} may still deliver a value: repeat this command when done")?;
        }
        if Place::is_server(&config.database) {
            writeln!(
                out,
                "PostgreSQL keeps copies that unlockd cannot reach: dead rows until vacuum has overwritten them, the \
                 write-ahead log and its archive, standbys, backups. Let those expire by their own rules"
            )?;
        }
    }
    if emptied {
        return Ok(());
    }
    let path = store.path().display();
    Err(anyhow::anyhow!(
        "the rows are erased, but {path}-wal could not be emptied, so their bytes may still be in it and in {path}: \
         another program is reading an older state of the database (a backup, a long export) or keeps writing; \
         nothing was spent; run the same command again when it has ended"
    )
    .into())
}

/// How many unfinished requests may bring a value that is to be erased; exit code 3 when nobody
/// asked for the person.
async fn to_come(store: &Store, which: &Which) -> Result<i64, Failure> {
    let Which::Of(id) = which else { return Ok(0) };
    match rows::requests_of(store, id).await? {
        (0, _) => Err(Failure::missing(format!("no request has the contact {id}; nothing was erased"))),
        (_, to_come) => Ok(to_come),
    }
}
