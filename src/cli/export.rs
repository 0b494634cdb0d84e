//! `unlockd export`: delivered contacts and failures from the database.
//!
//! The only command that shows emails and phones. It reads in pages and writes each at once, so neither
//! memory nor the database's log grows with the size of the export.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;

use super::arguments::{When, personnel, when};
use super::whole_file::WholeFile;
use super::{Context, Failure, Outcome, existing_even_closed, formula, show};
use crate::clock::Clock;
use crate::domain::PersonnelId;
use crate::domain::outcome::Outcome as ContactOutcome;
use crate::store::Store;
use crate::store::report::export::{self, Contact, Wanted};
use crate::store::report::{direct, requests, untaken};

/// Contacts in one read.
const AT_ONCE: u32 = 2_000;

const COLUMNS: [&str; 15] = [
    "request_id",
    "reference",
    "account",
    "action",
    "event_id",
    "personnel_id",
    "outcome",
    "email",
    "phone",
    "error_code",
    "source",
    "job_id",
    "task_id",
    "resolved_at",
    "obtained_at",
];

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd export --request 12 --outcome delivered -o leads.csv
  unlockd export --reference crm-export-17
  unlockd export --format jsonl --since 24h
  unlockd export --personnel 789

Contacts whose outcome is not known yet are left out, except with --outcome pending.
The results of event unlocks and searches (view action_results) are in JSON Lines only, after the contacts.
In CSV, a cell that a spreadsheet could take for a formula (it begins with = + - @, a tab or a carriage
return) gets a leading '. Numbers and phone numbers are written as they are, and so is all of JSON Lines.
A file (-o) is readable by its owner only. It is replaced when the new one is whole, and never through a
link.")]
pub(super) struct Args {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// JSON Lines, as --format jsonl
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Only of this request
    #[arg(long, value_name = "ID")]
    request: Option<i64>,
    /// Only of the requests with exactly this reference
    #[arg(long, value_name = "R", conflicts_with = "request")]
    reference: Option<String>,
    /// Only this person, in every request: all values stored about one person
    #[arg(long, value_name = "ID", value_parser = personnel)]
    personnel: Option<PersonnelId>,
    /// Only results settled since a time (2026-11-21T08:00:00Z), a day (2026-11-21), or a duration ago (24h, 7d)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<When>,
    /// Only these outcomes; may be given several times
    #[arg(long = "outcome", value_name = "O", value_parser = PossibleValuesParser::new(
        ContactOutcome::NAMES.into_iter().chain(ContactOutcome::DIRECT_NAMES)))]
    outcomes: Vec<String>,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load()?;
    let format = if args.json { Format::Jsonl } else { args.format };
    let store = existing_even_closed(&config).await?;
    if let Some(id) = args.request {
        let request = super::requests::find(&store, id).await?;
        if format == Format::Csv && request.is_direct() {
            super::say(&format!("request {id} has no contacts: use --format jsonl"));
        }
    }
    let requests = match (&args.reference, args.request) {
        (Some(reference), _) => of_reference(&store, reference).await?,
        (None, request) => vec![request],
    };
    let wanted = Wanted {
        request_id: None,
        since: args.since.map(|since| since.from(Clock::real().now())),
        personnel_id: args.personnel.clone(),
        outcomes: (!args.outcomes.is_empty()).then(|| serde_json::json!(args.outcomes).to_string()),
    };
    match &args.output {
        Some(path) if path.as_os_str() != "-" => {
            let whole = WholeFile::begin(path, &config)?;
            let mut out = BufWriter::new(whole.writer()?);
            let form = Form { format, escapes: false };
            let count = write_all(&store, &requests, &wanted, form, &mut out).await?;
            out.flush()?;
            whole.finish()?;
            super::say(&format!("{} written to {}", super::show::plural(count, "contact"), path.display()));
        }
        _ => {
            let escapes = std::io::stdout().is_terminal();
            let mut out = BufWriter::new(std::io::stdout());
            write_all(&store, &requests, &wanted, Form { format, escapes }, &mut out).await?;
            out.flush()?;
        }
    }
    Ok(())
}

/// The requests with a reference; exit code 3 when there is none.
async fn of_reference(store: &Store, reference: &str) -> Result<Vec<Option<i64>>, Failure> {
    let ids = requests::ids_of_reference(store, reference, false).await?;
    if ids.is_empty() && untaken::of_reference(store, reference).await?.is_empty() {
        return Err(super::requests::no_reference(reference));
    }
    Ok(ids.into_iter().map(Some).collect())
}

/// The format, and whether to escape.
#[derive(Clone, Copy)]
struct Form {
    format: Format,
    /// On a terminal, control characters in a value are escaped, so that they cannot control it.
    escapes: bool,
}

/// Writes what is wanted of each of the `requests`; `None` stands for all of them. Returns how many.
async fn write_all(
    store: &Store,
    requests: &[Option<i64>],
    wanted: &Wanted,
    form: Form,
    out: &mut impl Write,
) -> Result<i64, Failure> {
    if form.format == Format::Csv {
        csv_line(out, &COLUMNS.map(Some), form.escapes)?;
    }
    let of = |request_id: &Option<i64>| Wanted { request_id: *request_id, ..wanted.clone() };
    let mut count = 0;
    for request in requests {
        count += write_contacts(store, &of(request), form, out).await?;
    }
    for request in requests.iter().filter(|_| form.format == Format::Jsonl) {
        count += write_direct(store, &of(request), form.escapes, out).await?;
    }
    Ok(count)
}

async fn write_contacts(
    store: &Store,
    wanted: &Wanted,
    form: Form,
    out: &mut impl Write,
) -> Result<i64, Failure> {
    let (mut last, mut count) = (0, 0);
    loop {
        let page = export::page(store, wanted, last, AT_ONCE).await?;
        for contact in &page {
            match form.format {
                Format::Csv => csv_contact(out, contact, form.escapes)?,
                Format::Jsonl => show::json_line(out, contact, form.escapes)?,
            }
        }
        count += page.len() as i64;
        // The reader gets each page at once, and a closed pipe is noticed.
        out.flush()?;
        match page.last() {
            Some(contact) => last = contact.item_id,
            None => return Ok(count),
        }
    }
}

/// Event unlocks and searches have other columns than contacts: JSON Lines only.
async fn write_direct(
    store: &Store,
    wanted: &Wanted,
    escapes: bool,
    out: &mut impl Write,
) -> Result<i64, Failure> {
    let (mut last, mut count) = (0, 0);
    loop {
        // A result may be a thousand pages.
        let page = direct::page(store, wanted, last, 10).await?;
        for result in &page {
            show::json_line(out, result, escapes)?;
        }
        count += page.len() as i64;
        out.flush()?;
        match page.last() {
            Some(result) => last = result.request_id,
            None => return Ok(count),
        }
    }
}

fn csv_contact(out: &mut impl Write, contact: &Contact, escapes: bool) -> std::io::Result<()> {
    let (request_id, job_id) = (contact.request_id.to_string(), contact.job_id.map(|id| id.to_string()));
    let [resolved_at, obtained_at] =
        [contact.resolved_at, contact.obtained_at].map(|at| at.map(|at| at.to_string()));
    csv_line(
        out,
        &[
            Some(&request_id),
            contact.reference.as_deref(),
            Some(&contact.account),
            Some(&contact.action),
            contact.event_id.as_deref(),
            Some(&contact.personnel_id),
            Some(&contact.outcome),
            contact.email.as_deref(),
            contact.phone.as_deref(),
            contact.error_code.as_deref(),
            contact.source.as_deref(),
            job_id.as_deref(),
            contact.task_id.as_deref(),
            resolved_at.as_deref(),
            obtained_at.as_deref(),
        ],
        escapes,
    )
}

/// One line of CSV in which no cell is a formula; on a terminal, with control characters written out.
pub(super) fn csv_line(out: &mut impl Write, cells: &[Option<&str>], escapes: bool) -> std::io::Result<()> {
    let mut line = csv::WriterBuilder::new().from_writer(Vec::with_capacity(256));
    let cells = cells.iter().map(|cell| {
        let cell = formula::guarded(cell.unwrap_or_default());
        if escapes { show::plain(&cell) } else { cell.into_owned() }
    });
    line.write_record(cells).map_err(std::io::Error::from)?;
    out.write_all(&line.into_inner().map_err(|error| error.into_error())?)
}
