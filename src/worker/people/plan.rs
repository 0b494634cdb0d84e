//! What a request would buy and cost, before it is written: the same functions as in the worker's intake, so the
//! figures are those that the row would lead to.

use std::collections::HashMap;

use crate::config::Config;
use crate::domain::budget::Pace;
use crate::domain::credits::{Approval, Purse};
use crate::domain::request::UnlockRequest;
use crate::domain::{AccountId, Credits, Millis, PersonnelId};
use crate::store::items::paid;
use crate::store::report::metrics;
use crate::store::{Store, StoreError};
use crate::worker::balance::with_limits;
use crate::worker::intake::quote;
use crate::worker::price;

/// The figures of a request that is not written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// To buy, at most.
    pub new: usize,
    /// Of the new ones: paid for before, and no value came. Each costs its price again.
    pub paid_without_value: usize,
    /// This database has their value.
    pub already_had: usize,
    /// Being bought already in another request's task.
    pub in_flight: usize,
    pub batches: usize,
    pub price: Credits,
    /// What is new to buy, at most.
    pub quote: Credits,
    pub approval: Approval,
}

/// What the limits of the configuration leave for an order of an account: `units` at `price` each.
pub async fn pace(
    config: &Config,
    store: &Store,
    account: &AccountId,
    (units, price): (usize, Credits),
    now: Millis,
) -> Result<Pace, StoreError> {
    let limits = (config.credits.daily_limit.map(Credits), config.credits.monthly_limit.map(Credits));
    if limits == (None, None) {
        return Ok(Pace::default());
    }
    let purse = metrics::purse(store, account, now).await?.map(|purse| with_limits(purse, config));
    // Before the first balance nothing was spent.
    let left = |limit: Option<Credits>, left: fn(&Purse) -> Option<Credits>| {
        limit.map(|limit| (limit, purse.as_ref().and_then(left).unwrap_or(limit)))
    };
    Ok(Pace::of(units, price, left(limits.0, Purse::left_today), left(limits.1, Purse::left_this_month)))
}

/// Reads what is known about the contacts, and estimates the request.
pub async fn figures(config: &Config, store: &Store, request: &UnlockRequest) -> Result<Figures, StoreError> {
    let contacts = request.contacts();
    let (account, action) = (&request.account, request.action);
    let found = paid::had_or_in_flight(store.readers(), account, action, &contacts.valid).await?;
    let known: HashMap<_, _> = found.into_iter().map(|known| (known.personnel_id, known.in_flight)).collect();
    let price = price(store, config, &request.account, request.action).await?;
    let approve_above = Credits(config.credits.approve_above);
    let direct = request.action.channel().is_none();
    let unknown = contacts.valid.iter().filter(|id| !known.contains_key(id.as_str()));
    let unknown: Vec<&PersonnelId> = unknown.collect();
    let paid = paid::brought_nothing(store.readers(), account, action, &unknown).await?;
    let new = if direct { request.wish.calls() as usize } else { unknown.len() };
    let estimate = quote::estimate(request, new, price, approve_above);
    let in_flight = known.values().filter(|in_flight| **in_flight).count();
    Ok(Figures {
        new,
        paid_without_value: paid as usize,
        already_had: known.len() - in_flight,
        in_flight,
        batches: if direct { new } else { new.div_ceil(config.submit.batch_size.max(1) as usize) },
        price,
        quote: estimate.quote,
        approval: estimate.approval,
    })
}
