//! `unlockd watch`: a live view of the work.
//!
//! [`model`] is read from the database. [`view`] holds the selection and handles keys. [`draw`] and [`rows`]
//! draw the screen. [`terminal`] owns the terminal and the loop. It reads only the database, so it works with
//! or without a running daemon; decisions use the same code as the command line. Outside a terminal it prints
//! a plain block whenever something changes.

mod draw;
mod foot;
mod model;
mod plain;
mod rows;
mod terminal;
mod view;

use std::io::Write;
use std::time::Duration;

use super::{Context, Outcome, existing, show};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Store;

/// The pause between two reads of the database.
const TICK: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd watch                   live, with keys to approve, cancel and pause
  unlockd watch --once            one look, as plain text
  unlockd watch --json | jq .needs

It needs no daemon and makes no call to the API. Not on a terminal, or with TERM=dumb, it prints a
block of plain lines whenever something changes; with --json a line of JSON every half second.")]
pub(super) struct Args {
    /// Print the state once as plain text (or JSON) and exit
    #[arg(long)]
    once: bool,
    /// For programs: a JSON object on each line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load_in_part()?;
    let store = existing(&config).await?;
    if !args.once && !args.json && show::is_live() {
        return terminal::run(&store, &config).await;
    }
    tokio::select! {
        printed = print(&store, &config, &args) => printed,
        stopped = crate::cli::stop::stop_requested() => Ok(stopped?),
    }
}

async fn print(store: &Store, config: &Config, args: &Args) -> Outcome {
    let (clock, mut told) = (Clock::real(), String::new());
    loop {
        let model = model::read(store, config, clock.now()).await?;
        let mut out = std::io::stdout().lock();
        if args.json {
            serde_json::to_writer(&mut out, &model).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            let block = plain::block(&model);
            if block != told {
                writeln!(out, "{}{block}", plain::stamp(&model))?;
                told = block;
            }
        }
        out.flush()?;
        drop(out);
        if args.once {
            return Ok(());
        }
        tokio::time::sleep(TICK).await;
    }
}
