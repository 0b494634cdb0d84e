//! A worker that waits for its turn, while another one has the database.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::clock::Clock;
use crate::store::lease::{self, Lease};
use crate::store::{Store, StoreError};
use crate::worker::run::signals::Signals;

/// Waits until this process is the one worker of its database; `None` when it was told to stop.
pub(super) async fn wait_for_lease(
    store: &Store,
    clock: &Clock,
    signals: &Signals,
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
        match lease::try_take(store, clock.now()).await? {
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
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = signals.stopping() => return Ok(None),
        }
    }
}
