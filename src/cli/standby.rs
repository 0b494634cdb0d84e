//! A worker that waits for its turn, while another one has the database.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock::Clock;
use crate::store::lease::{self, Lease, Terms};
use crate::store::postgres::members;
use crate::store::{Store, StoreError};
use crate::worker::run::signals::Signals;

/// What a process waits for.
#[derive(Clone, Copy)]
pub(super) enum Waiting<'a> {
    /// To work: alone, or with those that share the database.
    ToWork(&'a Terms),
    /// To change the schema while nobody works.
    ToUpgrade { host: &'a str },
}

/// Waits until this process may do that; `None` when it was told to stop.
pub(super) async fn wait_for_lease(
    store: &Store,
    clock: &Clock,
    signals: &Signals,
    waiting: Waiting<'_>,
) -> Result<Option<Lease>, StoreError> {
    let (mut told, mut not_before_ms) = (false, i64::MIN);
    loop {
        if clock.step_ms() != 0 {
            // The holder follows, too; until it has renewed its lease by the new time, the lease looks old, or of the
            // future, while its holder lives.
            clock.follow();
            not_before_ms = clock.steady_ms() + lease::EXPIRES_AFTER_MS;
        }
        if clock.steady_ms() < not_before_ms {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => continue,
                () = signals.stopping() => return Ok(None),
            }
        }
        let taken = match waiting {
            Waiting::ToWork(terms) => lease::try_join(store, terms, clock.now()).await?,
            Waiting::ToUpgrade { .. } => lease::try_take(store, clock.now()).await?,
        };
        match taken {
            Ok(lease) => {
                if told {
                    let _ = sd_notify::notify(&[NotifyState::Status("working")]);
                }
                return Ok(Some(lease));
            }
            Err(holder) if !told => {
                tracing::warn!(pid = holder.pid, "another worker has this database; waiting to take over");
                // A standby that waits has started well: else systemd would stop it after its start timeout.
                let status = format!("standby: worker {} has the database", holder.pid);
                let _ = sd_notify::notify(&[NotifyState::Ready]);
                let _ = sd_notify::notify(&[NotifyState::Status(&status)]);
                told = true;
            }
            Err(_) => drop(sd_notify::notify(&[NotifyState::Watchdog])),
        }
        if let Waiting::ToUpgrade { host } = waiting {
            members::ask_to_end(store, host).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = signals.stopping() => return Ok(None),
        }
    }
}
