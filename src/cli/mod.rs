//! The command line: clap types, and one short file for each group of commands.
//!
//! Results go to standard output, everything else to standard error; `--json` is for programs. The exit codes
//! are in `exit_code`.

mod account;
mod arguments;
mod backup;
mod bars;
mod cancel;
mod check;
mod columns;
mod confirm;
mod context;
mod copy;
mod database;
mod decide;
mod demo;
mod enqueue;
mod exit_code;
mod explain;
mod export;
mod findings;
mod formula;
mod health;
mod help;
mod ids;
mod jobs;
mod leases;
mod mcp;
mod migrate;
mod packaging;
mod personnel;
mod place;
mod plan;
mod purge;
mod reload;
mod requests;
mod resolve;
mod run;
mod sandbox;
mod show;
mod spend;
mod standby;
mod stop;
mod verdicts;
mod version;
mod wait;
mod wanted;
mod watch;
mod webhooks;
mod whole_file;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use self::context::Context;
pub(crate) use self::database::{
    existing, existing_even_closed, existing_to_copy, open, open_as_it_is, open_noted,
};
pub(crate) use self::exit_code::{Failure, Outcome};

/// Buys contact emails and phones through the Lensmor API, and never pays twice.
#[derive(Parser)]
#[command(name = "unlockd", version, max_term_width = 100, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Cli {
    /// Configuration file [default: $UNLOCKD_CONFIG, ./unlockd.toml, /etc/unlockd/unlockd.toml]
    #[arg(long, global = true, help_heading = "Global options", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Database file [default: unlockd.db]
    #[arg(long, global = true, help_heading = "Global options", value_name = "FILE")]
    database: Option<PathBuf>,
    /// How much to log: error, warn, info, debug, trace
    #[arg(long, global = true, help_heading = "Global options", value_name = "L")]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Try it, without a key and without spending anything:
  unlockd demo

The handbook, by topic:
  unlockd help

Exit codes: 0 done; 1 it failed; 2 wrong usage or configuration; 3 the thing named does not exist;
4 refused in the present state.";

#[derive(Subcommand)]
enum Command {
    /// The daemon: takes requests from the inbox, buys the missing contacts, records the results
    Run(run::Args),
    /// Run everything once on a sandbox and a temporary database: no key, no credits
    Demo(demo::Args),
    /// Run a local imitation of the Lensmor API, for trials and tests
    Sandbox(sandbox::Args),
    /// List the people of an event, and which contacts are still locked; free
    Personnel(personnel::Args),
    /// Show what a request would buy and cost; writes no request
    Plan(plan::Args),
    /// Ask for contacts: add a request to the inbox
    Enqueue(enqueue::Args),
    /// Follow a task that another program created; buys nothing
    Adopt(enqueue::Adopt),
    /// List the requests, newest first
    Requests(requests::Listed),
    /// Show one request in full, with its timeline
    Request(requests::One),
    /// List the jobs, newest first
    Jobs(jobs::Listed),
    /// Show one job in full: submissions, cost, timeline
    Job(jobs::One),
    /// Live view of requests, jobs, rate limit and balance; keys to approve, cancel, pause, resume
    Watch(watch::Args),
    /// Show why a request is not finished, and what would unblock it
    Explain(explain::Args),
    /// Approve the cost of a request that waits for approval
    #[command(
        after_help = "Examples:\n  unlockd approve 12                 shows the cost, and asks to type it\n  \
                      unlockd approve 12 --credits 1800  for programs: the figure that was shown\n\n\
                      When the request would cost another figure by now, nothing is approved (exit code 4)."
    )]
    Approve(decide::Approval),
    /// Cancel the contacts of a request that were not sent yet
    #[command(
        after_help = "Examples:\n  unlockd cancel 12\n  unlockd cancel --reference crm-export-17\n\nContacts already sent are followed to the end (they may be charged); \
                      calls found to have failed are not resent."
    )]
    Cancel(cancel::Args),
    /// Stop buying; running tasks are still polled and settled
    #[command(after_help = "Examples:\n  unlockd pause --account default\n  unlockd pause --all")]
    Pause(decide::OfAccount),
    /// Continue buying; also retries jobs that wait for credits or a key, and polls expired jobs
    #[command(after_help = "Examples:\n  unlockd resume --account default\n  unlockd resume --all")]
    Resume(decide::OfAccount),
    /// Decide on a job in doubt: its answer was lost, and checking did not help
    Resolve(resolve::Resolve),
    /// Fetch, record and show the balance
    Balance(account::BalanceArgs),
    /// List settlements: credits expected, credits spent, verdict
    Audit(account::AuditArgs),
    /// Show where the credits went: by day, account, action, reference
    Spend(spend::SpendArgs),
    /// List what was paid for and brought no value, for the vendor's support
    Claims(spend::ClaimsArgs),
    /// Export delivered contacts and failures, as CSV or JSON Lines
    Export(export::Args),
    /// Erase emails and phones, by age or of one person; outcomes are kept
    Purge(purge::Args),
    /// Copy the database; the worker may keep running
    Backup(backup::Args),
    /// Move everything to PostgreSQL, or back to SQLite; stop the worker first
    Copy(copy::Args),
    /// Bring the database to this version's schema; stop the worker first
    Migrate(migrate::Args),
    /// Deliver webhook messages once more
    Webhooks(webhooks::Args),
    /// Tools for an agent, by the Model Context Protocol: it proposes, a person approves
    Mcp(mcp::Args),
    /// Check that everything is in place, with a suggested fix for each problem
    Check(check::Args),
    /// Exit 0 if the daemon runs and is healthy: for container health checks
    Health(health::Args),
    /// Show a topic of the handbook, or list the topics
    Help(help::Args),
    /// Print a completion script for your shell
    Completions(packaging::Completions),
    /// Print the manual page, or write all of them into a directory
    Man(packaging::Man),
}

/// Prints a message on standard error. It may quote other programs, so control characters are written out.
pub(crate) fn say(text: &str) {
    let lines: Vec<String> = text.lines().map(show::plain).collect();
    // The reader may have gone away; that is not a failure.
    let _ = writeln!(std::io::stderr(), "unlockd: {}", lines.join("\n"));
}

/// The parts of every help text: purpose, examples, usage, all options.
const HELP: &str = "{about}{after-help}\n\n{usage-heading} {usage}\n\n{all-args}\n";

/// The sandbox has long rules, which follow the options.
const HELP_WITH_RULES: &str = "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}\n";

fn command() -> clap::Command {
    Cli::command()
        .help_template(HELP)
        .mut_subcommands(|command| command.help_template(HELP))
        .mut_subcommand("sandbox", |command| command.help_template(HELP_WITH_RULES))
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let cli = match command().try_get_matches().and_then(|given| Cli::from_arg_matches(&given)) {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::DisplayVersion => return version::print(),
        Err(error) => error.exit(),
    };
    let context = Context { config: cli.config, database: cli.database, log_level: cli.log_level };
    match run_command(cli.command, context) {
        Ok(()) => ExitCode::SUCCESS,
        // `unlockd requests | head` is no error.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("{:#}", failure.error));
            ExitCode::from(failure.code)
        }
    }
}

fn run_command(command: Command, context: Context) -> Outcome {
    match command {
        Command::Run(args) => block_on(run::run(context, args)),
        Command::Demo(args) => block_on(demo::run(context, args)),
        Command::Sandbox(args) => block_on(sandbox::run(args)),
        Command::Personnel(args) => block_on(personnel::run(context, args)),
        Command::Enqueue(args) => block_on(enqueue::run(context, args)),
        Command::Adopt(args) => block_on(enqueue::adopt(context, args)),
        Command::Requests(args) => block_on(requests::list(context, args)),
        Command::Request(args) => block_on(requests::one(context, args)),
        Command::Jobs(args) => block_on(jobs::list(context, args)),
        Command::Job(args) => block_on(jobs::one(context, args)),
        Command::Watch(args) => block_on(watch::run(context, args)),
        Command::Explain(args) => block_on(explain::run(context, args)),
        Command::Plan(args) => block_on(plan::run(context, args)),
        Command::Approve(args) => block_on(decide::approve(context, args)),
        Command::Cancel(args) => block_on(cancel::run(context, args)),
        Command::Pause(args) => block_on(decide::pause(context, args)),
        Command::Resume(args) => block_on(decide::resume(context, args)),
        Command::Resolve(args) => block_on(resolve::run(context, args)),
        Command::Balance(args) => block_on(account::balance(context, args)),
        Command::Audit(args) => block_on(account::audit(context, args)),
        Command::Spend(args) => block_on(spend::spend(context, args)),
        Command::Claims(args) => block_on(spend::claims(context, args)),
        Command::Export(args) => block_on(export::run(context, args)),
        Command::Purge(args) => block_on(purge::run(context, args)),
        Command::Backup(args) => block_on(backup::run(context, args)),
        Command::Copy(args) => block_on(copy::run(context, args)),
        Command::Migrate(args) => block_on(migrate::run(context, args)),
        Command::Webhooks(args) => block_on(webhooks::run(context, args)),
        Command::Mcp(args) => block_on(mcp::run(context, args)),
        Command::Check(args) => block_on(check::run(context, args)),
        Command::Health(args) => block_on(health::run(context, args)),
        Command::Help(args) => help::help(&args),
        Command::Completions(args) => packaging::completions(&args),
        Command::Man(args) => packaging::man(&args),
    }
}

fn block_on(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(command);
    // A read of standard input that nothing answers must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    outcome
}
