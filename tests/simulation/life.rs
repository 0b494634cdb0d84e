//! One worker: its passes as the driver runs them, but one at a time, and each only until it waits for an
//! answer from outside.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

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
pub(crate) const PASSES: [&str; OF_WORKER + 2 * OF_ACCOUNT] = [
    "intake", "erase", "submit", "poll", "verify", "read", "settle", "submit 2", "poll 2", "verify 2",
    "read 2", "settle 2",
];
const OF_WORKER: usize = 2;
const OF_ACCOUNT: usize = 5;
pub(crate) const INTAKE: usize = 0;
const ERASE: usize = 1;

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
}

pub(crate) struct Life {
    pub(crate) number: u32,
    pub(crate) deps: Arc<Deps>,
    passes: Vec<Pass>,
    // The lock on the file lives as long as this.
    lease: Option<Lease>,
}

impl Life {
    pub(crate) fn new(number: u32, deps: Arc<Deps>, lease: Lease) -> Life {
        let count = OF_WORKER + OF_ACCOUNT * deps.accounts().len();
        let passes = (0..count).map(|_| Pass::default()).collect();
        let mut life = Life { number, deps, passes, lease: Some(lease) };
        life.wake();
        life
    }

    /// Its process has ended.
    pub(crate) fn unlock(&mut self) {
        self.lease = None;
    }

    /// Every pass looks at its rows again.
    pub(crate) fn wake(&mut self) {
        for pass in &mut self.passes {
            pass.awake = true;
        }
    }

    /// The passes that can continue: due, woken, or with news for what they wait for.
    pub(crate) fn runnable(&self, now: Millis) -> Vec<usize> {
        let can = |pass: &Pass| match pass.running {
            Some(_) => pass.bell.rang.load(Ordering::SeqCst),
            None => pass.awake || pass.next_at.is_some_and(|at| at <= now),
        };
        (0..self.passes.len()).filter(|index| can(&self.passes[*index])).collect()
    }

    /// When the next pass is due by time.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.passes.iter().filter(|pass| pass.running.is_none()).filter_map(|pass| pass.next_at).min()
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
            if let Poll::Ready(result) = self.poll(index) {
                let pass = &mut self.passes[index];
                pass.running = None;
                pass.next_at = result.as_ref().ok().and_then(|report| report.next_at);
                return if crash.happened().is_some() { Progress::Crashed } else { Progress::Ended(result) };
            }
            if crash.happened().is_none() && self.waits_outside(index, calls).await {
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
            std::future::poll_fn(|context| {
                bell.listener.register(context.waker());
                if bell.rang.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            return false;
        }
        // Connections return to their pool in their own tasks: these tasks get to run, and so do the
        // database's threads, which share this core.
        while !bell.rang.load(Ordering::SeqCst) {
            if self.deps.store.is_quiet() {
                return !bell.rang.load(Ordering::SeqCst);
            }
            std::thread::yield_now();
            tokio::task::yield_now().await;
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
