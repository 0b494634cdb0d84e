//! Waits until another program has written the inbox: the system says when a file is written, and the database by whom.

use crate::store::inbox::{self, Writes};
use crate::worker::Deps;

/// The writes of the inbox, if they can be watched.
pub(super) fn watch(deps: &Deps) -> Option<Writes> {
    inbox::watch(&deps.store).inspect_err(not_watched).ok()
}

/// Resolves when another program may have written the inbox. Without a watch, never: then `inbox.interval` decides.
pub(super) async fn by_another(deps: &Deps, writes: &mut Option<Writes>, version: i64) {
    while let Some(watched) = writes {
        match watched.next().await {
            // In one file with the state, most writes are this process's own. Its version is read behind the commit.
            Ok(()) if watched.tells_of_own(&deps.store) => {
                if inbox::state_version(&deps.store).await.ok() != Some(version) {
                    return;
                }
            }
            Ok(()) => return,
            Err(problem) => {
                not_watched(&problem);
                *writes = None;
            }
        }
    }
    std::future::pending().await
}

fn not_watched(problem: &std::io::Error) {
    tracing::warn!(%problem, "the inbox cannot be watched; new rows are seen every inbox.interval");
}
