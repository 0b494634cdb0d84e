//! `unlockd sandbox`: the imitation of the API, as a process.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

use super::{Failure, Outcome};
use crate::clock::Clock;
use crate::domain::Millis;
use crate::sandbox::{self, Billing, Fault, Options};

const EXAMPLES: &str = "\
Examples:
  unlockd sandbox
  unlockd sandbox --task-seconds 5 --balance 500 --fault lost-answer@unlock
  unlockd sandbox --address-limit 40 --fault always:lagging=5s@poll --fault gateway=404@unlock";

const FORGETS: &str = "\
The sandbox keeps everything in memory and forgets it when it ends: what is unlocked, the balance,
and its tasks. A worker's database still has them, so begin with a new one, too. The ids of its tasks
begin at its start time, so that no later sandbox gives a task an id again.";

#[derive(clap::Args)]
#[command(before_help = EXAMPLES, after_help = format!("{FORGETS}\n\n{}\n\n{}", sandbox::RULES, sandbox::FAULTS))]
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
    /// Calls in a window for each key; 0: no limit, for addresses neither
    #[arg(long, value_name = "N", default_value_t = 120)]
    rate_limit: u32,
    /// Calls in a window for each client address; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 600)]
    address_limit: u32,
    /// Length of the window, in seconds
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    rate_window: f64,
    /// The only key that is accepted [default: any]
    #[arg(long, value_name = "K")]
    api_key: Option<String>,
    /// Days until the subscription's credits lapse and are granted again
    #[arg(long, value_name = "DAYS", default_value_t = 30.0)]
    reset_after: f64,
    /// Days until add-on credits lapse
    #[arg(long, value_name = "DAYS", default_value_t = 180.0)]
    addon_lapses_after: f64,
    /// The owners of keys have no paid subscription
    #[arg(long)]
    no_subscription: bool,
    /// Charge every submission, even for contacts unlocked before
    #[arg(long)]
    charge_repeats: bool,
    /// Fault to simulate; may be given several times
    #[arg(long = "fault", value_name = "SPEC")]
    faults: Vec<Fault>,
}

/// A worker does not believe an answer that names a task which another of its jobs has. A second has room for a
/// thousand tasks.
fn first_task(now: Millis) -> u64 {
    now.0.div_euclid(1_000).unsigned_abs() * 1_000 + Options::default().first_task
}

pub(super) async fn run(args: Args) -> Outcome {
    let seconds = |value: f64| {
        Duration::try_from_secs_f64(value).map_err(|_| {
            Failure::usage(anyhow::anyhow!("{value} is not a number of seconds; write 12 or 0.5"))
        })
    };
    let days = |value: f64| seconds(value * 86_400.0);
    seconds(args.task_seconds)?;
    let options = Options {
        listen: args.listen,
        first_task: first_task(Clock::real().now()),
        task_seconds: args.task_seconds,
        balance: args.balance,
        rate_limit: args.rate_limit,
        address_limit: args.address_limit,
        rate_window: seconds(args.rate_window)?,
        reset_after: days(args.reset_after)?,
        addon_lapses_after: days(args.addon_lapses_after)?,
        subscribed: !args.no_subscription,
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
        stopped = super::stop::stop_requested() => stopped?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_that_starts_later_gives_its_tasks_other_ids() {
        let (first, second) = (first_task(Millis(1_795_000_000_999)), first_task(Millis(1_795_000_001_000)));
        assert_eq!((first, second), (1_795_000_000_321, 1_795_000_001_321));
    }
}
