//! The status of the accounts, and whether the balance moved as expected.

use maud::{Markup, html};

use super::words::{known, moment, number, plural, state, visible};
use super::{Look, forms};
use crate::domain::AccountId;
use crate::http::ticket::Act;
use crate::store::report::accounts::{Account, with_owner};
use crate::store::report::overview::Settlement;

/// The last settlements, if there are any.
pub(super) fn settlements(look: &Look<'_>, settlements: &[Settlement]) -> Markup {
    html! {
        @if !settlements.is_empty() {
            section #settlements aria-labelledby="settlements-title" {
                h2 #settlements-title { "Settlements" }
                div .scroll role="group" aria-labelledby="settlements-title" tabindex="0" {
                    table {
                        caption .visually-hidden { "Credits expected and credits that left the balance, the newest first" }
                        thead { tr {
                            th scope="col" { "Closed" } th scope="col" { "Account" } th scope="col" .n { "Jobs" }
                            th scope="col" .n { "Expected" } th scope="col" .n { "Spent" } th scope="col" { "Verdict" }
                        } }
                        tbody { @for one in settlements { tr {
                            th scope="row" { (moment(one.closed_at, look.now)) }
                            td { (visible(&with_owner(&one.account, &one.owner))) }
                            td .n { (number(one.jobs)) }
                            td .n { @if one.expected_min == one.expected_max { (number(one.expected_max)) }
                                    @else { (number(one.expected_min)) " to " (number(one.expected_max)) } }
                            td .n { (known(one.spent)) }
                            td { span .verdict.(one.verdict) { (state(&one.verdict)) }
                                 @if one.verdict == "overspent" && one.resubmitted > 0 { " \u{2013} a job was sent again by a person after its answer was lost, and both calls may have been charged: check" }
                                 @else if one.verdict == "overspent" { " \u{2013} another program spends from the pool, or the API charged more: check" }
                                 @if one.verdict == "lapsed" { " \u{2013} credits lapsed or were granted anew: the drop proves nothing" }
                                @if one.verdict == "unknown" { " \u{2013} credits came in or an answer was lost: the balance proves nothing" } }
                        } } }
                    }
                }
            }
        }
    }
}

/// Each account: whether it is in service, its limit, its key.
pub(super) fn section<'f>(look: &Look<'_>, accounts: impl Iterator<Item = &'f Account>) -> Markup {
    html! {
        section #accounts aria-labelledby="accounts-title" {
            h2 #accounts-title { "Accounts" }
            @for account in accounts {
                @let name = &account.account;
                div .account {
                    p {
                        strong { (visible(&account.title())) } ": "
                        @if account.paused_at.is_some() { "paused" } @else if account.refused_key.is_some() { "key refused" }
                        @else { "in service" }
                        ". Rate limit: " (account.rate_used) " of " (account.rate_limit) " calls used in this window"
                        @if let Some(at) = account.blocked_until {
                            "; the API asked to wait until " (moment(at, look.now)) ", no action is needed"
                        }
                        "."
                        @if let Some(trouble) = &account.api_trouble {
                            " " strong { (visible(&trouble.what())) } ", " (trouble.next_try(look.now)) "."
                        }
                        @if let Some(fingerprint) = fingerprint(look, name) {
                            " Key " code { (fingerprint) } "."
                        }
                        @if account.expired_jobs > 0 {
                            " " a href="/jobs?state=expired" { (plural(account.expired_jobs, "job")) " expired" }
                            ": resuming polls them again."
                        }
                    }
                    @if account.expired_jobs > 0 && account.paused_at.is_none() {
                        (forms::button(look, Act::TryAgain { account: name.clone() }, &format!("poll-again-{name}"), "Poll expired jobs again"))
                    }
                    @if account.paused_at.is_none() {
                        (forms::careful(look, Act::Pause { account: name.clone() }, &format!("pause-{name}"), "Pause submitting",
                            "Nothing new is submitted on this account until a person resumes it. Running tasks are still polled and settled."))
                    }
                }
            }
        }
    }
}

/// The part of an account's key that may be shown.
fn fingerprint(look: &Look<'_>, account: &str) -> Option<String> {
    let gates = look.site.worker()?.gates();
    gates.get(&AccountId::trusted(account)).and_then(|gate| gate.key_fingerprint())
}
