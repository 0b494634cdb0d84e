//! Runs seeds on every core, and shows the progress and the failures.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;

use crate::invariants::Checked;
use crate::world::World;

/// A run that takes longer than this, in real time, hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// How a seed ended.
pub(crate) struct Ended {
    pub(crate) digest: u64,
    pub(crate) lines: u64,
    pub(crate) calls: usize,
    pub(crate) failure: Option<String>,
}

/// A history that a seed determines.
pub(crate) trait History: Sized {
    /// The test that runs such histories.
    const TEST: &str;

    /// Sets everything up; `home` is this seed's own folder. `loud`: each event is printed.
    async fn new(seed: u64, home: PathBuf, loud: bool) -> Self;

    /// Lives through it.
    async fn live(&mut self) -> Checked;

    fn world(&mut self) -> &mut World;
}

/// Runs one seed on a runtime of its own.
pub(crate) fn run<H: History>(seed: u64, loud: bool) -> Ended {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let home = crate::scratch().join(NUMBER.fetch_add(1, Ordering::SeqCst).to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        let mut run = H::new(seed, home.clone(), loud).await;
        let history = AssertUnwindSafe(tokio::time::timeout(LONGEST, run.live()));
        let result = futures_util::FutureExt::catch_unwind(history).await;
        let violation = match result {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(violation))) => Some(violation.to_string()),
            Ok(Err(_)) => Some("it hangs".to_owned()),
            Err(panic) => Some(format!("panic: {}", text(&*panic))),
        };
        if loud && violation.is_some() {
            println!("{}", run.world().dump().await);
        }
        let world = run.world();
        let failure = violation.map(|violation| report::<H>(seed, &violation, &world.trace.last()));
        Ended {
            digest: world.trace.digest(),
            lines: world.trace.lines(),
            calls: world.sandbox.journal().len(),
            failure,
        }
    });
    runtime.shutdown_background();
    std::fs::remove_dir_all(&home).ok();
    // The folder is removed with the last run in it.
    std::fs::remove_dir(crate::scratch()).ok();
    ended
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn report<H: History>(seed: u64, violation: &str, last: &str) -> String {
    format!(
        "seed {seed} breaks an invariant: {violation}\nthe end of its trace:\n{last}\n\
         to replay it: UNLOCKD_SEED={seed} cargo test --test simulation {} -- --nocapture",
        H::TEST
    )
}

/// Runs one seed and prints its trace.
pub(crate) fn replay<H: History>(seed: u64) {
    let ended = run::<H>(seed, true);
    println!("{} lines, {} calls, digest {:016x}", ended.lines, ended.calls, ended.digest);
    assert!(ended.failure.is_none(), "{}", ended.failure.unwrap_or_default());
}

/// More failures than this add nothing.
const MOST_FAILURES: usize = 10;

/// Keeps this thread, and those that it starts, on one core. A run switches all the time between its own
/// thread and those of the database, which is cheaper on one core.
fn stay_on(core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    rustix::thread::sched_setaffinity(None, &only).expect("a core of this process");
}

/// Runs `count` seeds from `first` on, on every core.
pub(crate) fn run_all<H: History>(first: u64, count: u64) {
    let (next, done, calls) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let began = Instant::now();
    let work = &|| {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= first + count || failures.lock().expect("not poisoned").len() >= MOST_FAILURES {
                return;
            }
            let ended = run::<H>(seed, false);
            calls.fetch_add(ended.calls as u64, Ordering::SeqCst);
            let done = done.fetch_add(1, Ordering::SeqCst) + 1;
            // At once: who ends a long run would not hear of it.
            if let Some(failure) = &ended.failure {
                println!("{}", failure.lines().next().unwrap_or_default());
            }
            failures.lock().expect("not poisoned").extend(ended.failure);
            if done.is_multiple_of((count / 20).clamp(50, 5_000)) {
                let rate = done as f64 / began.elapsed().as_secs_f64();
                println!("{done} of {count} seeds, {rate:.1} a second");
            }
        }
    };
    let cores = rustix::thread::sched_getaffinity(None).expect("the cores of this process");
    std::thread::scope(|scope| {
        for core in (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)) {
            scope.spawn(move || {
                stay_on(core);
                work();
            });
        }
    });
    let (done, calls) = (done.into_inner(), calls.into_inner());
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{done} seeds in {seconds:.1} s: {:.1} a second, {calls} calls to the vendor",
        done as f64 / seconds
    );
    let failures = failures.into_inner().expect("not poisoned");
    let Some(first) = failures.first() else { return };
    println!("{first}");
    for failure in &failures[1..] {
        println!("{}", failure.lines().next().unwrap_or_default());
    }
    panic!("{} of {done} seeds break an invariant: see above", failures.len());
}
