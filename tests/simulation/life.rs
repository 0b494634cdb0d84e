//! One worker: its passes as the driver runs them, but one at a time, and each only until it waits for an
//! answer from outside.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use unlockd::domain::Millis;
use unlockd::store::StoreError;
use unlockd::store::lease::Lease;
use unlockd::worker::doubt::verify;
use unlockd::worker::{Deps, Report, erase, intake, poll, profile, settle, submit};

use crate::calls::Calls;
use crate::crash::Crash;

/// First those of the whole worker, then those of each account.
const PASSES: [&str; OF_WORKER + OF_ACCOUNT] =
    ["intake", "erase", "submit", "poll", "verify", "read", "settle"];
const OF_WORKER: usize = 2;
const OF_ACCOUNT: usize = 5;
pub(crate) const INTAKE: usize = 0;
const ERASE: usize = 1;
/// The passes that belong to no account.
pub(crate) const HOUSE: [usize; OF_WORKER] = [INTAKE, ERASE];

/// The name of a pass, with the number of its account unless that is the first.
pub(crate) fn name(pass: usize) -> String {
    match account_of(pass) {
        0 => PASSES[pass].to_owned(),
        account => format!("{} {}", PASSES[pass - OF_ACCOUNT * account], account + 1),
    }
}

/// Whether a pass makes paid calls.
pub(crate) fn buys(pass: usize) -> bool {
    pass >= OF_WORKER && (pass - OF_WORKER).is_multiple_of(OF_ACCOUNT)
}

/// The passes of an account, by its place among all of them.
pub(crate) fn passes_of(account: usize) -> std::ops::Range<usize> {
    let first = OF_WORKER + OF_ACCOUNT * account;
    first..first + OF_ACCOUNT
}

/// The account that a pass works for, by its place among all of them.
pub(crate) fn account_of(pass: usize) -> usize {
    pass.saturating_sub(OF_WORKER) / OF_ACCOUNT
}

/// Whether a pass makes several calls at a time: submit, poll and read.
fn makes_several(pass: usize) -> bool {
    pass >= OF_WORKER && [0, 1, 3].contains(&((pass - OF_WORKER) % OF_ACCOUNT))
}

/// Remembers that a pass was woken.
#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    listener: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rang.store(true, Ordering::SeqCst);
        self.listener.wake();
    }
}

impl Bell {
    /// Resolves once it has rung.
    async fn rung(&self) {
        std::future::poll_fn(|context| {
            self.listener.register(context.waker());
            if self.rang.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[derive(Default)]
struct Pass {
    running: Option<BoxFuture<'static, Result<Report, StoreError>>>,
    bell: Arc<Bell>,
    /// Rows changed since it last began.
    awake: bool,
    next_at: Option<Millis>,
}

/// How far a pass got.
pub(crate) enum Progress {
    Ended(Result<Report, StoreError>),
    /// It waits for an answer from outside.
    Waits,
    /// The worker is dead.
    Crashed,
    /// The worker's process was stopped in the middle of it.
    Frozen,
}

pub(crate) struct Life {
    pub(crate) number: u32,
    pub(crate) deps: Arc<Deps>,
    passes: Vec<Pass>,
    /// Those that may begin.
    serves: BTreeSet<usize>,
    // The lock on the file lives as long as this.
    pub(crate) lease: Option<Lease>,
}

impl Life {
    pub(crate) fn new(number: u32, deps: Arc<Deps>, lease: Lease) -> Life {
        let count = OF_WORKER + OF_ACCOUNT * deps.accounts().len();
        let passes = (0..count).map(|_| Pass::default()).collect();
        let mut life = Life { number, deps, passes, serves: (0..count).collect(), lease: Some(lease) };
        life.wake();
        life
    }

    /// Its process has ended.
    pub(crate) fn unlock(&mut self) {
        self.lease = None;
    }

    /// Only these passes may begin from now on.
    pub(crate) fn serve(&mut self, passes: BTreeSet<usize>) {
        for pass in passes.difference(&self.serves) {
            self.passes[*pass].awake = true;
        }
        self.serves = passes;
    }

    /// Whether a pass has begun, and not ended.
    pub(crate) fn is_running(&self, pass: usize) -> bool {
        self.passes[pass].running.is_some()
    }

    /// The passes that have begun, and not ended.
    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.passes.len()).filter(|pass| self.is_running(*pass)).collect()
    }

    /// Its passes are cut off where they are.
    pub(crate) fn abort(&mut self, calls: &Calls) {
        self.give_up(calls);
        self.passes.iter_mut().for_each(|pass| pass.running = None);
    }

    /// It was stopped in the middle of a pass and goes on: whatever rang meanwhile may have been missed.
    pub(crate) fn ring(&self) {
        self.passes.iter().for_each(|pass| pass.bell.rang.store(true, Ordering::SeqCst));
    }

    /// Every pass looks at its rows again.
    pub(crate) fn wake(&mut self) {
        self.wake_those(0..self.passes.len());
    }

    /// These passes look at their rows again.
    pub(crate) fn wake_those(&mut self, passes: impl IntoIterator<Item = usize>) {
        passes.into_iter().for_each(|pass| self.passes[pass].awake = true);
    }

    /// The passes that can continue: due, woken, or with news for what they wait for.
    pub(crate) fn runnable(&self, now: Millis) -> Vec<usize> {
        let can = |index: usize| {
            let pass = &self.passes[index];
            match pass.running {
                Some(_) => pass.bell.rang.load(Ordering::SeqCst),
                None => {
                    self.serves.contains(&index) && (pass.awake || pass.next_at.is_some_and(|at| at <= now))
                }
            }
        };
        (0..self.passes.len()).filter(|index| can(*index)).collect()
    }

    /// When the next pass is due by time.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let waits = |index: &&usize| self.passes[**index].running.is_none();
        self.serves.iter().filter(waits).filter_map(|index| self.passes[*index].next_at).min()
    }

    /// This worker is dead, or will be refused every write: what its passes were doing is not recorded.
    pub(crate) fn give_up(&self, calls: &Calls) {
        for (index, pass) in self.passes.iter().enumerate() {
            if pass.running.is_some() {
                calls.unrecorded(self.number, index);
            }
        }
    }

    /// Runs a pass until it ends or waits for an answer.
    pub(crate) async fn advance(&mut self, index: usize, calls: &Calls, crash: &Crash) -> Progress {
        let progress = self.advance_unrecorded(index, calls, crash).await;
        if matches!(progress, Progress::Waits | Progress::Ended(Ok(_))) {
            calls.recorded(self.number, index);
        }
        progress
    }

    /// The same for a worker that another one has replaced: none of its writes takes effect, and a pass of several calls
    /// may learn that from one of them while it waits for the others.
    pub(crate) async fn advance_unrecorded(
        &mut self,
        index: usize,
        calls: &Calls,
        crash: &Crash,
    ) -> Progress {
        let progress = self.go_on(index, calls, crash).await;
        calls.heard(self.number, index);
        progress
    }

    async fn go_on(&mut self, index: usize, calls: &Calls, crash: &Crash) -> Progress {
        calls.speak_as(self.number, index);
        if self.passes[index].running.is_none() {
            calls.begin(self.number, index);
            self.passes[index].awake = false;
            self.passes[index].running = Some(begin(self.deps.clone(), index));
        }
        loop {
            if crash.happened().is_some() {
                return Progress::Crashed;
            }
            if crash.froze() {
                return Progress::Frozen;
            }
            if let Poll::Ready(result) = self.poll(index) {
                let pass = &mut self.passes[index];
                pass.running = None;
                pass.next_at = result.as_ref().ok().and_then(|report| report.next_at);
                return if crash.happened().is_some() { Progress::Crashed } else { Progress::Ended(result) };
            }
            if crash.happened().is_none() && !crash.froze() && self.waits_outside(index, calls).await {
                return Progress::Waits;
            }
        }
    }

    fn poll(&mut self, index: usize) -> Poll<Result<Report, StoreError>> {
        let pass = &mut self.passes[index];
        pass.bell.rang.store(false, Ordering::SeqCst);
        let waker = Waker::from(pass.bell.clone());
        let running = pass.running.as_mut().expect("it runs");
        Pin::new(running).poll(&mut Context::from_waker(&waker))
    }

    /// Waits until the pass is woken (false), or certainly does not wait for the database (true).
    async fn waits_outside(&self, index: usize, calls: &Calls) -> bool {
        let bell = &self.passes[index].bell;
        let account = self.deps.accounts().swap_remove(account_of(index));
        let gate_is_full = || self.deps.gate(&account).is_full();
        if !makes_several(index) && calls.holds(self.number, index) {
            // It makes one call at a time.
            return true;
        }
        if [INTAKE, ERASE].contains(&index) || !makes_several(index) && !gate_is_full() {
            // Then it can only wait for the database: these passes make no calls, and the others make none
            // while there is free space to be read.
            bell.rung().await;
            return false;
        }
        // Connections return to their pool in their own tasks: these tasks get to run, and so do the
        // database's threads, which share this core.
        let mut turns = 0;
        while !bell.rang.load(Ordering::SeqCst) {
            if self.deps.store.is_quiet() {
                return !bell.rang.load(Ordering::SeqCst);
            }
            turns += 1;
            if turns < 20 {
                std::thread::yield_now();
                tokio::task::yield_now().await;
            } else {
                // A server needs the core longer. That it is quiet rings no bell.
                let _ = tokio::time::timeout(Duration::from_millis(1), bell.rung()).await;
            }
        }
        false
    }
}

fn begin(deps: Arc<Deps>, index: usize) -> BoxFuture<'static, Result<Report, StoreError>> {
    Box::pin(async move {
        let account = deps.accounts().swap_remove(account_of(index));
        match (index, index.saturating_sub(OF_WORKER) % OF_ACCOUNT) {
            (INTAKE, _) => intake::run(&deps).await,
            (ERASE, _) => erase::run(&deps, || false).await,
            (_, 0) => submit::run(&deps, &account).await,
            (_, 1) => poll::run(&deps, &account).await,
            (_, 2) => verify::run(&deps, &account).await,
            (_, 3) => profile::run(&deps, &account).await,
            _ => settle::run(&deps, &account).await,
        }
    })
}
