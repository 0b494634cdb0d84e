//! Everything that waits for a person to act, with its cost and what each button does.

use maud::{Markup, html};

use super::askers;
use super::doubt::{self, Doubtful};
use super::words::{ago, known, moment, number, plural, visible};
use super::{Look, forms};
use crate::domain::AccountId;
use crate::domain::needs::{Need, Needs, Parked, Stop};
use crate::http::ticket::Act;
use crate::store::StoreError;
use crate::store::report::AccountWork;
use crate::store::report::accounts::Account;
use crate::store::report::requests::{self, Request};
use crate::worker::people::needs;

/// Articles on the page; the lists of requests and jobs have them all.
const SHOWN: usize = 20;

/// The list of needs, each with the additional data that its article shows.
pub(super) struct Listed {
    needs: Needs,
    articles: Vec<Article>,
}

/// One thing that needs a person, with the rows that its article reads.
enum Article {
    Approval { request: Box<Request>, account: Option<Account> },
    Decision(Box<Doubtful>),
    Parked { need: Need, work: Parked, account: Account },
    Key { need: Need },
    Paused { need: Need },
    Plain { need: Need },
}

impl Listed {
    /// The full count, including needs that are not shown.
    pub(super) fn total(&self) -> u64 {
        self.needs.total
    }

    /// What keeps anything from being bought, if something does.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.needs.list.iter().find_map(|need| match need {
            Need::Stopped { stop } => Some(*stop),
            _ => None,
        })
    }

    /// Puts the accounts first that need something.
    pub(super) fn sort(&self, accounts: &mut [Account]) {
        needs::urgent_first(accounts, &self.needs.list);
    }
}

/// The unfinished work of each configured account.
pub(super) async fn works(look: &Look<'_>) -> Result<Vec<AccountWork>, StoreError> {
    needs::works(&look.site.store, &look.site.config()).await
}

/// Reads everything that needs a person.
pub(super) async fn read(
    look: &Look<'_>,
    works: &[AccountWork],
    accounts: &[Account],
) -> Result<Listed, StoreError> {
    let needs = match look.site.worker() {
        Some(deps) => needs::of_worker(&deps, works).await?,
        None => needs::read(&look.site.store, &look.site.config(), works, |_| true).await?,
    };
    let mut articles = Vec::new();
    for need in needs.list.iter().take(SHOWN) {
        let name = need.account().map(AccountId::as_str);
        let account = accounts.iter().find(|account| Some(account.account.as_str()) == name).cloned();
        // A need that was settled between the two reads has no article.
        articles.extend(article(look, need, account).await?);
    }
    Ok(Listed { needs, articles })
}

async fn article(
    look: &Look<'_>,
    need: &Need,
    account: Option<Account>,
) -> Result<Option<Article>, StoreError> {
    let store = &look.site.store;
    Ok(match (need, account) {
        (Need::Approval { request, .. }, account) => requests::read(store, request.0)
            .await?
            .map(|request| Article::Approval { request: Box::new(request), account }),
        (Need::Decision { job, .. }, _) => {
            doubt::read(look, job.0).await?.map(|job| Article::Decision(Box::new(job)))
        }
        (Need::Credits { work, .. } | Need::Budget { work, .. }, Some(account)) => {
            Some(Article::Parked { need: need.clone(), work: *work, account })
        }
        (Need::KeyRefused { .. }, _) => Some(Article::Key { need: need.clone() }),
        (Need::Paused { .. } | Need::Overcharged { .. }, _) => Some(Article::Paused { need: need.clone() }),
        (need, _) => Some(Article::Plain { need: need.clone() }),
    })
}

/// Everything that needs a person, or that nothing does.
pub(super) fn section(look: &Look<'_>, listed: &Listed) -> Markup {
    let more = listed.needs.more_than(listed.articles.len());
    html! {
        section #needs aria-labelledby="needs-title" {
            h2 #needs-title { "Needs you" @if listed.total() > 0 { " (" (listed.total()) ")" } }
            @if listed.total() == 0 {
                p .calm { "Nothing needs you." }
            }
            @for article in &listed.articles {
                @match article {
                    Article::Approval { request, account } => (approval(look, request, account.as_ref())),
                    Article::Decision(job) => (doubt::decision(look, job)),
                    Article::Parked { need, work, account } => (parked(look, need, *work, account)),
                    Article::Key { need } => (key_refused(look, need)),
                    Article::Paused { need } => (paused(look, need)),
                    Article::Plain { need } => (plain(need)),
                }
            }
            @if more > 0 {
                p .hint { (more) " more: see " a href="/requests" { "requests" } " and " a href="/jobs" { "jobs" } "." }
            }
        }
    }
}

/// A request that awaits approval: its reference, content and cost, and the balance now and after.
pub(super) fn approval(look: &Look<'_>, request: &Request, account: Option<&Account>) -> Markup {
    let id = request.id;
    let quoted = request.quoted_credits.unwrap_or_default();
    let rest = quoted - request.committed_credits;
    let (balance, free) = (account.and_then(|a| a.balance), account.and_then(|a| a.free));
    let act = Act::Approve {
        request: id,
        action: request.action.clone(),
        contacts: request.contacts,
        quoted,
        committed: request.committed_credits,
    };
    html! {
        article .need #(format!("approve-{id}-need")) {
            h3 { "Approve " a href=(format!("/requests/{id}")) { "request " (id) } ": up to " (number(quoted)) " credits" }
            p {
                (who(look, request)) " asks for " (look.wish(request))
                @if let Some(at) = request.created_at { ", " (ago(at, look.now)) } "."
                @if request.committed_credits > 0 {
                    " Of that, " (number(request.committed_credits)) " may be spent already; the rest is "
                    (number(rest)) ". " @if let Some(reason) = &request.reason { (visible(reason)) }
                } @else { " Nothing of it was bought." }
            }
            (askers::of(look, request))
            dl .figures {
                div { dt { "Cost, at most" } dd { (number(rest)) } }
                div { dt { "Balance now" } dd { (known(balance)) } }
                div { dt { "Balance after, at least" } dd { (known(balance.map(|balance| balance - rest))) } }
                div { dt { "Free now" } dd { (known(free)) } }
                div { dt { "Free after, at least" } dd { (known(free.map(|free| free - rest))) } }
            }
            @if free.is_some_and(|free| free < rest) {
                p .hint { "Not enough free credits: the rest waits until you top up." }
            }
            div .acts {
                (forms::spending(look, act, &format!("approve-{id}"), "Approve", quoted))
                (forms::careful(look, Act::Cancel { request: id }, &format!("cancel-{id}"), "Cancel the request",
                    "Contacts not sent yet will not be sent for this request. Contacts already sent are followed to the end."))
            }
        }
    }
}

fn who(look: &Look<'_>, request: &Request) -> Markup {
    html! {
        "Account " (look.account(&request.account))
        @match &request.reference {
            Some(reference) if look.is_trusted() => { " (" q { (visible(reference)) } ")" }
            _ => {}
        }
    }
}

fn parked(look: &Look<'_>, need: &Need, work: Parked, account: &Account) -> Markup {
    let of_day = matches!(need, Need::Budget { .. });
    let name = &account.account;
    html! {
        article .need #(format!("{}-{name}-need", need.reason())) {
            h3 {
                "Account " (visible(name)) ": "
                (waiting(work))
                @if let Need::Budget { limits, .. } = need { " for the next " (limits.period()) } @else { " for credits" }
            }
            p {
                @if let Some(oldest) = work.oldest {
                    "The oldest is " a href=(format!("/jobs/{oldest}")) { "job " (oldest) } ". "
                }
                "Nothing of that was bought. "
                @if of_day {
                    @if let Some(limit) = account.daily_limit {
                        "Spent today: " (number(account.spent_today)) " of " (number(limit)) ". "
                    }
                    @if let Some(limit) = account.monthly_limit {
                        "Spent this month: " (number(account.spent_this_month)) " of " (number(limit)) ". "
                    }
                    (sentence_case(&need.to_do())) "."
                } @else {
                    @match work.lack {
                        Some(lack) => { (sentence_case(&lack.words())) ". " }
                        None => { "Free to spend: " (known(account.free)) ". " }
                    }
                    "Top up: unlockd reads the balance again by itself. "
                    "Meanwhile it sends smaller jobs that fit."
                }
            }
            (forms::button(look, Act::TryAgain { account: name.clone() }, &format!("resume-for-{name}-{}", need.reason()), "Try again now"))
        }
    }
}

/// With a capital at its beginning.
pub(super) fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// How many are waiting, in a few words.
fn waiting(work: Parked) -> String {
    let count = |number: u64, word| plural(i64::try_from(number).unwrap_or(i64::MAX), word);
    let verb = if work.jobs + work.items == 1 { "waits" } else { "wait" };
    match (work.jobs, work.items) {
        (0, items) => format!("{} {verb}", count(items, "item")),
        (jobs, 0) => format!("{} {verb}", count(jobs, "job")),
        (jobs, items) => format!("{} and {} {verb}", count(jobs, "job"), count(items, "item")),
    }
}

fn key_refused(look: &Look<'_>, need: &Need) -> Markup {
    let name = need.account().map_or("", AccountId::as_str);
    let Need::KeyRefused { why, .. } = need else { return html! {} };
    html! {
        article .need #(format!("key-{name}-need")) {
            h3 { "The key of account " (visible(name)) " was refused (" (why.status.unwrap_or(401)) ")" }
            p {
                (visible(&need.what()))
                @if let Some(at) = need.since() { " since " (moment(at.into(), look.now)) }
                ". Tasks at Lensmor continue, and nothing is lost. "
                @if why.is_forbidden() {
                    "Check the subscription of the key's owner at Lensmor; then try this key again."
                } @else {
                    "Put a valid key into the configuration or its key file; the worker uses it at once. (A credential of systemd \
                     is copied at the service's start: restart it.)"
                }
            }
            (forms::button(look, Act::TryAgain { account: name.to_owned() }, &format!("retry-key-{name}"), "Try this key again"))
        }
    }
}

fn paused(look: &Look<'_>, need: &Need) -> Markup {
    let name = need.account().map_or("", AccountId::as_str);
    let (since, waiting) = match need {
        Need::Paused { since, waiting, .. } | Need::Overcharged { since, waiting, .. } => (since, waiting),
        _ => return html! {},
    };
    let by_worker = matches!(need, Need::Paused { restored: true, .. } | Need::Overcharged { .. });
    html! {
        article .need #(format!("paused-{name}-need")) {
            h3 { "Account " (visible(name)) " is paused" }
            p {
                "Since " (moment((*since).into(), look.now)) " nothing new is sent: " (waiting)
                " contacts or jobs are waiting. Running tasks are still polled and settled."
            }
            @if by_worker {
                p { (visible(&need.what())) ". " (visible(&need.to_do())) "." }
            }
            (forms::button(look, Act::Resume { account: name.to_owned() }, &format!("resume-{name}"), "Continue submitting"))
        }
    }
}

/// A need for which the page has no button.
fn plain(need: &Need) -> Markup {
    let name = need.account().map_or("", AccountId::as_str);
    let title = match need {
        Need::Stopped { .. } => "Nothing is bought".to_owned(),
        Need::Inbox { .. } => "The inbox cannot be used".to_owned(),
        Need::NoKey { .. } => format!("Account {name} has no key"),
        Need::NotConfigured { .. } => format!("Account {name} is not configured"),
        _ => format!("Account {name} has expired jobs"),
    };
    html! {
        article .need #(format!("{}-{name}-need", need.reason())) {
            h3 { (visible(&title)) }
            p { (visible(&need.what())) ". " (visible(&need.to_do())) "." }
        }
    }
}
