//! How a sandbox is to behave, as its owner says it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::faults::kinds::Fault;

/// In seconds.
const DAY: u64 = 86_400;

/// How the sandbox is to behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// How long a task takes.
    pub task_seconds: f64,
    /// Credits of each owner at the start: seven tenths subscription, two tenths addon, the rest gift.
    pub balance: i64,
    /// When what is left of the subscription lapses and the next period is granted, again and again.
    pub reset_after: Duration,
    /// How long an add-on can be spent, those at the start and those of a top-up.
    pub addon_lapses_after: Duration,
    /// Whether the owners have a paid subscription, which visitors and the search by name ask for.
    pub subscribed: bool,
    /// Calls for each key in a window; 0 is without any limit, of the address neither.
    pub rate_limit: u32,
    /// Calls from each address in a window, whatever their keys; 0 is without this limit.
    pub address_limit: u32,
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
            reset_after: Duration::from_secs(30 * DAY),
            addon_lapses_after: Duration::from_secs(180 * DAY),
            subscribed: true,
            rate_limit: 120,
            address_limit: 600,
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

/// Who moves the sandbox's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Time {
    /// It moves by itself.
    #[default]
    Auto,
    /// Only [`advance`](super::Sandbox::advance) moves it.
    Manual,
    /// The same, from this moment on: Unix milliseconds.
    ManualFrom(i64),
}
