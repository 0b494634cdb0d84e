//! Reads the balance, and computes how much of it is free to spend.

use crate::api::{ApiError, Caller};
use crate::config::Config;
use crate::domain::credits::Balance;
use crate::domain::credits::Purse;
use crate::domain::turns::Class;
use crate::domain::{AccountId, Credits, Millis};
use crate::store::StoreError;
use crate::store::credits::{balances, ledger};
use crate::worker::gate::{Called, Gate};
use crate::worker::{Deps, Report, retry_at};

/// The account's purse, with the configured floor and limits.
pub(crate) async fn purse(deps: &Deps, account: &AccountId) -> Result<Option<Purse>, StoreError> {
    let config = deps.config();
    let purse = ledger::purse(deps.store.readers(), account, deps.clock.now()).await?;
    Ok(purse.map(|purse| with_limits(purse, &config)))
}

pub(crate) fn with_limits(purse: Purse, config: &Config) -> Purse {
    Purse {
        min_balance: Credits(config.credits.min_balance),
        list_price: Credits(config.credits.price.email.min(config.credits.price.phone)),
        daily_limit: config.credits.daily_limit.map(Credits),
        monthly_limit: config.credits.monthly_limit.map(Credits),
        ..purse
    }
}

/// The result of asking for the balance.
pub(crate) enum Asked {
    Recorded(Balance),
    /// No call was made: none is allowed before this moment.
    At(Millis),
    /// No call was made: there is no key, or it was refused.
    NoKey,
    Failed(ApiError),
}

/// Reads and records the balance, for a pass. After a failed read the next one waits for a growing pause,
/// even if the pass runs more often.
pub(super) async fn read_balance(
    deps: &Deps,
    gate: &Gate,
    cause: &'static str,
) -> Result<Report, StoreError> {
    let not_before = gate.no_balance_until();
    if not_before > deps.clock.now() && gate.has_usable_key() {
        return Ok(Report::at(not_before));
    }
    Ok(match ask_balance(deps, gate, cause).await? {
        Asked::Recorded(_) => Report::did(1),
        Asked::At(at) => Report::at(at),
        Asked::NoKey => Report::idle(),
        Asked::Failed(error) => {
            let pause_ms = gate.no_balance_until().since(deps.clock.now());
            tracing::warn!(account = %gate.account, status = error.status, error_key = error.error_key,
                pause_ms, "the balance could not be read; nothing new is bought before it is, and it is asked for \
                 again after the pause");
            after_failed_read(deps, gate)
        }
    })
}

/// Reads and records the balance now: a person may ask at any time.
pub(crate) async fn ask_balance(deps: &Deps, gate: &Gate, cause: &'static str) -> Result<Asked, StoreError> {
    let ledger = ledger::last_entry(deps.store.readers()).await?;
    let ask = async |caller: Caller<'_>, at| gate.client.balance(caller, at).await;
    let (asked, answer) = match gate.call(Class::Balance, (None, None), ask).await? {
        Called::Answered { at, result } => (balances::Asked { at, ledger }, result),
        Called::At(at) => return Ok(Asked::At(at)),
        Called::NoKey => return Ok(Asked::NoKey),
    };
    gate.note_balance(answer.is_ok());
    match answer {
        Ok(balance) => {
            let (account, key, taken_at) = (gate.account.clone(), gate.key_fingerprint(), deps.clock.now());
            deps.store
                .write(move |connection| {
                    Box::pin(async move {
                        let id = balances::add_snapshot(
                            &mut *connection,
                            &account,
                            balance,
                            cause,
                            asked,
                            taken_at,
                        )
                        .await?;
                        balances::note_key(connection, id, key.as_deref()).await
                    })
                })
                .await?;
            Ok(Asked::Recorded(balance))
        }
        Err(error) => Ok(Asked::Failed(error)),
    }
}

/// The gate has already learned from the failure; this says when to run again.
pub(super) fn after_failed_read(deps: &Deps, gate: &Gate) -> Report {
    if !gate.has_usable_key() {
        // Runs again at once; the gate then says how long to wait.
        return Report::did(1);
    }
    let soon = retry_at(deps.clock.now(), 1);
    Report::at(gate.trouble_until().max(soon))
}
