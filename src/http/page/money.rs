//! The credits of an account on the overview: free, balance, reserved, spent, in doubt.

use maud::{Markup, html};

use super::words::{ago, known, number, plural, visible};
use super::{Look, forms};
use crate::http::ticket::Act;
use crate::store::report::accounts::Account;
use crate::store::report::overview::InDoubt;

/// `is_named`: there is more than one account, so each has a heading.
pub(super) fn section(look: &Look<'_>, account: &Account, doubt: InDoubt, is_named: bool) -> Markup {
    let config = look.site.config();
    let id = format!("money-{}", account.account);
    html! {
        section .money aria-label=(format!("Credits of account {}", visible(&account.account))) id=(id) {
            @if is_named { h2 { "Account " (visible(&account.title())) } }
            dl .strip {
                div .lead {
                    dt { "Free to spend" }
                    dd { (known(account.free)) }
                }
                div {
                    dt { "Balance" }
                    dd {
                        (known(account.balance))
                        small { @if let Some(at) = account.balance_at { "read " (ago(at, look.now)) } @else { "not read yet" } }
                        (forms::small(look, Act::ReadBalance { account: account.account.clone() },
                            &format!("read-balance-{}", account.account), "Read now"))
                    }
                }
                div { dt { "Reserved" } dd { (number(account.held)) small { "for calls in flight or in doubt" } } }
                @if account.booked_since != 0 {
                    div { dt { "Booked since" } dd { (number(account.booked_since)) small { "charged, not in that balance yet" } } }
                }
                div { dt { "Minimum kept" } dd { (number(config.credits.min_balance)) small { "credits.min_balance" } } }
                div {
                    dt { "Spent today" }
                    dd { (number(account.spent_today)) small { @match account.daily_limit {
                        Some(limit) => { "of " (number(limit)) " a day" },
                        None => "since 00:00 UTC",
                    } } }
                }
                @if let Some(limit) = account.monthly_limit {
                    div {
                        dt { "Spent this month" }
                        dd { (number(account.spent_this_month)) small { "of " (number(limit)) " a month" } }
                    }
                }
                div .doubt[doubt.jobs > 0] {
                    dt { "In doubt" }
                    dd {
                        @if doubt.jobs == 0 { "0" small { "no lost answers" } } @else {
                            a href="/jobs?state=in_doubt" { "\u{2264} " (number(doubt.credits)) }
                            small { @if doubt.contacts > 0 { (plural(doubt.contacts, "contact")) } @else { (plural(doubt.jobs, "job")) } }
                        }
                    }
                }
            }
        }
    }
}
