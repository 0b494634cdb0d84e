//! Keeps what a worker holds: the lease of a database, or of its part of one that it shares.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::config::Config;
use crate::domain::pacing;
use crate::store::lease::{self, Lease, Terms};
use crate::store::{Store, StoreError};
use crate::worker::Deps;
use crate::worker::run::members::{LOOK_EVERY_MS, Leases};
use crate::worker::run::signals::Signals;

/// Renews the lease and feeds systemd's watchdog, until the worker stops. Stops it when another one
/// has taken over. Returns the lease: its lock must be held until the calls in flight have ended,
/// or a successor would prevent this process from recording their answers.
pub(super) async fn keep_lease(
    deps: Arc<Deps>,
    mut lease: Lease,
    signals: Signals,
) -> Result<Lease, StoreError> {
    if lease.member.is_some() {
        return keep_leases(deps, lease, signals).await;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(lease::RENEW_EVERY_MS as u64)) => {}
            () = signals.stopping() => return Ok(lease),
        }
        if let Some(path) = deps.store.replaced() {
            // What is written now goes into a file that nobody will open again.
            signals.stop();
            return Err(StoreError::Replaced { path: path.display().to_string() });
        }
        let renewed = async {
            lease.renew(&deps.store, deps.clock.now()).await?;
            lease.note(&deps.store).await
        };
        if let Err(error) = renewed.await {
            signals.stop();
            return Err(error);
        }
        feed_watchdog(&deps);
    }
}

/// The same for a worker that shares the database: the lease of each owner is kept until its passes have ended.
async fn keep_leases(deps: Arc<Deps>, mut lease: Lease, signals: Signals) -> Result<Lease, StoreError> {
    let (mut leases, mut served, mut done) = (Leases::default(), deps.shares.served(), deps.shares.done());
    loop {
        if let Err(error) = leases.look(&deps, &mut lease, &signals).await {
            signals.stop();
            return Err(error);
        }
        feed_watchdog(&deps);
        let is_stopping = signals.is_stopping();
        if is_stopping && *done.borrow_and_update() {
            return Ok(lease);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)) => {}
            _ = served.changed() => {}
            _ = done.changed() => {}
            () = signals.stopping(), if !is_stopping => {}
        }
    }
}

/// How this worker shares a database with others.
pub(super) fn terms(config: &Config) -> Terms {
    Terms { host: host(config), lease_ms: pacing::duration_ms(config.fleet.lease) }
}

/// Tells systemd, while another program keeps the database locked, that a restart would not unlock it: neither a worker
/// that starts nor one that works is ended then. Never returns.
pub(super) async fn tell_of_locks(store: Store) {
    let every = Duration::from_millis(lease::RENEW_EVERY_MS as u64);
    let said = [NotifyState::ExtendTimeoutUsec(4 * every.as_micros() as u32), NotifyState::Watchdog];
    loop {
        tokio::time::sleep(every).await;
        if store.is_locked_out() {
            let _ = sd_notify::notify(&said);
        }
    }
}

/// Tells systemd that the worker lives, but not while a pass hangs: then systemd starts it again.
fn feed_watchdog(deps: &Deps) {
    match deps.heartbeat.stalled(deps.config().api.timeout) {
        None => drop(sd_notify::notify(&[NotifyState::Watchdog])),
        Some(stalled) => {
            let seconds = deps.clock.now().since(stalled.since) / 1_000;
            tracing::error!(
                pass = stalled.pass,
                seconds,
                "a pass hangs; systemd is no longer told that the worker is alive"
            );
        }
    }
}

/// The name of this machine.
pub(super) fn host(config: &Config) -> String {
    let named = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = config.fleet.host.clone().or_else(named).map(|name| name.trim().to_owned());
    host.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}
