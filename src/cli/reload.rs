//! Applies changes of the configuration file and of key files while the daemon runs.
//!
//! `notify` watches the directories and not the files, since editors and orchestrators replace a
//! file rather than write it; SIGHUP does the same by hand. Each event makes it read all files
//! again. A broken, missing or empty file is reported and changes nothing; a change that needs a restart
//! is reported as such.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{Event, RecursiveMode, Watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Context;
use crate::config::{self, Config};
use crate::domain::needs::Need;
use crate::logs::LogHandle;
use crate::worker::Deps;
use crate::worker::people::needs;
use crate::worker::run::signals::Signals;

/// The files are also read without an event: swapping a whole directory (a ConfigMap) may cause none.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
pub(super) async fn watch(context: Context, log: LogHandle, deps: Arc<Deps>, signals: Signals) {
    let (hint, mut hints) = mpsc::channel::<()>(1);
    let interesting: Arc<Mutex<BTreeSet<OsString>>> = Arc::default();
    let names = interesting.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        let names = names.lock().unwrap_or_else(PoisonError::into_inner);
        // An error may mean that events were missed.
        if event.is_err() || event.is_ok_and(|event| concerns(&event, &names)) {
            // One waiting event is enough: the next read sees every change.
            let _ = hint.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(error = %error, "files cannot be watched; reading them every 10 s instead");
            None
        }
    };
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    let (mut watched, mut said) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let current = deps.config();
        if let Some(watcher) = &mut watcher {
            watch_directories(watcher, &mut watched, &current);
        }
        *interesting.lock().unwrap_or_else(PoisonError::into_inner) =
            files(&current).filter_map(|file| file.file_name().map(OsString::from)).collect();
        // Read once before waiting: files may have changed before the watch began.
        let began = deps.clock.now();
        said = reload(&context, &log, &deps, &said).await;
        deps.files.were_read(began);
        // A key file may have changed, or a row waits for this. Cheap: every 10 s when nothing else has changed.
        signals.wake();
        tokio::select! {
            _ = hints.recv(), if watcher.is_some() => {
                // Let the writer finish: a half-written file would be called broken.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            () = deps.files.wanted() => tokio::time::sleep(Duration::from_millis(100)).await,
            _ = hangup.recv() => tracing::info!("SIGHUP: reading configuration and keys again"),
            () = tokio::time::sleep(LOOK_AGAIN_EVERY) => {}
        }
    }
}

/// The files whose change matters.
fn files(config: &Config) -> impl Iterator<Item = &Path> {
    let keys = config.accounts.values().filter_map(|account| account.api_key_file.as_deref());
    keys.chain(config.origin.as_deref())
}

/// Whether an event may change one of the files. The database may lie in the same directory, and
/// reading a file is an event too: taking either for a change would loop forever.
fn concerns(event: &Event, names: &BTreeSet<OsString>) -> bool {
    use notify::event::{AccessKind, AccessMode, EventKind};
    let changes = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    // A directory swap (..data) changes all files in it.
    let named = |name: &OsStr| names.contains(name) || name.to_string_lossy().starts_with("..");
    changes && event.paths.iter().filter_map(|path| path.file_name()).any(named)
}

fn watch_directories(watcher: &mut impl Watcher, watched: &mut BTreeSet<PathBuf>, config: &Config) {
    for file in files(config) {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new(".")).to_owned();
        if watched.insert(directory.clone())
            && let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive)
        {
            tracing::warn!(directory = %directory.display(), error = %error, "this directory cannot be watched");
        }
    }
}

/// Reads everything again and returns the problems. A problem that the last read reported is not reported
/// again.
async fn reload(
    context: &Context,
    log: &LogHandle,
    deps: &Deps,
    said: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    let old = deps.config();
    let new = match config::reload(&context.inputs(), &old) {
        Ok(new) => new,
        Err(error) => {
            wrong.insert(format!("configuration rejected; keeping the current one: {error}"));
            tell(&wrong, said);
            return wrong;
        }
    };
    let changes = config::changes(&old, &new);
    // Keys are read again in any case: a key file's content is no configuration. Before anything is said about it: a program
    // may wait for the message.
    if let Err(error) = deps.reconfigure(Arc::new(config::in_force(&old, new.clone()))).await {
        tracing::error!(error = %error, "the configuration could not be put in force");
    }
    for key in &changes.needs_restart {
        wrong.insert(format!("{key} changed in the configuration and takes effect at the next start"));
    }
    for key in &changes.live {
        tracing::info!(key, "changed in the configuration and now in force");
    }
    about_accounts(deps, (&old, &new), &mut wrong).await;
    if old.log.level != new.log.level
        && let Err(error) = log.set_level(&new.log.level)
    {
        wrong.insert(format!("the log level was rejected: {error}"));
    }
    tell(&wrong, said);
    wrong
}

/// Says which accounts are served from now on, and which are not.
async fn about_accounts(deps: &Deps, (old, new): (&Config, &Config), wrong: &mut BTreeSet<String>) {
    for account in new.accounts.keys().filter(|name| !old.accounts.contains_key(*name)) {
        tracing::info!(account, "the configuration names a new account; it is served from now on");
    }
    for account in old.accounts.keys().filter(|name| !new.accounts.contains_key(*name)) {
        tracing::warn!(
            account,
            "the configuration does not name this account any more: nothing more is bought with it, its rows wait, and \
             what it has running is polled to its end"
        );
    }
    match needs::unconfigured(&deps.store, new).await {
        Ok(unconfigured) => wrong.extend(unconfigured.iter().map(Need::what)),
        Err(error) => tracing::error!(error = %error, "cannot read which accounts have unfinished work"),
    }
}

fn tell(wrong: &BTreeSet<String>, said: &BTreeSet<String>) {
    for problem in wrong.difference(said) {
        tracing::warn!("{problem}");
    }
}
