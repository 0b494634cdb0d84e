//! Reads the facts for the next step: rows, prices and limits, and what the gate knows.

use crate::domain::job::WaitReason;
use crate::domain::submission::{Facts, Parked, Ready, Waiting};
use crate::domain::{Action, Credits, Millis, pacing};
use crate::store::StoreError;
use crate::store::accounts::AccountRow;
use crate::store::jobs::facts::{self, Facts as Rows, Older};
use crate::worker::balance::with_limits;
use crate::worker::gate::Gate;
use crate::worker::owners;
use crate::worker::{Deps, least_price};

/// The tasks that are polled more rarely.
pub(in crate::worker) const OLDER: Older =
    Older { polls: pacing::SLOWER_FROM_POLLS, ages_ms: pacing::OLDER_FROM_MS };

/// Reads the facts, and the account's row at that moment. `None`: a person says that the key is valid again,
/// which concerns every pass.
pub(in crate::worker) async fn read(
    deps: &Deps,
    gate: &Gate,
) -> Result<Option<(Facts, AccountRow)>, StoreError> {
    let (now, config, ladder) = (deps.clock.now(), deps.config(), deps.ladder());
    let batch_turn = deps.batch_turns().get(&gate.account).copied().unwrap_or_default();
    let rows = facts::read(deps.store.readers(), &gate.account, OLDER, batch_turn.led_up_to, now).await?;
    // `unlockd resume` is another process: it writes the resume into the row.
    if gate.apply_resume(&rows.account) {
        return Ok(None);
    }
    let taken = pacing::places_taken(rows.polled, &ladder);
    let facts = Facts {
        now,
        has_usable_key: gate.has_usable_key(),
        is_paused: rows.account.paused_at.is_some(),
        is_owner_busy: rows.is_owner_buying
            || owners::is_changing(&config, rows.account.owner.as_deref(), &rows.members),
        trouble_until: gate.trouble_until(),
        no_balance_until: gate.no_balance_until(),
        tasks_are_full: taken >= gate.tasks_in_flight(&ladder),
        next_window_at: gate.next_window_at(),
        purse: rows.purse.map(|purse| with_limits(purse, &config)),
        has_opening: rows.has_opening,
        batch_size: gate
            .most_contacts()
            .map_or(config.submit.batch_size, |most| most.min(config.submit.batch_size)),
        emptied: rows.emptied,
        ready: ready(deps, &rows),
        claimed: claimed(deps, &rows),
        parked: parked(deps, &rows),
        waiting: waiting(deps, gate, &rows),
        turn: batch_turn.turn,
    };
    Ok(Some((facts, rows.account)))
}

/// The price of one unit of an action: as last seen, else as configured. Where a precheck may show a lower one, the
/// lowest: it is asked before the job waits for credits.
fn price(deps: &Deps, rows: &Rows, action: Action) -> Credits {
    let seen = rows.prices.iter().find(|(of, _)| *of == action);
    seen.map_or_else(|| least_price(&deps.config(), action), |(_, price)| *price)
}

fn ready(deps: &Deps, rows: &Rows) -> Option<Ready> {
    let job = rows.ready.as_ref()?;
    let price = price(deps, rows, job.action);
    Some(Ready {
        id: job.id,
        contacts: job.contacts,
        price,
        cost: price.times(job.contacts as usize),
        may_cost_less: job.channel().is_some() && deps.config().submit.precheck,
        quoted: job.quoted_credits,
        due_at: job.due_at.unwrap_or_default(),
        failures: job.failures,
        is_sorted: deps.sortings().contains_key(&(job.id, job.version)),
        // A direct action is one call and one job: other items cannot join it. Nor can they join
        // a part of a refused call, which must show which of its own contacts are refused, or a job whose
        // cost a person has confirmed.
        has_company: rows.has_company
            && job.channel().is_some()
            && job.divided_from.is_none()
            && job.confirmed_credits.is_none(),
    })
}

fn claimed(deps: &Deps, rows: &Rows) -> Credits {
    let cost = |(action, contacts): &(Action, u32)| price(deps, rows, *action).times(*contacts as usize);
    rows.claimed.iter().map(cost).sum()
}

fn parked(deps: &Deps, rows: &Rows) -> Vec<Parked> {
    let parked = rows.parked.iter().map(|job| {
        // The price of the precheck counts if it is higher.
        let price = price(deps, rows, job.action).max(job.price.unwrap_or_default());
        // The limits of a day and a month must cover the estimate.
        let quoted = job.quoted.filter(|_| job.waits_for == WaitReason::InsufficientCredits);
        Parked {
            id: job.id,
            waits_for: job.waits_for,
            cost: quoted.unwrap_or(price.times(job.contacts as usize)),
            refused_at: job.refused_at,
            due_at: job.due_at.unwrap_or(Millis(0)),
        }
    });
    parked.collect()
}

fn waiting(deps: &Deps, gate: &Gate, rows: &Rows) -> Vec<Waiting> {
    let looked_up = deps.looked_up();
    let of = |action| looked_up.get(&(gate.account.clone(), action)).copied().unwrap_or_default();
    let kinds = rows.waiting.iter().map(|kind| Waiting {
        action: kind.action,
        price: price(deps, rows, kind.action),
        oldest: kind.oldest,
        next: kind.next,
        // Pages of a search are never stored already.
        is_looked_up: kind.action.is_search() || of(kind.action) >= kind.newest,
    });
    kinds.collect()
}
