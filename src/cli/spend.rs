//! `unlockd spend` and `unlockd claims`: where the credits went, and what they bought nothing for.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::account::named;
use super::arguments::{When, when};
use super::export::csv_line;
use super::show::{self, Columns};
use super::whole_file::WholeFile;
use super::{Context, Outcome, existing};
use crate::clock::Clock;
use crate::domain::Millis;
use crate::store::report::claims;
use crate::store::report::spend::{self, By, Spent, day};
use crate::worker::people::claims::Claim;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Column {
    Day,
    Account,
    Action,
    Reference,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd spend
  unlockd spend --by reference --since 30d
  unlockd spend --by day,account,action --since 2026-11-01 --until 2026-11-30 --json

The credits are those that were booked: at most what was spent. unlockd audit compares them with the balance. A job in
doubt is not booked before its effect is known: what it may have cost is said in a last line.
A job that several requests share is divided between them. Days are UTC; a day named with --until is counted whole.")]
pub(super) struct SpendArgs {
    /// What to sum by: day, account, action, reference, in any combination
    #[arg(long, value_enum, value_delimiter = ',', default_value = "day,account")]
    by: Vec<Column>,
    #[command(flatten)]
    time: Period,
    /// For programs: a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Period {
    /// Only this account
    #[arg(long, value_name = "A")]
    account: Option<String>,
    /// Only from a time (2026-11-21T08:00:00Z), a day (2026-11-21), or a duration ago (24h, 30d)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<When>,
    /// Only until then
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<When>,
}

impl Period {
    fn bounds(&self) -> (Millis, Millis) {
        let now = Clock::real().now();
        let since = self.since.map_or(Millis(0), |since| since.from(now));
        (since, self.until.map_or(Millis(i64::MAX), |until| until.until(now)))
    }

    /// The account, as a JSON array for a statement.
    fn accounts(&self) -> Option<String> {
        self.account.as_ref().map(|account| json!([account]).to_string())
    }
}

pub(super) async fn spend(context: Context, args: SpendArgs) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    let by = |column| args.by.contains(&column);
    let shown = By {
        day: by(Column::Day),
        account: by(Column::Account),
        action: by(Column::Action),
        reference: by(Column::Reference),
    };
    let accounts = args.time.accounts();
    let summed = spend::spent(&store, accounts.as_deref(), shown, args.time.bounds()).await?;
    if let (Some(account), true) = (&args.time.account, summed.is_empty()) {
        named(&config, account)?;
    }
    if args.json {
        return Ok(show::json(&summed.iter().map(|spent| as_json(spent, shown)).collect::<Vec<_>>())?);
    }
    let rows: Vec<_> = summed.iter().map(cells).collect();
    show::table(&mut io::stdout().lock(), &SPEND, rows, "no credits were booked in this time")?;
    if summed.len() > 1 {
        let sum: i64 = summed.iter().map(|spent| spent.credits).sum();
        writeln!(io::stdout(), "{} credits in all", show::grouped(sum))?;
    }
    let doubt = spend::in_doubt(&store, accounts.as_deref(), args.time.bounds()).await?;
    if doubt.jobs > 0 {
        let (jobs, credits) = (show::plural(doubt.jobs, "job"), show::grouped(doubt.credits));
        writeln!(
            io::stdout(),
            "{jobs} in doubt may have cost up to {credits} credits more: unlockd jobs --state in_doubt"
        )?;
    }
    Ok(())
}

const SPEND: Columns<7> = Columns {
    names: ["day", "account", "action", "reference", "jobs", "contacts", "credits"],
    may_go: &["jobs", "contacts"],
};

fn cells(spent: &Spent) -> [String; 7] {
    [
        show::cell(&spent.day.map(day)),
        show::cell(&spent.account),
        show::cell(&spent.action),
        show::cell(&spent.reference),
        spent.jobs.to_string(),
        spent.contacts.to_string(),
        show::grouped(spent.credits),
    ]
}

/// Only the columns that are summed by: another one has no single value.
fn as_json(spent: &Spent, by: By) -> Value {
    let columns = [
        (by.day, "day", json!(spent.day.map(day))),
        (by.account, "account", json!(spent.account)),
        (by.action, "action", json!(spent.action)),
        (by.reference, "reference", json!(spent.reference)),
        (true, "jobs", json!(spent.jobs)),
        (true, "contacts", json!(spent.contacts)),
        (true, "credits", json!(spent.credits)),
    ];
    let shown = columns.into_iter().filter(|(is_shown, _, _)| *is_shown);
    Value::Object(shown.map(|(_, name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Json,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd claims --since 30d -o claims.csv
  unlockd claims --json

One line for each contact that a job was charged for and that brought no value, with what the vendor's support needs
to find it. `credits` is its price, at most. `balance` is what the settlement shows: charged (the credits left the
balance), not_charged (they did not), partly (some of the settlement's contacts were charged, but not all), unclear
(the balance proves nothing: see the verdict in unlockd audit), open (not settled yet).")]
pub(super) struct ClaimsArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// JSON, as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    time: Period,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const CLAIM: [&str; 18] = [
    "account",
    "action",
    "personnel_id",
    "event_id",
    "request_id",
    "reference",
    "job_id",
    "task_id",
    "trace_id",
    "x_request_id",
    "submitted_at",
    "credits",
    "outcome",
    "error_code",
    "balance",
    "expected_min",
    "expected_max",
    "spent",
];

pub(super) async fn claims(context: Context, args: ClaimsArgs) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    let accounts = args.time.accounts();
    let unfulfilled =
        claims::unfulfilled(&store, accounts.as_deref(), args.time.bounds(), (0, u32::MAX)).await?;
    if let (Some(account), true) = (&args.time.account, unfulfilled.is_empty()) {
        named(&config, account)?;
    }
    let claims: Vec<Claim> = unfulfilled.into_iter().map(Claim::from).collect();
    let format = if args.json { Format::Json } else { args.format };
    match &args.output {
        Some(path) if path.as_os_str() != "-" => {
            let whole = WholeFile::begin(path, &config)?;
            let mut out = io::BufWriter::new(whole.writer()?);
            write_claims(&mut out, &claims, format, false)?;
            out.flush()?;
            whole.finish()?;
            let count = show::plural(claims.len() as i64, "claim");
            super::say(&format!("{count} written to {}", path.display()));
        }
        _ => {
            let escapes = io::stdout().is_terminal();
            write_claims(&mut io::BufWriter::new(io::stdout()), &claims, format, escapes)?;
        }
    }
    Ok(())
}

fn write_claims(out: &mut impl Write, claims: &[Claim], format: Format, escapes: bool) -> io::Result<()> {
    if format == Format::Json {
        show::json_to(out, &claims, escapes)?;
        return out.flush();
    }
    csv_line(out, &CLAIM.map(Some), escapes)?;
    for claim in claims {
        let cells = claim_cells(claim);
        csv_line(out, &cells.each_ref().map(Option::as_deref), escapes)?;
    }
    out.flush()
}

fn claim_cells(claim: &Claim) -> [Option<String>; 18] {
    [
        Some(claim.account.clone()),
        Some(claim.action.clone()),
        claim.personnel_id.clone(),
        claim.event_id.clone(),
        Some(claim.request_id.to_string()),
        claim.reference.clone(),
        Some(claim.job_id.to_string()),
        claim.task_id.clone(),
        claim.trace_id.clone(),
        claim.x_request_id.clone(),
        claim.submitted_at.map(|at| at.to_string()),
        Some(claim.credits.to_string()),
        Some(claim.outcome.clone()),
        claim.error_code.clone(),
        Some(claim.balance.to_owned()),
        claim.expected_min.map(|credits| credits.to_string()),
        claim.expected_max.map(|credits| credits.to_string()),
        claim.spent.map(|credits| credits.to_string()),
    ]
}
