//! Keeps the quotes of requests that await approval true.
//!
//! While a person thinks, other requests may bring some of the contacts, or a price may change. Every place shows the
//! stored quote, and an approval covers that figure only, so it is the stored quote that follows: by the same reckoning
//! as [`crate::worker::people::plan`].

use std::collections::HashMap;

use crate::domain::{AccountId, Action, Credits, Millis, RequestId};
use crate::store::StoreError;
use crate::store::items::paid;
use crate::store::requests::quotes::{self, Awaiting};
use crate::worker::Deps;
use crate::worker::intake::quote::CONTACTS_AT_ONCE;

/// The shortest pause between two looks; a longer one follows a look at many contacts.
const PAUSE_MS: i64 = 1_000;
const CONTACTS_IN_A_MS: i64 = 10;

/// What the last look rested on. A restart loses it; then everything is looked at again.
#[derive(Debug, Default)]
pub(in crate::worker) struct Looked {
    next_at: Option<Millis>,
    /// For each request the newest event then, and the price.
    at: HashMap<RequestId, (i64, Credits)>,
}

/// Reckons quotes again where something has changed; returns how many are another now.
pub(in crate::worker) async fn run(deps: &Deps) -> Result<usize, StoreError> {
    let now = deps.clock.now();
    if deps.looked().next_at.is_some_and(|at| now < at && at.0 <= now.0 + 60_000) {
        return Ok(0);
    }
    let newest = quotes::newest_event(deps.store.readers()).await?;
    let (mut did, mut contacts, mut seen) = (0, 0, HashMap::new());
    for request in quotes::awaiting(deps.store.readers()).await? {
        let Some(action) = Action::parse(&request.action).filter(|action| action.channel().is_some()) else {
            continue;
        };
        let price = deps.price(&AccountId::trusted(request.account.clone()), action).await?;
        let id = RequestId(request.id);
        let is_known = deps.looked().at.get(&id) == Some(&(newest, price));
        if !is_known {
            let (looked_at, new) = to_buy(deps, &request, action).await?;
            contacts += looked_at as i64;
            did += usize::from(write(deps, request, price.times(new), now).await?);
        }
        seen.insert(id, (newest, price));
    }
    let next_at = deps.clock.now().plus(PAUSE_MS + contacts / CONTACTS_IN_A_MS);
    *deps.looked() = Looked { next_at: Some(next_at), at: seen };
    Ok(did)
}

/// How many contacts of the request wait, and how many of them would be bought.
async fn to_buy(deps: &Deps, request: &Awaiting, action: Action) -> Result<(usize, usize), StoreError> {
    let account = AccountId::trusted(request.account.clone());
    let waiting = quotes::unapproved(deps.store.readers(), request.id).await?;
    let mut known = 0;
    for part in waiting.chunks(CONTACTS_AT_ONCE) {
        known += paid::had_or_in_flight(deps.store.readers(), &account, action, part).await?.len();
    }
    Ok((waiting.len(), waiting.len() - known))
}

async fn write(deps: &Deps, request: Awaiting, quote: Credits, now: Millis) -> Result<bool, StoreError> {
    let was = Credits(request.quoted_credits);
    if quote == was {
        return Ok(false);
    }
    let reason = format!(
        "would cost up to {quote} credits by now (it was {was}); nothing was bought: \
         unlockd approve {id} --credits {figure}, or cancel {id}",
        figure = quote.0,
        id = request.id
    );
    deps.store
        .write(move |connection| {
            Box::pin(async move { quotes::requote(connection, &request, quote, &reason, now).await })
        })
        .await
}
