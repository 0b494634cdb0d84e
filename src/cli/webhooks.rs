//! `unlockd webhooks`: messages for `notify.url` that a receiver has lost.

use std::io::Write;

use super::arguments::{When, when};
use super::{Context, Failure, Outcome, existing, show};
use crate::clock::Clock;
use crate::store::outbox;
use crate::worker::notify;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  unlockd webhooks replay --since 2h")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Deliver messages once more, with the same webhook-id
    #[command(after_help = "\
Examples:
  unlockd webhooks replay --since 2h
  unlockd webhooks replay --since 2026-11-21T08:00:00Z

For a receiver that has lost messages. It knows those that it has by their webhook-id. Messages are kept for a week
after their end; the running worker delivers them, or else the next one.")]
    Replay(Replay),
}

#[derive(clap::Args)]
struct Replay {
    /// Of changes since a time (2026-11-21T08:00:00Z), a day (2026-11-21), or a duration ago (2h, 7d)
    #[arg(long, value_name = "T", value_parser = when)]
    since: When,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let Command::Replay(Replay { since, json }) = args.command;
    let config = context.load()?;
    let store = existing(&config).await?;
    store.expect_current().await?;
    if !outbox::is_open(store.readers()).await? {
        return Err(Failure::refused(
            "no worker has sent messages to a notify.url since its last start, so none are delivered again; nothing was \
             changed: set notify.url and notify.secret_file, and start the worker"
                .to_owned(),
        ));
    }
    let messages = notify::replay(&store, since.from(Clock::real().now())).await?;
    if json {
        return Ok(show::json(&serde_json::json!({ "messages": messages }))?);
    }
    let plural = show::plural(messages as i64, "message");
    writeln!(std::io::stdout().lock(), "{plural} will be delivered once more, with the same webhook-id")?;
    Ok(())
}
