//! `unlockd mcp`: tools for an agent on this machine, by the Model Context Protocol on standard input and output.
//!
//! Standard output holds messages of the protocol and nothing else; the log goes to standard error. It buys nothing: a
//! running worker takes the rows that the agent writes, once a person has approved them.

use std::sync::Arc;

use super::{Context, Outcome, existing};
use crate::clock::Clock;
use crate::http::{Site, mcp};
use crate::logs;
use crate::worker::run::signals::Signals;

#[derive(clap::Args)]
#[command(after_help = "\
Example, in the configuration of an agent:
  { \"mcpServers\": { \"unlockd\": { \"command\": \"unlockd\",
    \"args\": [\"--config\", \"/etc/unlockd/unlockd.toml\", \"mcp\"] } } }

The agent can plan and propose. A person approves each request, on the status page or with unlockd approve;
nothing is bought before. Agents on other machines use POST /mcp with a token of http.tokens.")]
pub(super) struct Args {
    /// Also show emails and phones to the agent
    #[arg(long)]
    values: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = Arc::new(context.load()?);
    let _log = logs::init(&config.log);
    let store = existing(&config).await?;
    store.expect_current().await?;
    let signals = Signals::default();
    let stop = super::stop::stop_signals()?;
    let site = Site::open(&store, Clock::real(), config, signals).await?;
    let streams = (tokio::io::stdin(), tokio::io::stdout());
    tokio::select! {
        ended = mcp::on_streams(site, args.values, streams) => Ok(ended?),
        () = stop => Ok(()),
    }
}
