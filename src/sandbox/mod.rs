//! A local imitation of the Lensmor API: what users try first, and what every test talks to.
//!
//! It behaves as the vendor's pages say, and where they are silent it takes the less pleasant of two
//! readings. What becomes of a contact follows from its id ([`RULES`]); trouble is scripted
//! ([`FAULTS`]); money is counted ([`Accounting`]); every request is written down ([`Call`]).
//! It knows nothing of the rest of this crate and writes its own JSON, so that no mistake can be
//! made twice and cancel out.
//!
//! The way of a request: `wire` (the socket; read it, answer it), `routes` (may it pass, where to,
//! the JSON), `state` (what is so), `faults` (scripted trouble), `words` (the types of all of them).

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
