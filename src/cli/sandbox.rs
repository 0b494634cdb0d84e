//! `unlockd sandbox`: the imitation of the API, as a process.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

use super::{Failure, Outcome};
use crate::sandbox::{self, Billing, Fault, Options};

const EXAMPLES: &str = "\
Examples:
  unlockd sandbox
  unlockd sandbox --task-seconds 5 --balance 500 --fault lost-answer@unlock";

#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = format!("{}\n\n{}", sandbox::RULES, sandbox::FAULTS))]
pub(super) struct Args {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// How long a task takes
    #[arg(long, value_name = "N", default_value_t = 12.0)]
    task_seconds: f64,
    /// Credits to begin with
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    balance: i64,
    /// Calls in a window for each key; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 120)]
    rate_limit: u32,
    /// Length of the window, in seconds
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    rate_window: f64,
    /// The only key that is accepted [default: any]
    #[arg(long, value_name = "K")]
    api_key: Option<String>,
    /// Charge every submission, even for contacts unlocked before
    #[arg(long)]
    charge_repeats: bool,
    /// Fault to simulate; may be given several times
    #[arg(long = "fault", value_name = "SPEC")]
    faults: Vec<Fault>,
}

pub(super) async fn run(args: Args) -> Outcome {
    let seconds = |value: f64| {
        Duration::try_from_secs_f64(value).map_err(|_| {
            Failure::usage(anyhow::anyhow!("{value} is not a number of seconds; write 12 or 0.5"))
        })
    };
    seconds(args.task_seconds)?;
    let options = Options {
        listen: args.listen,
        task_seconds: args.task_seconds,
        balance: args.balance,
        rate_limit: args.rate_limit,
        rate_window: seconds(args.rate_window)?,
        api_key: args.api_key,
        billing: if args.charge_repeats { Billing::Repeats } else { Billing::Documented },
        faults: args.faults,
        ..Options::default()
    };
    let sandbox = sandbox::start(options).await.with_context(|| {
        format!("the sandbox cannot listen on {}; choose another address: --listen 127.0.0.1:0", args.listen)
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "sandbox listening on {}", sandbox.base_url())?;
    writeln!(
        out,
        "try it: UNLOCKD_API__BASE_URL={} LENSMOR_API_KEY=uak_sandbox unlockd run",
        sandbox.base_url()
    )?;
    drop(out);
    tokio::select! {
        () = sandbox.run_until_stopped() => {}
        stopped = super::run::stop_requested() => stopped?,
    }
    Ok(())
}
