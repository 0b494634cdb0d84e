//! A local imitation of the Lensmor API: what users try first, and what every test talks to.
//!
//! It behaves as the vendor's pages say, and where they are silent it takes the less pleasant of two
//! readings. What becomes of a contact follows from its id ([`RULES`]); trouble is scripted
//! ([`FAULTS`]); money is counted ([`Accounting`]); every request is written down ([`Call`]).
//! It knows nothing of the rest of this crate and writes its own JSON, so that no mistake can be
//! made twice and cancel out.
//!
//! The way of a request: `link` (the socket), `trouble` (read it, answer it), `routes` (may it pass,
//! and where to), `answers`, `unlocks`, `pages` and `precheck` (the JSON), `world` (what is so),
//! `tasks`, `credits`, `limits` and `contacts` (the rules).

mod answers;
mod breakage;
mod contacts;
mod credits;
mod fault_text;
mod faults;
mod journal;
mod limits;
mod link;
mod pages;
mod precheck;
mod routes;
mod socketless;
mod tasks;
mod time;
mod trouble;
mod unlocks;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use contacts::{Channel, RULES};
pub use credits::{Accounting, Charge};
pub use fault_text::{FaultError, GRAMMAR as FAULTS};
pub use faults::{Breakage, Fault, FaultKind, Loss, RetryAfter};
pub use journal::Call;
pub use routes::Endpoint;
pub use socketless::without_socket;
pub use time::Time;

/// How the sandbox is to behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// How long a task takes.
    pub task_seconds: f64,
    /// Credits at the start: seven tenths subscription, two tenths addon, the rest gift.
    pub balance: i64,
    /// Calls for each key in a window; 0 is without limit.
    pub rate_limit: u32,
    pub rate_window: Duration,
    /// Whether answers carry `X-RateLimit-*`, which the vendor sends "when available".
    pub rate_headers: bool,
    /// `None` accepts any key; a call without one is refused even then.
    pub api_key: Option<String>,
    pub time: Time,
    /// How far its `Date` and `X-RateLimit-Reset` headers are ahead of its clock, in milliseconds.
    pub clock_skew: i64,
    pub billing: Billing,
    /// How long after a charge its effects can be seen: in the balance, a profile, a precheck, and
    /// to a second POST, which buys the same contact again when it comes within this time.
    pub charge_lag: Duration,
    /// A profile says `locked` also while its contact is being unlocked.
    pub terse_profiles: bool,
    /// Pays back, when a task ends, the contacts that brought nothing.
    pub refund_failed: bool,
    pub price_email: i64,
    pub price_phone: i64,
    pub faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            task_seconds: 12.0,
            balance: 10_000,
            rate_limit: 120,
            rate_window: Duration::from_secs(60),
            rate_headers: true,
            api_key: None,
            time: Time::Auto,
            clock_skew: 0,
            billing: Billing::Documented,
            charge_lag: Duration::ZERO,
            terse_profiles: false,
            refund_failed: false,
            price_email: 15,
            price_phone: 150,
            faults: Vec::new(),
        }
    }
}

/// What a repeated unlock costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Billing {
    /// As documented: what is unlocked, or being unlocked, is skipped and not charged again.
    #[default]
    Documented,
    /// Hostile: every POST is charged again for every contact in it that exists.
    Repeats,
}

/// What one lock protects: a call is decided and carried out under it in one step.
struct State {
    world: world::World,
    limiter: limits::Limiter,
    journal: journal::Journal,
    faults: Vec<Fault>,
    api_key: Option<String>,
}

struct Shared {
    clock: time::Clock,
    clock_skew_ms: i64,
    rate_limit: u32,
    rate_headers: bool,
    state: Mutex<State>,
}

/// A panic under a lock is a bug of the sandbox; what it left is still the best account there is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sandbox that is serving. Dropping it stops it.
pub struct Sandbox {
    address: SocketAddr,
    shared: Arc<Shared>,
    links: link::Links,
    server: Option<JoinHandle<()>>,
}

impl Shared {
    fn new(options: Options) -> Shared {
        let clock = time::Clock::start(options.time);
        let window_ms = time::millis(options.rate_window);
        let state = State {
            world: world::World::new(&options, clock.now_ms()),
            limiter: limits::Limiter::new(options.rate_limit, window_ms),
            journal: journal::Journal::default(),
            faults: options.faults,
            api_key: options.api_key,
        };
        Shared {
            clock,
            clock_skew_ms: options.clock_skew,
            rate_limit: options.rate_limit,
            rate_headers: options.rate_headers,
            state: Mutex::new(state),
        }
    }
}

/// Begins to serve, on a task of the present runtime.
pub async fn start(options: Options) -> io::Result<Sandbox> {
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared::new(options));
    let links = link::Links::default();
    let door = link::Door::new(listener, &links);
    let router = Router::new()
        .fallback(trouble::serve)
        .with_state(Arc::clone(&shared))
        .into_make_service_with_connect_info::<link::Cutter>();
    let server = tokio::spawn(async move {
        // axum's server never returns of itself.
        axum::serve(door, router).await.ok();
    });
    Ok(Sandbox { address, shared, links, server: Some(server) })
}

impl Sandbox {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    /// Moves a [`Time::Manual`] clock; nothing happens to any other.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// Every request received, oldest first.
    pub fn journal(&self) -> Vec<Call> {
        self.state().journal.calls()
    }

    pub fn accounting(&self) -> Accounting {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.world.settle(now_ms);
        state.world.accounting()
    }

    /// Adds a fault behind those that are scripted already.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Credits were bought: they go to the addon pool.
    pub fn top_up(&self, credits: i64) {
        self.state().world.credits.top_up(credits);
    }

    /// Somebody else spends from the shared pool, as far as there is anything left.
    pub fn spend(&self, credits: i64) {
        self.state().world.credits.spend(credits);
    }

    /// Rotates the key: the tasks so far are seen through the new one. `None` accepts any key.
    pub fn set_api_key(&self, key: Option<String>) {
        let mut state = self.state();
        if let Some(key) = &key {
            state.world.hand_tasks_to(key);
        }
        state.api_key = key;
    }

    /// From now on a contact costs this much.
    pub fn set_price(&self, channel: Channel, credits: i64) {
        self.state().world.set_price(channel, credits);
    }

    /// Somebody else has unlocked it.
    pub fn mark_unlocked(&self, personnel_id: &str, channel: Channel) {
        self.state().world.mark_unlocked(personnel_id, channel);
    }

    /// Somebody else has unlocked the event.
    pub fn mark_event_unlocked(&self, event_id: &str) {
        let now_ms = self.now_ms();
        self.state().world.mark_event_unlocked(event_id, now_ms);
    }

    /// Somebody else makes calls with every key that has a window open; else with the next.
    pub fn use_up_calls(&self, calls: u32) {
        let now_ms = self.now_ms();
        self.state().limiter.use_up(calls, now_ms);
    }

    /// Serves until this future is dropped.
    pub async fn run_until_stopped(mut self) {
        if let Some(server) = &mut self.server {
            // Only a panic ends the server; there is nothing to add to what that has printed.
            server.await.ok();
        }
    }

    /// Closes the port and every connection.
    pub async fn stop(mut self) {
        if let Some(server) = &mut self.server {
            server.abort();
            server.await.ok();
        }
        self.links.sever_all();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
        self.links.sever_all();
    }
}
