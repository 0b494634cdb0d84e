//! A local imitation of the Lensmor API: the first thing that users try, and the server of every test.
//!
//! It behaves as the vendor's pages say; where they say nothing, it chooses the behaviour that is harder for
//! a client. The outcome of a contact follows from its id ([`RULES`]); faults are scripted ([`FAULTS`]);
//! credits are counted ([`Accounting`]); every request is recorded ([`Call`]). It shares no code with the
//! rest of this crate and writes its own JSON, so that the same mistake cannot be made on both sides and stay
//! unnoticed.
//!
//! The way of a request: `wire` (the socket: reads it and answers it), `routes` (whether it may pass, which
//! function answers it, the JSON), `state` (accounts, tasks, unlocks), `faults` (scripted faults), `words`
//! (the types that all of them use).

mod faults;
mod lock;
mod options;
mod routes;
mod server;
mod socketless;
mod state;
mod wire;
mod words;

pub use faults::grammar::GRAMMAR as FAULTS;
pub use faults::kinds::{Breakage, Fault, FaultKind, Loss, RateHeaders, RetryAfter};
pub use faults::text::FaultError;
pub use options::{Billing, Options, Time};
pub use server::{Sandbox, start};
pub use socketless::without_socket;
pub use state::accounting::{Accounting, Charge};
pub use state::journal::Call;
pub use words::contact::Channel;
pub use words::route::Endpoint;
pub use words::rules::RULES;
