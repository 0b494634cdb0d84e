//! The overview: health, credits, what needs a person, open and ended work, usage.

use maud::{Markup, html};

use super::lists::Ended;
use super::needs::{self, Listed};
use super::words::{number, plural, span, state, visible};
use super::{Look, Page, Spot, Wanted, askers, drawings, fleet, lists, members, money, session, status};
use crate::domain::{AccountId, Credits, Millis};
use crate::http::health;
use crate::store::StoreError;
use crate::store::credits::warnings::{self, Told};
use crate::store::disk;
use crate::store::inbox::fault::{self, Fault, Part};
use crate::store::place::Place;
use crate::store::postgres::members::{Members, read as read_members};
use crate::store::report::AccountWork;
use crate::store::report::accounts::{self, Account, Limits};
use crate::store::report::jobs::OpenJob;
use crate::store::report::overview::{InDoubt, Settlement, StateCount};
use crate::store::report::requests::Request;
use crate::store::report::{direct, jobs, overview, requests};

/// Rows of open work.
const RUNNING_AT_MOST: u32 = 15;
/// Rows of ended work.
const ENDED_AT_MOST: u32 = 10;
const SETTLEMENTS_AT_MOST: u32 = 5;
/// Accounts that have a block of figures each; more are rows of a table.
const MOST_BLOCKS: usize = 3;

/// Everything that the overview shows, read at one moment.
struct Facts {
    problems: Vec<String>,
    /// Why the inbox cannot be read or written: only intake waits.
    inbox: Vec<Fault>,
    accounts: Vec<(Account, InDoubt)>,
    needs: Listed,
    requests_by_status: Vec<StateCount>,
    jobs_by_state: Vec<StateCount>,
    running: Vec<Request>,
    jobs: Vec<OpenJob>,
    ended: Vec<(Request, Ended)>,
    settlements: Vec<Settlement>,
    warnings: Vec<Told>,
    members: Option<Members>,
}

/// Reads the accounts with their configured limits.
pub(super) async fn read_accounts(
    look: &Look<'_>,
    works: &[AccountWork],
) -> Result<Vec<Account>, StoreError> {
    let config = look.site.config();
    let limits = Limits {
        per_minute: config.rate_limit.per_minute,
        min_balance: Credits(config.credits.min_balance),
        daily_limit: config.credits.daily_limit.map(Credits),
        monthly_limit: config.credits.monthly_limit.map(Credits),
    };
    let mut found = Vec::new();
    for work in works {
        found.push(accounts::read(&look.site.store, work, limits, look.now).await?);
    }
    Ok(found)
}

async fn read(look: &Look<'_>) -> Result<Facts, StoreError> {
    let store = &look.site.store;
    let works = needs::works(look).await?;
    let mut accounts = read_accounts(look, &works).await?;
    let needs = needs::read(look, &works, &accounts).await?;
    needs.sort(&mut accounts);
    let mut with_doubt = Vec::new();
    for account in accounts {
        let doubt = overview::in_doubt(store, &AccountId::trusted(account.account.clone())).await?;
        with_doubt.push((account, doubt));
    }
    let mut ended = Vec::new();
    for request in requests::ended(store, ENDED_AT_MOST).await? {
        let how = match direct::summary(store, request.id).await? {
            Some(summary) => Ended::Direct(summary),
            None => Ended::Contacts(requests::outcomes(store, request.id).await?),
        };
        ended.push((request, how));
    }
    let mut running = requests::open(store, RUNNING_AT_MOST + 20).await?;
    running.retain(|request| request.status != "awaiting_approval");
    running.truncate(RUNNING_AT_MOST as usize);
    let mut warnings = warnings::present(store.readers(), look.now).await?;
    // Which callers there are is for those who are signed in.
    warnings.retain(|told| look.is_trusted() || !told.is_of_token());
    Ok(Facts {
        problems: health::problems(look.site).await,
        inbox: fault::read(store).await?,
        accounts: with_doubt,
        needs,
        requests_by_status: overview::open_requests(store).await?,
        jobs_by_state: overview::open_jobs(store).await?,
        running,
        jobs: jobs::open(store, RUNNING_AT_MOST).await?,
        ended,
        settlements: overview::settlements(store, SETTLEMENTS_AT_MOST).await?,
        warnings,
        members: read_members(store).await?,
    })
}

pub(super) async fn page(look: &Look<'_>, wanted: &Wanted) -> Result<Page, StoreError> {
    let facts = read(look).await?;
    let (class, mark, sentence) = sentence(&facts, look.now);
    let over_time =
        drawings::section(look, facts.accounts.iter().map(|(account, _)| account), wanted.span.as_deref())
            .await?;
    let body = html! {
        h1 #health .(class) { span .mark aria-hidden="true" { (mark) } " " (sentence) }
        @if !facts.problems.is_empty() {
            ul .problems { @for problem in &facts.problems { li { (visible(problem)) } } }
        }
        @if !facts.inbox.is_empty() {
            ul .problems { @for fault in &facts.inbox { li { (visible(&fault.what())) } } }
        }
        (session::why_read_only(look))
        (needs::section(look, &facts.needs))
        @if !facts.warnings.is_empty() {
            ul #warnings .problems { @for told in &facts.warnings { li { (visible(&told.what())) } } }
        }
        @if facts.accounts.len() > MOST_BLOCKS {
            (fleet::section(look, &facts.accounts))
        } @else {
            @for (account, doubt) in &facts.accounts {
                (money::section(look, account, *doubt, facts.accounts.len() > 1))
            }
        }
        (running(look, &facts))
        (ended(look, &facts))
        (over_time)
        (members::section(look, facts.members.as_ref()))
        (status::settlements(look, &facts.settlements))
        (status::section(look, facts.accounts.iter().map(|(account, _)| account)))
        (askers::tokens(look))
        (parts(look))
    };
    let title = match facts.needs.total() {
        0 => "Overview".to_owned(),
        needs => format!("({needs}) Overview"),
    };
    Ok(Page { title, body, is_live: true, spot: Spot::At("/") })
}

/// The health in plain words; the mark says it without colour.
fn sentence(facts: &Facts, now: Millis) -> (&'static str, &'static str, String) {
    let open: i64 = facts.jobs_by_state.iter().map(|count| count.count).sum();
    let goes_on = match open {
        0 => "nothing is running".to_owned(),
        1 => "1 job is running or waiting".to_owned(),
        open => format!("{} jobs are running or waiting", number(open)),
    };
    if let Some(stop) = facts.needs.stop() {
        return ("bad", "\u{2715}", format!("{}.", needs::sentence_case(&stop.what())));
    }
    if !facts.problems.is_empty() {
        return ("bad", "\u{2715}", "Problem: purchases may be stopped.".to_owned());
    }
    if let Some(fault) = facts.inbox.iter().find(|fault| fault.is_of(Part::Intake)) {
        let sentence = format!("No new rows are taken: inbox unavailable since {}; {goes_on}.", fault.since);
        return ("attention", "!", sentence);
    }
    let trouble = facts.accounts.iter().find_map(|(account, _)| account.api_trouble.as_ref());
    if let Some(trouble) = trouble {
        let needs = match facts.needs.total() {
            0 => String::new(),
            1 => " One thing needs you.".to_owned(),
            needs => format!(" {needs} things need you."),
        };
        let what = visible(&trouble.what());
        let sentence = format!("Nothing new is sent: {what}, {}.{needs}", trouble.next_try(now));
        return ("attention", "!", sentence);
    }
    if let Some(until) = facts.accounts.iter().find_map(|(account, _)| account.blocked_until)
        && facts.needs.total() == 0
    {
        return ("attention", "!", format!("The API asked to wait until {until}; {goes_on}."));
    }
    match facts.needs.total() {
        0 if open == 0 => ("good", "\u{2713}", "All is well, and nothing is left to do.".to_owned()),
        0 => ("good", "\u{2713}", format!("All is well: {goes_on}.")),
        1 => ("attention", "!", format!("One thing needs you; {goes_on}.")),
        needs => ("attention", "!", format!("{needs} things need you; {goes_on}.")),
    }
}

fn counts(counts: &[StateCount], path: &str, key: &str, word: &str) -> Markup {
    let total: i64 = counts.iter().map(|count| count.count).sum();
    html! {
        @if total > 0 {
            p .counts {
                (plural(total, word)) ": "
                @for (at, count) in counts.iter().enumerate() {
                    @if at > 0 { ", " }
                    a href=(format!("{path}?{key}={}", count.state)) { (number(count.count)) " " (state(&count.state)) }
                }
            }
        }
    }
}

fn running(look: &Look<'_>, facts: &Facts) -> Markup {
    let nothing = facts.requests_by_status.is_empty() && facts.jobs_by_state.is_empty();
    html! {
        section #running aria-labelledby="running-title" {
            h2 #running-title { "Running" }
            @if nothing { p .calm { "No open requests or jobs." } }
            (counts(&facts.requests_by_status, "/requests", "status", "open request"))
            @if !facts.running.is_empty() { (lists::progress_table(look, &facts.running)) }
            (counts(&facts.jobs_by_state, "/jobs", "state", "open job"))
            @if !facts.jobs.is_empty() { (lists::open_jobs_table(look, &facts.jobs)) }
        }
    }
}

fn ended(look: &Look<'_>, facts: &Facts) -> Markup {
    let mut totals = lists::by_outcome(facts.ended.iter().flat_map(|(_, how)| how.counts()));
    totals.sort_by_key(|(_, contacts)| std::cmp::Reverse(*contacts));
    let all: i64 = totals.iter().map(|(_, contacts)| contacts).sum();
    html! {
        section #ended aria-labelledby="ended-title" {
            h2 #ended-title { "Ended lately" }
            @if facts.ended.is_empty() { p .calm { "No request has ended yet." } } @else {
                @if all > 0 { p .counts {
                    (plural(all, "contact")) " of the last " (plural(facts.ended.len() as i64, "request"))
                    @for (at, (outcome, contacts)) in totals.iter().enumerate() {
                        @if at == 0 { ": " } @else { ", " }
                        (number(*contacts)) " " (state(outcome))
                    }
                } }
                (lists::ended_table(look, &facts.ended))
            }
        }
    }
}

/// The machine: database size, free space and links, in one line.
fn parts(look: &Look<'_>) -> Markup {
    let size = std::fs::metadata(look.site.store.path()).map(|file| file.len()).ok();
    let free = disk::free_bytes(&look.site.store).ok().flatten();
    // Rounded up: there is no database of 0 MB.
    let megabytes = |bytes: u64| number(bytes.div_ceil(1 << 20) as i64);
    html! {
        p .parts {
            "Up " (span(look.now.since(look.site.started_at)))
            @if Place::is_server(look.site.store.path()) { " \u{00b7} database on PostgreSQL" }
            @if let Some(size) = size { " \u{00b7} database " (megabytes(size)) " MB" }
            @if let Some(free) = free { " \u{00b7} " (megabytes(free)) " MB free on its disk" }
            " \u{00b7} " a href="/metrics" { "metrics" } " \u{00b7} " a href="/readyz" { "readiness" }
        }
    }
}
