//! The figure that a person confirms: given as `--credits`, or typed in a terminal.
//!
//! A decision that may spend covers the figure that the person saw, and no higher one. Without a terminal nobody can be
//! asked, so the command line must name the figure.

use std::io::{self, IsTerminal, Write};

use super::{Failure, show};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{AccountId, Credits};
use crate::store::report::account_work;
use crate::store::report::accounts::{self, Account, Limits};
use crate::store::{Store, StoreError};

/// What a person is asked to confirm.
pub(super) struct Question<'a> {
    /// The command that was called, for the sentence that says how to confirm it.
    pub(super) command: String,
    /// What is decided on, and with which evidence: shown before the question.
    pub(super) about: Vec<String>,
    pub(super) account: &'a str,
    /// What is to be typed.
    pub(super) figure: Credits,
    /// What of it is not spent already.
    pub(super) cost: Credits,
}

impl Question<'_> {
    /// The figure that was given on the command line, or is typed now.
    pub(super) async fn answer(
        self,
        given: Option<Credits>,
        store: &Store,
        config: &Config,
    ) -> Result<Credits, Failure> {
        if let Some(given) = given {
            return Ok(given);
        }
        let command = &self.command;
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::usage(anyhow::anyhow!(
                "--credits N is missing: name the figure that you saw, so that no other one is confirmed; in a \
                 terminal {command} asks for it. Nothing was changed"
            )));
        }
        let mut lines = self.about;
        lines.extend(balance(store, config, self.account, self.cost).await?);
        let lines: Vec<String> = lines.iter().map(|line| show::plain(line)).collect();
        let mut err = io::stderr();
        write!(
            err,
            "{}\ntype {} and Enter to confirm, only Enter to leave: ",
            lines.join("\n"),
            self.figure.0
        )?;
        err.flush()?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        match Credits::typed(&line) {
            // Another figure may have been typed on purpose: the decision itself refuses it.
            Some(typed) => Ok(typed),
            None => Err(Failure::refused(
                "no figure was typed: nothing was changed, and nothing is bought".to_owned(),
            )),
        }
    }
}

/// The balance now and after, as far as it is known.
async fn balance(
    store: &Store,
    config: &Config,
    account: &str,
    cost: Credits,
) -> Result<Vec<String>, StoreError> {
    let limits = Limits {
        per_minute: config.rate_limit.per_minute,
        min_balance: Credits(config.credits.min_balance),
        daily_limit: config.credits.daily_limit.map(Credits),
        monthly_limit: config.credits.monthly_limit.map(Credits),
    };
    let now = Clock::real().now();
    let work = account_work(store, &AccountId::trusted(account)).await?;
    let read = accounts::read(store, &work, limits, now).await?;
    let known = read.balance.zip(read.balance_at);
    let after = |credits: Option<i64>| match credits {
        Some(credits) => format!("{} credits", Credits(credits) - cost),
        None => "not known: no balance was read yet (unlockd balance)".to_owned(),
    };
    Ok(vec![
        format!("  cost, at most            {cost} credits"),
        match known {
            Some((credits, at)) => {
                format!("  balance now              {} credits (read {at})", Credits(credits))
            }
            None => "  balance now              not read yet".to_owned(),
        },
        format!("  balance after, at least  {}", after(read.balance)),
        format!("  free after, at least     {}{}", after(read.free), not_free(&read, config)),
    ])
}

/// Why not all of the balance is free.
fn not_free(read: &Account, config: &Config) -> String {
    let parts =
        [(read.held, "held"), (read.booked_since, "booked since"), (config.credits.min_balance, "kept")];
    let parts = parts.into_iter().filter(|(credits, _)| *credits != 0);
    let parts: Vec<String> = parts.map(|(credits, what)| format!("{} {what}", Credits(credits))).collect();
    if parts.is_empty() || read.free.is_none() { String::new() } else { format!(" ({})", parts.join(", ")) }
}
