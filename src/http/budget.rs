//! How much of each limit on credits was told to be spent, for `/metrics`.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::domain::Millis;
use crate::domain::budget::Limit;
use crate::metrics::Scrape;
use crate::store::credits::warnings;
use crate::store::{Store, StoreError};

/// One sample for each limit that is set; 0: less than half of it is spent. The configuration limits the number of names.
pub(super) async fn show(
    scrape: &Scrape,
    store: &Store,
    config: &Config,
    now: Millis,
) -> Result<(), StoreError> {
    let mut samples: BTreeMap<[String; 2], i64> = BTreeMap::new();
    let limits = [
        Some(Limit::Hour),
        config.credits.daily_limit.map(|_| Limit::Daily),
        config.credits.monthly_limit.map(|_| Limit::Monthly),
    ];
    for account in config.accounts.keys() {
        let owner = config.owner_of(account);
        samples.extend(limits.iter().flatten().map(|limit| (label(owner, limit.as_str()), 0)));
    }
    let held = config.http.tokens.iter().filter(|(_, token)| token.daily_credits.is_some());
    samples.extend(held.map(|(name, _)| (label(name, Limit::Token.as_str()), 0)));
    for told in warnings::present(store.readers(), now).await? {
        if let Some(percent) = samples.get_mut(&label(&told.subject, &told.limit_name)) {
            *percent = told.percent;
        }
    }
    let help = "The part of a limit on credits that is spent, in percent: 50, 80 or 100 once it is reached, else 0. \
                usual_hour: 100 while this hour costs three times the usual.";
    scrape.gauges(("unlockd_budget_warning_percent", help), ["subject", "limit"], samples);
    Ok(())
}

fn label(subject: &str, limit: &str) -> [String; 2] {
    [subject.to_owned(), limit.to_owned()]
}
