//! What one unit of an action costs, as far as it is known before a precheck.
//!
//! [`crate::worker::settle`] learns a price when a settlement shows one, and stores it in the table `prices`. Without
//! one, the configuration's `credits.price` counts.

use crate::config::Config;
use crate::domain::credits::Prices;
use crate::domain::{AccountId, Action, Credits};
use crate::store::credits::ledger;
use crate::store::{Store, StoreError};

/// The price of one unit of an action: as last seen, else as configured.
pub(crate) async fn price(
    store: &Store,
    config: &Config,
    account: &AccountId,
    action: Action,
) -> Result<Credits, StoreError> {
    let seen = ledger::seen_price(store.readers(), account, action).await?;
    Ok(seen.unwrap_or_else(|| prices(config).of(action)))
}

/// The prices as configured.
fn prices(config: &Config) -> Prices {
    let price = &config.credits.price;
    Prices {
        email: Credits(price.email),
        phone: Credits(price.phone),
        event: Credits(price.event),
        visitors: Credits(price.visitors),
        full_access: Credits(price.full_access),
        search: Credits(price.search),
    }
}

/// The least that one unit of an action may cost. With prechecks that is less than its price: only a precheck can show it.
pub(in crate::worker) fn least_price(config: &Config, action: Action) -> Credits {
    match config.submit.precheck {
        true => prices(config).least(action),
        false => prices(config).of(action),
    }
}
