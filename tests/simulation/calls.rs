//! The connection between worker and vendor: every call waits here until the simulation moves it on.
//!
//! A call waits (nothing is sent), is under way (its body was sent), and has an answer. Between any two of
//! these time may pass, other passes may run, or the worker may die. A request under way outlives the worker
//! that sent it, as bytes in a network do.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body::Frame;
use tokio::sync::oneshot;
use unlockd::api::{Carried, Lost, Wire};
use unlockd::clock::Clock;
use unlockd::sandbox::{Fault, Sandbox};

use crate::life::account_of;
use crate::network::PATIENCE_MS;

/// How far a call is.
enum Stage {
    Waiting(reqwest::Request),
    Underway(Request<Bytes>),
    /// `None`: the connection ended without an answer.
    Answered(Option<reqwest::Response>),
}

struct Held {
    /// Which worker sent it, and which of its passes.
    life: u32,
    pass: usize,
    /// The owner of its account.
    owner: usize,
    since_ms: i64,
    what: String,
    /// The call's own id.
    request_id: String,
    stage: Stage,
    reply: oneshot::Sender<Carried>,
}

#[derive(Default)]
struct Line {
    calls: BTreeMap<u64, Held>,
    last: u64,
    speaker: (u32, usize),
    /// What each pass of each worker called since it last began, by request id.
    called: HashMap<(u32, usize), Vec<String>>,
    /// Calls whose answers were not read, or not recorded.
    unheard: HashSet<String>,
    /// When each call was made, and by which account.
    made_ms: Vec<(usize, i64)>,
    /// When the body of each went out, by request id.
    sent_ms: Vec<(String, i64)>,
    /// Facts from answers that each pass of each worker has not read yet.
    told: Vec<(u32, usize, Told)>,
    /// What each worker knows from the answers to an account.
    shut: HashMap<(u32, usize), Shut>,
    /// Passes that have not read their last answer yet. They get no other one before that: two answers at once would
    /// be worked on side by side, and which statement ends first is up to the machine.
    unread: HashSet<(u32, usize)>,
    /// Calls that were made although their worker knew that they were not allowed.
    too_early: Vec<String>,
    /// Passes whose worker was stopped in the middle of them: the calls that they make next were allowed before.
    woke: HashSet<(u32, usize)>,
    /// Until when each account is to wait, as a worker was told and has recorded: no other worker may forget it.
    kept: HashMap<usize, i64>,
    /// Such pauses that a pass has read, and not recorded yet.
    unkept: Vec<(u32, usize, i64)>,
    /// Paid calls that were made while another one for the same owner had no answer, whoever made it.
    paid_together: Vec<String>,
}

/// A fact from an answer about all later calls.
#[derive(Clone, Copy)]
enum Told {
    Wait {
        until_ms: i64,
        /// A 429 may be about the address of the machine, which another worker does not share.
        is_limit: bool,
    },
    KeyRefused {
        at_ms: i64,
    },
    /// The key that was tried again is accepted.
    KeyAccepted,
}

/// Whether a worker may make calls, as far as it knows.
#[derive(Default)]
struct Shut {
    until_ms: i64,
    /// Since the key was refused: when it was, or was tried again last.
    refused_or_tried_ms: Option<i64>,
}

/// A refused key is tried again after 1, 5 and 30 minutes; see `domain::key_retry`. One call may do so.
const KEY_IS_TRIED_AFTER_MS: i64 = 60_000;

impl Shut {
    /// Whether the worker should not have made a call at this moment. Notes a try of the key.
    fn forbids(&mut self, at_ms: i64) -> bool {
        let too_early = self.refused_or_tried_ms.is_some_and(|since| at_ms < since + KEY_IS_TRIED_AFTER_MS);
        if !too_early && self.refused_or_tried_ms.is_some() {
            self.refused_or_tried_ms = Some(at_ms);
        }
        too_early || at_ms < self.until_ms
    }
}

/// Whether a call may cost credits.
pub(crate) fn is_paid(what: &str) -> bool {
    what.starts_with("POST") && !what.contains("/precheck") || what.contains("/events/by-name")
}

impl Held {
    fn is_paid_and_waited_for(&self) -> bool {
        is_paid(&self.what) && !self.reply.is_closed()
    }

    /// Whether its worker may still be sending it, or get its answer.
    fn is_being_paid(&self, now_ms: i64) -> bool {
        let was_sent = !matches!(self.stage, Stage::Waiting(_));
        was_sent && self.is_paid_and_waited_for() && now_ms - self.since_ms < PATIENCE_MS
    }

    fn take_stage(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Answered(None))
    }
}

/// The calls that wait here; cheap to clone.
#[derive(Clone)]
pub(crate) struct Calls {
    clock: Clock,
    /// The owner of each account.
    owners: Arc<[usize]>,
    held: Arc<Mutex<Line>>,
}

/// A stage's name, for choices and traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Waiting,
    Underway,
    Answered,
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

impl Wire for Calls {
    fn carry(&self, request: reqwest::Request) -> BoxFuture<'static, Carried> {
        let (reply, answer) = oneshot::channel();
        let mut held = self.lock();
        let (life, pass) = held.speaker;
        let (path, query) = (request.url().path(), request.url().query().unwrap_or_default());
        let what = format!("{} {path} {query}", request.method());
        let since_ms = self.clock.now().0;
        let request_id = request.headers()["x-request-id"].to_str().expect("text").to_owned();
        held.called.entry((life, pass)).or_default().push(request_id.clone());
        let was_allowed = held.woke.contains(&(life, pass));
        if !was_allowed {
            held.made_ms.push((account_of(pass), since_ms));
        }
        let owner = self.owners[account_of(pass)];
        let mut of_owner = held.calls.values().filter(|other| other.owner == owner);
        let other = of_owner.find(|other| other.life == life && other.is_paid_and_waited_for());
        if let Some(other) = other.filter(|_| is_paid(&what)) {
            let together = format!("{what} beside {} at {since_ms}", other.what);
            held.paid_together.push(together);
        }
        let shut = held.shut.get_mut(&(life, account_of(pass))).is_some_and(|shut| shut.forbids(since_ms));
        if shut && !was_allowed {
            held.too_early.push(format!("{what} at {since_ms}"));
        }
        let kept_until_ms = held.kept.get(&account_of(pass)).copied().unwrap_or_default();
        if since_ms < kept_until_ms && !was_allowed {
            let early =
                format!("{what} at {since_ms}, although a worker has recorded a pause until {kept_until_ms}");
            held.too_early.push(early);
        }
        held.last += 1;
        let id = held.last;
        let stage = Stage::Waiting(request);
        held.calls.insert(id, Held { life, pass, owner, since_ms, what, request_id, stage, reply });
        drop(held);
        async move {
            match answer.await {
                Ok(carried) => carried,
                // Never answered: the simulation gives up the waiting caller.
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }
}

impl Calls {
    /// `owners`: of each account.
    pub(crate) fn new(clock: Clock, owners: Vec<usize>) -> Calls {
        Calls { clock, owners: owners.into(), held: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls made from here on belong to this pass.
    pub(crate) fn speak_as(&self, life: u32, pass: usize) {
        self.lock().speaker = (life, pass);
    }

    /// The pass starts again: its earlier calls are recorded.
    pub(crate) fn begin(&self, life: u32, pass: usize) {
        self.lock().called.remove(&(life, pass));
    }

    /// The pass has read every answer that it got: its worker knows their facts.
    pub(crate) fn heard(&self, life: u32, pass: usize) {
        let mut held = self.lock();
        held.unread.remove(&(life, pass));
        held.woke.remove(&(life, pass));
        for (_, _, told) in
            held.told.extract_if(.., |told| (told.0, told.1) == (life, pass)).collect::<Vec<_>>()
        {
            let shut = held.shut.entry((life, account_of(pass))).or_default();
            match told {
                Told::Wait { until_ms, is_limit } => {
                    shut.until_ms = shut.until_ms.max(until_ms);
                    if !is_limit {
                        held.unkept.push((life, pass, until_ms));
                    }
                }
                Told::KeyRefused { at_ms } => shut.refused_or_tried_ms = Some(at_ms),
                Told::KeyAccepted => shut.refused_or_tried_ms = None,
            }
        }
    }

    /// The worker of this pass was stopped in the middle of it, and goes on.
    pub(crate) fn woke(&self, life: u32, pass: usize) {
        self.lock().woke.insert((life, pass));
    }

    /// The pass has recorded every answer that it has read.
    pub(crate) fn recorded(&self, life: u32, pass: usize) {
        let mut held = self.lock();
        let is_its = |(of, by, _): &mut (u32, usize, i64)| (*of, *by) == (life, pass);
        for (_, _, until_ms) in held.unkept.extract_if(.., is_its).collect::<Vec<_>>() {
            let kept = held.kept.entry(account_of(pass)).or_default();
            *kept = until_ms.max(*kept);
        }
    }

    /// A person says that the key may be used again, and that no Retry-After of it is waited for.
    pub(crate) fn trust_the_key(&self) {
        let mut held = self.lock();
        held.shut.values_mut().for_each(|shut| *shut = Shut::default());
        held.kept.clear();
        held.unkept.clear();
    }

    /// Calls that were made although their worker had been told to wait, or that its key is refused.
    pub(crate) fn too_early(&self) -> Vec<String> {
        self.lock().too_early.clone()
    }

    /// The pass will not be able to record its calls.
    pub(crate) fn unrecorded(&self, life: u32, pass: usize) {
        let mut held = self.lock();
        let called = held.called.remove(&(life, pass)).unwrap_or_default();
        held.unheard.extend(called);
        held.unread.remove(&(life, pass));
    }

    /// Calls whose answers were not read, or not recorded.
    pub(crate) fn unheard(&self) -> HashSet<String> {
        self.lock().unheard.clone()
    }

    /// When the body of each call went out, by request id.
    pub(crate) fn sent_ms(&self) -> Vec<(String, i64)> {
        self.lock().sent_ms.clone()
    }

    /// Paid calls of one owner that were made at the same time.
    pub(crate) fn paid_together(&self) -> Vec<String> {
        self.lock().paid_together.clone()
    }

    /// When each call was made, in milliseconds, and by which account. It may arrive much later.
    pub(crate) fn made_ms(&self) -> Vec<(usize, i64)> {
        self.lock().made_ms.clone()
    }

    /// Whether this pass waits for a call.
    pub(crate) fn holds(&self, life: u32, pass: usize) -> bool {
        self.lock()
            .calls
            .values()
            .any(|held| (held.life, held.pass) == (life, pass) && !held.reply.is_closed())
    }

    /// Every call that may be moved on, oldest first.
    pub(crate) fn ids(&self) -> Vec<u64> {
        let held = self.lock();
        let is_free = |call: &Held| !held.unread.contains(&(call.life, call.pass));
        held.calls.iter().filter(|(_, call)| is_free(call)).map(|(id, _)| *id).collect()
    }

    /// How far a call is, and what it is.
    pub(crate) fn look(&self, id: u64) -> (At, String) {
        let held = self.lock();
        let call = &held.calls[&id];
        let at = match call.stage {
            Stage::Waiting(_) => At::Waiting,
            Stage::Underway(_) => At::Underway,
            Stage::Answered(_) => At::Answered,
        };
        (at, call.what.clone())
    }

    /// Which worker made a call, in which of its passes, and when.
    pub(crate) fn caller(&self, id: u64) -> (u32, usize, i64) {
        let held = self.lock();
        let call = &held.calls[&id];
        (call.life, call.pass, call.since_ms)
    }

    /// Sends the request. False: its body was withheld, and the call has ended.
    pub(crate) fn depart(&self, id: u64) -> bool {
        let mut call = self.take(id);
        let Stage::Waiting(request) = call.take_stage() else { panic!("call {id} has departed") };
        let request = Request::<reqwest::Body>::try_from(request).expect("a request of ours");
        let (head, body) = request.into_parts();
        let bytes = axum::body::to_bytes(Body::new(body), usize::MAX).now_or_never();
        match bytes.expect("the body is in memory") {
            Ok(bytes) => {
                // A call without a body cannot be withheld once it is made.
                if !bytes.is_empty() {
                    let sent = (call.request_id.clone(), self.clock.now().0);
                    self.lock().sent_ms.push(sent);
                }
                let body = String::from_utf8_lossy(&bytes);
                call.what.push_str(body.split_once("personnel_ids").map_or("", |(_, ids)| ids));
                call.stage = Stage::Underway(Request::from_parts(head, bytes));
                let (mut held, now) = (self.lock(), self.clock.now().0);
                let is_other = |other: &&Held| other.owner == call.owner && other.life != call.life;
                let other = held.calls.values().filter(is_other).find(|other| other.is_being_paid(now));
                if let Some(other) = other.filter(|_| is_paid(&call.what)) {
                    let together =
                        format!("{} is sent beside {} of another worker at {now}", call.what, other.what);
                    held.paid_together.push(together);
                }
                held.calls.insert(id, call);
                true
            }
            Err(_) => {
                self.answer(call, Err(Lost::NoAnswer));
                false
            }
        }
    }

    /// The request arrives; the vendor carries it out, or does what the fault says. Returns the answer's
    /// status, if there is one.
    pub(crate) fn arrive(&self, id: u64, sandbox: &Sandbox, fault: Option<Fault>) -> Option<u16> {
        let mut call = self.take(id);
        let Stage::Underway(request) = call.take_stage() else { panic!("call {id} is not under way") };
        if let Some(fault) = fault {
            sandbox.inject(fault);
        }
        let response = sandbox.call(request.map(Body::from)).now_or_never();
        sandbox.clear_faults();
        let response = response.expect("the sandbox answers at once");
        let status = response.as_ref().map(|response| response.status().as_u16());
        call.stage = Stage::Answered(response.map(received));
        self.lock().calls.insert(id, call);
        status
    }

    /// The answer reaches the waiting caller, if there is one.
    pub(crate) fn deliver(&self, id: u64) {
        let mut call = self.take(id);
        let Stage::Answered(response) = call.take_stage() else { panic!("call {id} has no answer") };
        let told = response.as_ref().and_then(|response| told(response, self.clock.now().0));
        if let Some(told) = told.filter(|_| !call.reply.is_closed()) {
            self.lock().told.push((call.life, call.pass, told));
        }
        self.answer(call, response.ok_or(Lost::NoAnswer));
    }

    /// The connection ends here. A request that is under way is lost.
    pub(crate) fn lose(&self, id: u64) {
        let call = self.take(id);
        let waits = matches!(call.stage, Stage::Waiting(_));
        self.lock().unheard.insert(call.request_id.clone());
        self.answer(call, Err(if waits { Lost::NoConnection } else { Lost::NoAnswer }));
    }

    /// A caller that has waited longer than this is told that there is no answer; the request itself
    /// continues, but arrives within `lifetime_ms` or never.
    pub(crate) fn time_out(&self, patience_ms: i64, lifetime_ms: i64, asleep: &[u32]) -> Vec<String> {
        let now = self.clock.now().0;
        let (mut held, mut ended, mut unheard) = (self.lock(), Vec::new(), Vec::new());
        for id in held.calls.keys().copied().collect::<Vec<_>>() {
            let call = held.calls.get_mut(&id).expect("just listed");
            let age = now - call.since_ms;
            let pass = (call.life, call.pass);
            let is_asleep = asleep.contains(&call.life);
            if age >= patience_ms && !is_asleep && !call.reply.is_closed() && held.unread.insert(pass) {
                let call = held.calls.get_mut(&id).expect("just listed");
                ended.push(format!("{} timed out", call.what));
                unheard.push(call.request_id.clone());
                let (nobody, _) = oneshot::channel();
                let reply = std::mem::replace(&mut call.reply, nobody);
                let took = Duration::from_millis(age.unsigned_abs());
                let _ = reply.send(Carried { answer: Err(Lost::NoAnswer), took });
            }
            let call = &held.calls[&id];
            let is_over = age >= lifetime_ms || !matches!(call.stage, Stage::Underway(_));
            if call.reply.is_closed() && is_over {
                held.calls.remove(&id);
            }
        }
        held.unheard.extend(unheard);
        ended
    }

    /// The worker is dead: its unsent calls are gone, and nobody waits for its answers.
    pub(crate) fn bury(&self) {
        let underway = |held: &Held| matches!(held.stage, Stage::Underway(_));
        self.lock().calls.retain(|_, held| !held.reply.is_closed() || underway(held));
    }

    fn take(&self, id: u64) -> Held {
        self.lock().calls.remove(&id).expect("a call that is held")
    }

    fn answer(&self, call: Held, answer: Result<reqwest::Response, Lost>) {
        if !call.reply.is_closed() {
            self.lock().unread.insert((call.life, call.pass));
        }
        let took = Duration::from_millis((self.clock.now().0 - call.since_ms).unsigned_abs());
        // Perhaps nobody waits any more.
        let _ = call.reply.send(Carried { answer, took });
    }
}

fn told(response: &reqwest::Response, now_ms: i64) -> Option<Told> {
    let seconds = || response.headers().get("retry-after")?.to_str().ok()?.parse::<i64>().ok();
    match response.status().as_u16() {
        401 => Some(Told::KeyRefused { at_ms: now_ms }),
        status @ 400.. => seconds()
            .map(|seconds| Told::Wait { until_ms: now_ms + seconds * 1_000, is_limit: status == 429 }),
        200..300 => Some(Told::KeyAccepted),
        _ => None,
    }
}

/// An answer as the client receives it: complete, or cut off.
fn received(response: Response) -> reqwest::Response {
    let (head, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).now_or_never().expect("the body is in memory");
    let body = bytes.map_or_else(|_| reqwest::Body::wrap(BrokenOff), reqwest::Body::from);
    axum::http::Response::from_parts(head, body).into()
}

struct BrokenOff;

impl http_body::Body for BrokenOff {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
    }
}
