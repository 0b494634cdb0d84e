//! What a request would buy and cost, before it is written: the same functions as in the worker's intake, so the
//! figures are those that the row would lead to.

use std::collections::HashMap;

use crate::config::Config;
use crate::domain::credits::Approval;
use crate::domain::request::UnlockRequest;
use crate::domain::{Credits, PersonnelId};
use crate::store::items::paid;
use crate::store::{Store, StoreError};
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
