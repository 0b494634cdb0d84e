//! What goes on only after a person does something, each with its cost and what each button does.

use maud::{Markup, html};

use super::doubt::{self, Doubtful};
use super::words::{ago, has_contacts, known, moment, number, plural, visible};
use super::{Look, forms};
use crate::domain::AccountId;
use crate::http::ticket::Act;
use crate::store::StoreError;
use crate::store::report::accounts::Account;
use crate::store::report::jobs::Job;
use crate::store::report::requests::Request;
use crate::store::report::{self, AccountWork, jobs, requests};
use crate::worker::people::unconfigured;

/// Approvals that are shown; the list of requests has them all.
const APPROVALS_AT_MOST: u32 = 20;

/// One thing that needs a person.
pub(super) enum Need {
    Approval {
        request: Request,
        account: Option<Account>,
    },
    Decision(Doubtful),
    /// A queued job that waits for credits or the daily limit.
    Parked {
        job: Job,
        account: Account,
    },
    KeyRefused(Account),
    NoKey(String),
    /// Work is under way on an account that the configuration does not name.
    NotConfigured(AccountId),
    Paused {
        account: Account,
        to_send: i64,
    },
}

/// Reads everything that needs a person, what concerns a whole account first.
pub(super) async fn read(look: &Look<'_>, accounts: &[Account]) -> Result<Vec<Need>, StoreError> {
    let store = &look.site.store;
    let (mut needs, mut later) = (Vec::new(), Vec::new());
    for account in accounts {
        let id = AccountId::trusted(account.account.clone());
        let work = report::account_work(store, &id).await?;
        if account.refused_key.is_some() {
            needs.push(Need::KeyRefused(account.clone()));
        } else if has_no_key(look, &id) && work.any() {
            needs.push(Need::NoKey(account.account.clone()));
        }
        if account.paused_at.is_some() {
            needs.push(Need::Paused { account: account.clone(), to_send: work.to_send });
        }
        of_jobs(look, account, &work, &mut later).await?;
    }
    let unconfigured = unconfigured::unconfigured(store, &look.site.config()).await?;
    needs.extend(unconfigured.into_iter().map(Need::NotConfigured));
    for request in requests::open(store, APPROVALS_AT_MOST).await? {
        if request.status == "awaiting_approval" {
            let account = accounts.iter().find(|account| account.account == request.account).cloned();
            later.push(Need::Approval { request, account });
        }
    }
    needs.extend(later);
    Ok(needs)
}

async fn of_jobs(
    look: &Look<'_>,
    account: &Account,
    work: &AccountWork,
    needs: &mut Vec<Need>,
) -> Result<(), StoreError> {
    let store = &look.site.store;
    for id in &work.undecided {
        if let Some(job) = doubt::read(look, *id).await? {
            needs.push(Need::Decision(job));
        }
    }
    for (id, _) in &work.parked {
        if let Some(job) = jobs::read(store, *id).await? {
            needs.push(Need::Parked { job, account: account.clone() });
        }
    }
    Ok(())
}

fn has_no_key(look: &Look<'_>, account: &AccountId) -> bool {
    let gate = look.site.worker().and_then(|deps| deps.gates.get(account));
    gate.is_some_and(|gate| !gate.has_key())
}

/// Everything that needs a person, or that nothing does.
pub(super) fn section(look: &Look<'_>, needs: &[Need]) -> Markup {
    html! {
        section #needs aria-labelledby="needs-title" {
            h2 #needs-title { "Needs you" @if !needs.is_empty() { " (" (needs.len()) ")" } }
            @if needs.is_empty() {
                p .calm { "Nothing needs you." }
            }
            @for need in needs {
                @match need {
                    Need::Approval { request, account } => (approval(look, request, account.as_ref())),
                    Need::Decision(job) => (doubt::decision(look, job)),
                    Need::Parked { job, account } => (parked(look, job, account)),
                    Need::KeyRefused(account) => (key_refused(look, account)),
                    Need::NoKey(account) => (no_key(account)),
                    Need::NotConfigured(account) => (not_configured(account)),
                    Need::Paused { account, to_send } => (paused(look, account, *to_send)),
                }
            }
        }
    }
}

/// A request that awaits approval: who, what, cost, and the balance now and after.
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
            dl .figures {
                div { dt { "Cost, at most" } dd { (number(rest)) } }
                div { dt { "Balance now" } dd { (known(balance)) } }
                div { dt { "Balance after, at least" } dd { (known(balance.map(|balance| balance - rest))) } }
                div { dt { "Free now" } dd { (known(free)) } }
                div { dt { "Free after, at least" } dd { (known(free.map(|free| free - rest))) } }
            }
            @if free.is_some_and(|free| free < rest) {
                p .hint { "It does not fit into what is free: what does not fit waits for credits, unsent." }
            }
            div .acts {
                (forms::spending(look, act, &format!("approve-{id}"), "Approve", quoted))
                (forms::careful(look, Act::Cancel { request: id }, &format!("cancel-{id}"), "Cancel the request",
                    "Its contacts that were not sent are never sent for this request. What was sent goes on."))
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

fn parked(look: &Look<'_>, job: &Job, account: &Account) -> Markup {
    let of_day = job.state_reason.as_deref() == Some("budget");
    html! {
        article .need #(format!("parked-{}-need", job.id)) {
            h3 {
                a href=(format!("/jobs/{}", job.id)) { "Job " (job.id) }
                @if of_day { " waits for the next day" } @else { " waits for credits (402)" }
            }
            p {
                @if has_contacts(&job.action) { (plural(job.contacts, "contact")) } @else { "A call" }
                " of account " (visible(&account.account)) ", not sent: nothing of it was bought. "
                @if of_day {
                    "It costs more than credits.daily_limit leaves for today: " (number(account.spent_today)) " of "
                    (known(account.daily_limit)) " are spent. Wait for the next UTC day, or raise the limit if all of it would not do."
                } @else {
                    "Free to spend: " (known(account.free)) ". Top up, and it goes on by itself, since the balance is looked at; "
                    "smaller jobs that fit go on."
                }
            }
            (forms::button(look, Act::TryAgain { account: account.account.clone() }, &format!("resume-for-{}", job.id), "Try again now"))
        }
    }
}

fn key_refused(look: &Look<'_>, account: &Account) -> Markup {
    let name = &account.account;
    html! {
        article .need #(format!("key-{name}-need")) {
            h3 { "The key of account " (visible(name)) " was refused (401)" }
            p {
                "Key " code { (visible(account.refused_key.as_deref().unwrap_or_default())) }
                @if let Some(at) = account.key_refused_at { " was refused at " (moment(at, look.now)) }
                ". Nothing is sent or polled on this account; tasks at Lensmor go on, and nothing is lost. "
                "Put a valid key into the configuration or its key file: it is taken up by itself."
            }
            (forms::button(look, Act::TryAgain { account: name.clone() }, &format!("retry-key-{name}"), "Try this key again"))
        }
    }
}

fn no_key(account: &str) -> Markup {
    html! {
        article .need #(format!("key-{account}-need")) {
            h3 { "Account " (visible(account)) " has no key" }
            p {
                "It has work to do, and nothing is sent or polled without one. Set accounts." (visible(account))
                ".api_key_file: it is taken up by itself."
            }
        }
    }
}

fn not_configured(account: &AccountId) -> Markup {
    html! {
        article .need #(format!("configure-{account}-need")) {
            h3 { "Account " (visible(account.as_str())) " is not configured" }
            p {
                "It has work under way, which is neither polled nor settled. Configure it again and start the worker anew; "
                "what was not sent can be cancelled."
            }
        }
    }
}

fn paused(look: &Look<'_>, account: &Account, to_send: i64) -> Markup {
    let name = &account.account;
    html! {
        article .need #(format!("paused-{name}-need")) {
            h3 { "Account " (visible(name)) " is paused" }
            p {
                @if let Some(at) = account.paused_at { "Since " (moment(at, look.now)) " nothing " } @else { "Nothing " }
                "new is submitted: " (number(to_send)) " contacts or batches wait. What was sent is polled and settled."
            }
            @if account.paused_by_restore {
                p {
                    "The database is an older copy, and no precheck could tell whether what is next was bought since. See \
                     that no other worker uses another copy, look at the requests, then continue."
                }
            }
            (forms::button(look, Act::Resume { account: name.clone() }, &format!("resume-{name}"), "Continue submitting"))
        }
    }
}
