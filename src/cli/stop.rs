//! How a stop begins: with SIGTERM or SIGINT.

use tokio::signal::unix::{SignalKind, signal};

use crate::worker::run::signals::Signals;

/// Tells the passes to end at the first one.
pub(super) fn stop_on_signals(signals: &Signals) -> std::io::Result<()> {
    let (stop, signals) = (stop_signals()?, signals.clone());
    tokio::spawn(async move {
        stop.await;
        tracing::info!("stopping: finishing calls in flight");
        signals.stop();
    });
    Ok(())
}

/// Resolves at SIGTERM or SIGINT.
pub(super) async fn stop_requested() -> std::io::Result<()> {
    stop_signals()?.await;
    Ok(())
}

/// From now on SIGTERM and SIGINT do not end the process; the returned future resolves at the first one.
pub(super) fn stop_signals() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
