//! `unlockd personnel`: the people of an event, to pick from before anything is bought. Free.
//!
//! It reads all pages and writes them as they come. The checks against a list that is cut short,
//! repeats itself or never ends are in [`listing`](crate::domain::listing); reading one page is in
//! [`pages`]. Emails and phones are neither read nor written.

mod lines;
mod pages;

use std::io::BufWriter;
use std::path::PathBuf;

use self::lines::{Format, Lines};
use self::pages::Pages;
use super::account::{deps, key_of, named};
use super::show::plural;
use super::whole_file::WholeFile;
use super::{Context, Failure, Outcome, existing};
use crate::domain::direct::PEOPLE_PAGE_SIZE;
use crate::domain::listing::Listing;
use crate::domain::{Action, Channel, EventId};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd personnel --event 139574
  unlockd personnel --event 139574 --locked --format csv -o people.csv
  unlockd personnel --event 139574 --locked --format ids | unlockd enqueue --event 139574 -

Free, and reads all pages under the account's rate limit. To buy the people of a CSV:
`unlockd enqueue --event 139574 --file people.csv`. An event that is not unlocked shows a preview
only; `unlockd enqueue --unlock-event 139574` shows all of it, for credits.
In CSV, a cell that begins with = + - @, a tab or a carriage return gets a leading ' so that no
spreadsheet takes it for a formula. Exit code 1 if the list could not be read to its end.")]
pub(super) struct Args {
    /// The event whose people are listed
    #[arg(long, value_name = "ID")]
    event: String,
    /// Only people whose email is still locked; with --phones, whose phone is
    #[arg(long)]
    locked: bool,
    /// --locked is about phones instead of emails
    #[arg(long, requires = "locked")]
    phones: bool,
    /// A filter of the API: exhibitor_id, department, level, search_query (name or job title) or sourceType; may be
    /// given several times
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = parse_filter)]
    filters: Vec<(String, String)>,
    /// People on a page, 1 to 50
    #[arg(long, value_name = "N", default_value_t = PEOPLE_PAGE_SIZE,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(PEOPLE_PAGE_SIZE)))]
    page_size: u32,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// JSON Lines, as --format jsonl
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The account whose key asks
    #[arg(long, value_name = "A", default_value = "default")]
    account: String,
}

/// The API's filters. Any other is refused here: if the API ignored it, the list would have everybody in it.
const FILTERS: [&str; 5] = ["exhibitor_id", "department", "level", "search_query", "sourceType"];

/// One of the API's filters; none changes the paging.
fn parse_filter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as level=VP")?;
    match key {
        "event_id" => Err("the event is given with --event".to_owned()),
        "page" => Err("all pages are read".to_owned()),
        "pageSize" => Err("the size of a page is given with --page-size".to_owned()),
        _ if FILTERS.contains(&key) => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("the API has these filters: {}", FILTERS.join(", "))),
    }
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load()?;
    let account = named(&config, &args.account)?;
    let event_id = EventId::parse(&args.event).ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "--event {:?} cannot be an event's id: 1 to 100 characters, as the API names it",
            args.event
        ))
    })?;
    key_of(&config, &account)?;
    let deps = deps(existing(&config).await?, &config).await?;
    let pages = Pages {
        deps: &deps,
        account: &account,
        event_id: &event_id,
        size: args.page_size,
        filters: &args.filters,
    };
    let format = if args.json { Format::Jsonl } else { args.format };
    let of = args.locked.then_some(if args.phones { Channel::Phone } else { Channel::Email });
    let path = args.output.as_deref().filter(|path| path.as_os_str() != "-");
    let file = path.map(|path| WholeFile::begin(path, &config)).transpose()?;
    let mut lines = destination(format, of, file.as_ref())?;
    let mut listing = Listing::default();
    let read = read_all(&pages, &mut listing, &mut lines).await;
    // A truncated list still goes to standard output; a file gets its name only when it is complete.
    lines.finish()?;
    read.map_err(|failure| cut_short(failure, &listing))?;
    if let Some(file) = file {
        file.finish()?;
    }
    report(&listing, &lines, &args);
    if listing.is_preview() == Some(true) && listing.hidden() == Some(0) {
        super::say("the event is not unlocked, and all of its people are in this list: nothing is hidden");
    } else if listing.is_preview() == Some(true) {
        let credits = deps.price(&account, Action::UnlockEventContacts).await?;
        let more = listing.hidden().map_or("more people".to_owned(), |hidden| format!("{hidden} more"));
        let with = with_account(&args);
        super::say(&format!(
            "this is a preview: {more} can be seen once the event is unlocked, for at most {credits} credits: \
             unlockd enqueue --unlock-event {event_id}{with}"
        ));
    }
    Ok(())
}

async fn read_all(pages: &Pages<'_>, listing: &mut Listing, lines: &mut Lines) -> Result<(), Failure> {
    while let Some(number) = listing.next_page() {
        let page = pages.read(number).await?;
        let people = listing.take(page)?;
        lines.write(people)?;
    }
    Ok(())
}

/// The destination. Names are personal data: a file is for its owner only.
fn destination(format: Format, of: Option<Channel>, file: Option<&WholeFile>) -> std::io::Result<Lines> {
    Ok(match file {
        Some(file) => Lines::new(format, of, Box::new(BufWriter::new(file.writer()?))).in_file(),
        None => Lines::new(format, of, Box::new(BufWriter::new(std::io::stdout()))),
    })
}

fn cut_short(failure: Failure, listing: &Listing) -> Failure {
    let (people, pages) = (listing.people(), plural(listing.pages().into(), "page"));
    match listing.pages() {
        0 => failure,
        _ => Failure {
            error: failure
                .error
                .context(format!("the list is not complete: it has {people} people from {pages}")),
            ..failure
        },
    }
}

/// Reports the totals on standard error; standard output is for the next program.
fn report(listing: &Listing, lines: &Lines, args: &Args) {
    let (people, locked) = (listing.people(), listing.locked());
    let written = if args.locked { format!("; {} written", lines.written()) } else { String::new() };
    let unclear = match locked.unclear {
        0 => String::new(),
        some => format!("; {some} with a status that is not known, which --locked leaves out"),
    };
    super::say(&format!(
        "{people} people of event {}; locked: {} emails, {} phones{written}{unclear}",
        args.event, locked.emails, locked.phones
    ));
    if let (Some(promised), Some(false)) = (listing.promised(), listing.is_preview()) {
        super::say(&format!(
            "the API counts {promised} people and listed {people}: the list may have changed while it was \
             read; run this again"
        ));
    }
    if listing.is_preview().is_none() {
        super::say("the API did not say whether this is a preview; the event may have more people");
    }
}

fn with_account(args: &Args) -> String {
    if args.account == "default" { String::new() } else { format!(" --account {}", args.account) }
}
