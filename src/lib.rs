//! unlockd buys contact emails and phones through the Lensmor API, and never pays twice.
//!
//! The journey of one inbox row, and the modules in the order in which it meets them:
//!
//! 1. [`cli`] starts the daemon with what [`config`] read, [`logs`] telling about it.
//! 2. [`worker::intake`] takes the row from [`store::inbox`]; [`domain::request`] reads it into a request, or
//!    a rejection with a reason, and [`worker::intake::quote`] says what it would cost. Its contacts become items.
//! 3. [`worker::submit`] puts items into a job, asks what it would cost, and lets [`domain::credits`] decide.
//!    [`worker::submit::intent`] is committed; then [`api`] sends the one POST that costs. [`worker::submit::answer`]
//!    records what came of it: by [`domain::division`] for each contact, or by the error matrix in
//!    [`domain::failure`].
//! 4. [`worker::poll`] asks about the task on the steps of [`domain::pacing`]; [`domain::outcome`] reads what
//!    became of each contact.
//! 5. When the answer was lost, [`worker::doubt::verify`] looks up the effect and [`domain::doubt`] weighs it;
//!    [`worker::profile`] fetches values that no task will bring.
//! 6. [`worker::settle`] compares credits expected with credits gone: [`domain::reconcile`].
//!
//! Event unlocks and searches take the same way, by [`domain::direct`], and have their answer at once.
//! `unlockd personnel` lists an event's people ([`domain::listing`]). Beside the journey:
//! [`worker::people::decide`] and [`worker::people::pause`] are what people may do to it, [`worker::people::explain`] what they are
//! told, [`worker::notify`] sends webhooks, [`worker::erase`] and [`store::sqlite::backup`] look after what was
//! bought.
//!
//! [`domain::job`] owns every state in between; [`store`] is the only module with SQL, [`clock`] the only one
//! that reads the time, [`worker::gate`] the only door to the API. [`http`] shows it all to people and
//! monitors, [`metrics`] counts what this process does. [`sandbox`] imitates the vendor and shares
//! no code with the rest; [`failpoint`] lets tests kill the process at any step.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod failpoint;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod sandbox;
pub mod store;
pub mod worker;
