//! Decides about a row that is taken: its estimated cost, and whether a person has to approve it.
//!
//! Contacts that are stored, or being bought, cost nothing; the rest is estimated by the price last seen. A
//! request above its own `max_credits` is rejected, and one above `credits.approve_above` awaits approval;
//! neither buys anything. A task that the worker already follows is not adopted twice.

use std::collections::{HashMap, HashSet};

use crate::domain::credits::{self, Approval};
use crate::domain::item;
use crate::domain::moves::IllegalMove;
use crate::domain::request::{self, Contacts, Rejection, UnlockRequest, Wish};
use crate::domain::request_state::Event;
use crate::domain::{AccountId, Action, Credits, PersonnelId};
use crate::store::items::paid;
use crate::store::requests::NewRequest;
use crate::store::{StoreError, jobs};
use crate::worker::Deps;
use crate::worker::intake::taken::{Taken, accepted, raw, rejected};

/// The facts about one account and action, read once for all its rows.
pub(in crate::worker) struct Known {
    /// Contacts that need not be bought.
    had: HashSet<String>,
    price: Credits,
}

pub(in crate::worker) type KnownByKind = HashMap<(AccountId, Action), Known>;

/// Contacts in one statement: limits its memory.
pub(super) const CONTACTS_AT_ONCE: usize = 5_000;

/// The contacts that need not be bought, by account and action.
pub(super) fn had(known: KnownByKind) -> Vec<(AccountId, Action, Vec<PersonnelId>)> {
    let sorted = |had: HashSet<String>| {
        let mut had: Vec<_> = had.into_iter().map(PersonnelId::trusted).collect();
        had.sort_unstable();
        had
    };
    let by_kind = known.into_iter().map(|((account, action), known)| (account, action, sorted(known.had)));
    by_kind.filter(|(_, _, had)| !had.is_empty()).collect()
}

pub(in crate::worker) async fn known(deps: &Deps, taken: &[Taken]) -> Result<KnownByKind, StoreError> {
    let mut asked: HashMap<(AccountId, Action), Vec<&str>> = HashMap::new();
    for request in taken.iter().filter_map(|taken| taken.wish.as_ref().ok()) {
        if let Wish::Contacts { contacts, .. } = &request.wish {
            let key = (request.account.clone(), request.action);
            asked.entry(key).or_default().extend(contacts.valid.iter().map(PersonnelId::as_str));
        }
    }
    let mut known = KnownByKind::new();
    for ((account, action), ids) in asked {
        let mut had = HashSet::new();
        for part in ids.chunks(CONTACTS_AT_ONCE) {
            let found = paid::had_or_in_flight(deps.store.readers(), &account, action, part).await?;
            had.extend(found.into_iter().map(|contact| contact.personnel_id));
        }
        let price = deps.price(&account, action).await?;
        known.insert((account, action), Known { had, price });
    }
    Ok(known)
}

/// Decides about a row.
pub(in crate::worker) async fn decide(
    deps: &Deps,
    taken: &Taken,
    known: &KnownByKind,
) -> Result<NewRequest, StoreError> {
    let request = match &taken.wish {
        Ok(request) => request,
        Err(rejection) => return Ok(rejected(taken, &request::named(&raw(&taken.row)), rejection)?),
    };
    match &request.wish {
        Wish::Contacts { contacts, .. } => {
            let known = &known[&(request.account.clone(), request.action)];
            let approve_above = Credits(deps.config().credits.approve_above);
            let new = contacts.valid.iter().filter(|id| !known.had.contains(id.as_str())).count();
            let estimate = estimate(request, new, known.price, approve_above);
            Ok(quoted(deps, taken, request, contacts, estimate)?)
        }
        Wish::Adopt { task_id, contacts, .. } => {
            let following =
                jobs::following(deps.store.readers(), &request.account, request.action, task_id).await?;
            Ok(match following {
                Some(job) => {
                    let rejection = Rejection::TaskKnown { task_id: task_id.clone(), job: job.0 };
                    rejected(taken, contacts, &rejection)?
                }
                None => accepted(taken, request, contacts, Credits::ZERO, Event::Taken, None)?,
            })
        }
        Wish::Event | Wish::Search { .. } => {
            let price = deps.price(&request.account, request.action).await?;
            let approve_above = Credits(deps.config().credits.approve_above);
            let estimate = estimate(request, request.wish.calls() as usize, price, approve_above);
            Ok(quoted(deps, taken, request, &request.first_call(), estimate)?)
        }
    }
}

/// The estimated cost of a request, and whether a person has to approve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) quote: Credits,
    pub(crate) approval: Approval,
}

/// Estimates a request. `new` is the most that it would buy: contacts, the event, or pages.
pub(crate) fn estimate(
    request: &UnlockRequest,
    new: usize,
    price: Credits,
    approve_above: Credits,
) -> Estimate {
    let list = price.times(new);
    // Full access costs what is still locked, which only the precheck knows, and never more than `max_credits`.
    let quote = match (request.action, request.max_credits) {
        (Action::UnlockEventFullAccess, Some(most)) => list.min(most),
        _ => list,
    };
    let approved = request.approved.then_some(quote);
    let approval = match credits::approval(quote, approve_above, request.max_credits, approved) {
        Approval::NotNeeded if request.needs_approval && !request.approved => Approval::Needed,
        approval => approval,
    };
    Estimate { quote, approval }
}

fn quoted(
    deps: &Deps,
    taken: &Taken,
    request: &UnlockRequest,
    contacts: &Contacts,
    estimate: Estimate,
) -> Result<NewRequest, IllegalMove> {
    let approve_above = Credits(deps.config().credits.approve_above);
    let quote = estimate.quote;
    let approved = request.approved.then_some(quote);
    match estimate.approval {
        Approval::NotNeeded => {
            let items = item::State::Waiting { seen: None };
            let request = accepted(taken, request, contacts, quote, Event::Taken, Some(items))?;
            Ok(NewRequest { approved_credits: approved, ..request })
        }
        Approval::Needed => {
            // What the row says counts only where the configuration lets it.
            let ignored = if taken.row.approved == 1 {
                " (approved = 1 is ignored in rows: credits.approve_from_inbox = false)"
            } else {
                ""
            };
            let why = match quote > approve_above {
                true => format!("more than credits.approve_above = {}", approve_above.0),
                false => "and who asked for it may only propose".to_owned(),
            };
            let reason = format!(
                "would cost up to {quote} credits, {why}{ignored}; \
                 nothing was bought: unlockd approve {id} --credits {figure}, or cancel {id}",
                figure = quote.0,
                id = taken.row.id
            );
            let (event, items) = (Event::ApprovalNeeded, item::State::Unapproved { seen: None });
            let waiting = accepted(taken, request, contacts, quote, event, Some(items))?;
            Ok(NewRequest { reason: Some(reason), ..waiting })
        }
        Approval::OverMaxCredits => {
            let max_credits = request.max_credits.unwrap_or_default();
            rejected(taken, contacts, &Rejection::OverMaxCredits { quoted: quote, max_credits })
        }
    }
}
