//! Many accounts: a table with one row each, those that need something first.

use maud::{Markup, html};

use super::words::{ago, known, number, visible};
use super::{Look, forms};
use crate::http::ticket::Act;
use crate::store::report::accounts::Account;
use crate::store::report::overview::InDoubt;

/// The credits of all accounts.
pub(super) fn section(look: &Look<'_>, accounts: &[(Account, InDoubt)]) -> Markup {
    html! {
        section #credits .money aria-labelledby="credits-title" {
            h2 #credits-title { "Credits of " (accounts.len()) " accounts" }
            div .scroll role="group" aria-labelledby="credits-title" tabindex="0" {
                table {
                    caption .visually-hidden { "The credits of each account; those that need something come first" }
                    thead { tr {
                        th scope="col" { "Account" } th scope="col" .n { "Free to spend" } th scope="col" .n { "Balance" }
                        th scope="col" { "Read" } th scope="col" .n { "Reserved" } th scope="col" .n { "Spent today" }
                        th scope="col" .n { "In doubt" } th scope="col" { "State" }
                    } }
                    tbody { @for (account, doubt) in accounts { (row(look, account, *doubt)) } }
                }
            }
        }
    }
}

fn row(look: &Look<'_>, account: &Account, doubt: InDoubt) -> Markup {
    let name = &account.account;
    html! {
        tr #(format!("money-{name}")) {
            th scope="row" { a href="#accounts" { (visible(&account.title())) } }
            td .n { (known(account.free)) }
            td .n { (known(account.balance)) }
            td {
                @match account.balance_at { Some(at) => (ago(at, look.now)), None => "not yet" }
                " " (forms::small(look, Act::ReadBalance { account: name.clone() }, &format!("read-balance-{name}"), "Read now"))
            }
            td .n {
                (number(account.held))
                @if account.booked_since != 0 { small { "and " (number(account.booked_since)) " booked since" } }
            }
            td .n { (number(account.spent_today)) @if let Some(limit) = account.daily_limit { " of " (number(limit)) } }
            td .n { @if doubt.jobs > 0 { a href="/jobs?state=in_doubt" { "\u{2264} " (number(doubt.credits)) } } @else { "0" } }
            td { (state(account)) }
        }
    }
}

/// What keeps the account from buying, in a word or two.
pub(super) fn state(account: &Account) -> &'static str {
    match account {
        Account { paused_at: Some(_), .. } => "paused",
        Account { refused_key: Some(_), .. } => "key refused",
        Account { api_trouble: Some(_), .. } => "the API fails",
        Account { blocked_until: Some(_), .. } => "asked to wait",
        _ => "in service",
    }
}
