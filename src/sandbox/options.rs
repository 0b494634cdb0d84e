//! The options of a sandbox.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::faults::kinds::Fault;

/// One day in seconds.
const DAY: u64 = 86_400;

/// The options of a sandbox.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 chooses a free port.
    pub listen: SocketAddr,
    /// The number of the first task.
    pub first_task: u64,
    /// How long a task takes.
    pub task_seconds: f64,
    /// Credits of each owner at the start: 70 % subscription, 20 % add-on, the rest gift.
    pub balance: i64,
    /// After this time, again and again, the rest of the subscription lapses and the next period is granted.
    pub reset_after: Duration,
    /// How long add-on credits can be spent, both those at the start and those of a top-up.
    pub addon_lapses_after: Duration,
    /// Whether the owners have a paid subscription, which visitors and the search by name require.
    pub subscribed: bool,
    /// Calls for each key in a window; 0 means no limit, for the address either.
    pub rate_limit: u32,
    /// Calls from each address in a window, for all keys together; 0 means no such limit.
    pub address_limit: u32,
    pub rate_window: Duration,
    /// Whether answers have `X-RateLimit-*` headers, which the vendor sends "when available".
    pub rate_headers: bool,
    /// `None` accepts any key; a call without a key is always refused.
    pub api_key: Option<String>,
    pub time: Time,
    /// How far its `Date` and `X-RateLimit-Reset` headers are ahead of its clock, in milliseconds.
    pub clock_skew: i64,
    pub billing: Billing,
    /// How long after a charge its effects become visible in the balance, a profile and a precheck. A second
    /// POST for the same contact within this time buys it again.
    pub charge_lag: Duration,
    /// A profile says `locked` even while its contact is being unlocked.
    pub terse_profiles: bool,
    /// When a task ends, refunds the contacts that brought nothing.
    pub refund_failed: bool,
    pub price_email: i64,
    pub price_phone: i64,
    pub faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            first_task: 321,
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

/// The cost of a repeated unlock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Billing {
    /// As documented: a contact that is unlocked, or being unlocked, is skipped and not charged again.
    #[default]
    Documented,
    /// Hostile: every POST is charged again for every existing contact in it.
    Repeats,
}

/// What moves the sandbox's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Time {
    /// Real time.
    #[default]
    Auto,
    /// Only [`advance`](super::Sandbox::advance) moves it.
    Manual,
    /// The same, starting at this time: Unix milliseconds.
    ManualFrom(i64),
}
