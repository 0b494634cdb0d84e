//! `unlockd copy`: moves everything to an empty database of the other engine.

use std::io::Write;
use std::path::PathBuf;

use super::{Context, Failure, Outcome, database, show};
use crate::clock::Clock;
use crate::store::copy::{self, CopyError};
use crate::store::place::Place;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd copy postgres://unlockd@db.example.com/unlockd
  unlockd --database postgres://unlockd@db.example.com/unlockd copy /var/lib/unlockd/unlockd.db

Stop the worker first. Everything is copied in one transaction, and compared: rows, sums and a digest of each table. Then
the database that it came from is closed: no worker starts on it, and it takes no rows, so that nothing can be bought
from both. It can still be read by export, backup and purge. Whenever it is stopped, the same command does it again.

A password of PostgreSQL comes from database_password_file, PGPASSWORD or PGPASSFILE.
Exit code 4: a worker is running, the target is not empty, or everything was copied before. Nothing was changed then.")]
pub(super) struct Args {
    /// A URL of PostgreSQL, or a file of SQLite: the other engine, and empty
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load()?;
    // It is written into the source, where a relative one would mean another file elsewhere.
    let target = match Place::is_server(&args.target) {
        true => args.target,
        false => std::path::absolute(&args.target).unwrap_or(args.target),
    };
    let target = Context { database: Some(target), ..context }.load()?;
    drop(database::existing_even_closed(&config).await?);
    let (source, inbox) = database::parts(&config).await?;
    let target = database::place(&target)?;
    let report =
        copy::copy(&source, inbox.as_deref(), &target, Clock::real().now()).await.map_err(failure)?;
    if args.json {
        return Ok(show::json(&report)?);
    }
    let mut out = std::io::stdout().lock();
    for table in &report.tables {
        writeln!(out, "{:18} {:>9} rows  {}", table.table, table.rows, &table.digest[..16])?;
    }
    if report.rows_changed > 0 {
        writeln!(
            out,
            "{} rows had a character that PostgreSQL cannot store (NUL, or bytes that are no text): it was left out",
            report.rows_changed
        )?;
    }
    let (source, target) = (source.path.display(), target.path.display());
    writeln!(
        out,
        "\nCopied to {target} and compared: rows, sums and digests are the same; {} credits booked.\n{source} is closed. \
         Set database = \"{target}\" and start the worker.",
        report.credits_booked
    )?;
    Ok(())
}

fn failure(error: CopyError) -> Failure {
    match error {
        CopyError::Refused(why) => Failure::refused(why),
        CopyError::Store(error) => error.into(),
    }
}
