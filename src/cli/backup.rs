//! `unlockd backup`: copies the database, with or without a running worker.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::{Context, Failure, Outcome, existing_to_copy, show};
use crate::store::backup::{self, BackupError};
use crate::store::place::with_suffix;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd backup /var/backups/unlockd.db
  unlockd backup --force /var/backups/unlockd.db

The worker may keep running, also one of an older version: a copy needs no upgrade. A separate inbox
file is copied too, to FILE.inbox. Each copy is checked before it gets its name, and only its owner can
read it: it holds emails and phones.

To restore: stop the worker, put the copy in the place of the database (and FILE.inbox in the place of
the inbox file), remove the old -wal and -shm files, start the worker. It detects the older copy and
prechecks each purchase: contacts bought since the copy are read, not bought again. Work that no precheck
can clear, such as a search, pauses the account until `unlockd resume`.")]
pub(super) struct Args {
    /// The copy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Copied {
    from: PathBuf,
    to: PathBuf,
    bytes: u64,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load_in_part()?;
    let store = existing_to_copy(&config).await?;
    let mut copies = vec![(store.path(), args.file.clone())];
    if store.inbox_path() != store.path() {
        // The inbox is copied last: after a restore, rows that only the inbox has are taken again, but
        // requests that only the database has could not be.
        copies.push((store.inbox_path(), with_suffix(&args.file, ".inbox")));
    }
    let mut copied = Vec::new();
    for (from, to) in copies {
        let bytes = backup::copy(&store, from, &to, args.force).await.map_err(failure)?;
        copied.push(Copied { from: from.to_owned(), to, bytes });
    }
    if args.json {
        return Ok(show::json(&copied)?);
    }
    let mut out = std::io::stdout().lock();
    for copy in copied {
        writeln!(
            out,
            "{} copied to {}: {} bytes, sound",
            copy.from.display(),
            copy.to.display(),
            copy.bytes
        )?;
    }
    Ok(())
}

fn failure(error: BackupError) -> Failure {
    match error {
        BackupError::OnServer | BackupError::Exists(_) | BackupError::InUse(_) | BackupError::Name(_) => {
            Failure::refused(error.to_string())
        }
        other => other.into(),
    }
}
