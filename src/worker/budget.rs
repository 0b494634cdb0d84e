//! Tells people when much of a limit is spent, and when an hour costs more than usual: once for each part and period.
//!
//! It only reads and tells; the limits themselves are obeyed where batches are planned.

use std::collections::BTreeSet;

use crate::domain::budget::{Limit, Warning, reached, unusual_from, usual_hour};
use crate::domain::ids::DAY_MS;
use crate::domain::{Credits, Millis};
use crate::store::credits::{ledger, warnings};
use crate::store::{StoreError, callers};
use crate::worker::{Deps, Report, balance};

/// How often it looks, in milliseconds.
const EVERY_MS: i64 = 60_000;

/// Tells what was not told yet.
pub async fn run(deps: &Deps) -> Result<Report, StoreError> {
    let now = deps.clock.now();
    for warning in found(deps, now).await? {
        if warnings::is_told(deps.store.readers(), &warning).await? {
            continue;
        }
        let telling = warning.clone();
        let told = deps.store.write(move |connection| {
            Box::pin(async move { warnings::tell(connection, &telling, now).await })
        });
        if told.await? {
            tracing::warn!(
                subject = warning.subject,
                limit = warning.limit.as_str(),
                percent = warning.percent,
                spent = warning.spent.0,
                of = warning.of.0,
                "much of a limit on credits is spent"
            );
        }
    }
    Ok(Report::at(now.plus(EVERY_MS)))
}

/// Every limit of which a part is reached.
async fn found(deps: &Deps, now: Millis) -> Result<Vec<Warning>, StoreError> {
    let (config, readers) = (deps.config(), deps.store.readers());
    let (mut found, mut owners) = (Vec::new(), BTreeSet::new());
    for account in deps.accounts() {
        let owner = config.owner_of(account.as_str()).to_owned();
        if !owners.insert(owner.clone()) {
            continue;
        }
        if let Some(purse) = ledger::purse(readers, &account, now).await? {
            let purse = balance::with_limits(purse, &config);
            let of_owner = |limit, period, spent, of| warning(&owner, (limit, period), spent, of);
            found.extend(of_owner(Limit::Daily, now.start_of_day(), purse.spent_today, purse.daily_limit));
            found.extend(of_owner(
                Limit::Monthly,
                now.start_of_month(),
                purse.spent_this_month,
                purse.monthly_limit,
            ));
        }
        let hour = now.start_of_hour();
        let (spent, before) = warnings::hours(readers, &account, (hour.plus(-7 * DAY_MS), hour)).await?;
        let unusual = usual_hour(&before).map(unusual_from).filter(|from| spent >= *from);
        found.extend(unusual.map(|of| Warning {
            subject: owner.clone(),
            limit: Limit::Hour,
            period: hour,
            percent: 100,
            spent,
            of,
        }));
    }
    for (name, token) in &config.http.tokens {
        if let Some(of) = token.daily_credits {
            let spent = callers::used(readers, name, now.start_of_day()).await?;
            found.extend(warning(name, (Limit::Token, now.start_of_day()), spent, Some(Credits(of))));
        }
    }
    Ok(found)
}

fn warning(
    subject: &str,
    (limit, period): (Limit, Millis),
    spent: Credits,
    of: Option<Credits>,
) -> Option<Warning> {
    let of = of?;
    let percent = reached(spent, of)?;
    Some(Warning { subject: subject.to_owned(), limit, period, percent, spent, of })
}
