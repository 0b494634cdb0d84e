//! unlockd buys contact emails and phones through the Lensmor API, and never pays twice.
//!
//! # Glossary
//!
//! One word for each thing, in code, SQL, logs and pages. The field's word stands where ours needs one.
//!
//! | term | meaning | the field's word |
//! | --- | --- | --- |
//! | inbox | the table other programs write requests to | queue, outbox of the caller |
//! | request | one row of the inbox that the worker took | order |
//! | item | one contact of a request; for an event or a search, one paid call | line |
//! | job | a batch of items that is bought with one paid call, and its task | batch job |
//! | task | what the API works on after a paid call; it has a `task_id` | remote job |
//! | attempt | one paid call of a job: its intent is committed before it is sent | attempt |
//! | intent | "this call may be sent now", with what it may cost; committed before the call | write-ahead record |
//! | in doubt | a paid call was sent, or perhaps sent, and no answer was read | unknown outcome |
//! | hold | credits set aside for a call whose answer is not known | authorisation hold |
//! | charge | credits booked as spent by a job | posting |
//! | share | what of a job's charge one request pays | allocation |
//! | park | a job waits for credits, a key, another day or the end of a conflict | park |
//! | settlement | the comparison of credits expected with credits that left the balance | reconciliation |
//! | precheck | the API's free answer to "what would this cost?" | quote, dry run |
//! | profile | the API's page of one contact; shows a value that is unlocked already | record |
//! | poll | one question about a task; polls come on steps of 3, 5 and 10 s | poll |
//! | gate | the only way to the API for one account: key, rate limit, backoff | rate limiter, circuit breaker |
//! | priority class | what goes first when calls are scarce | priority class |
//! | timeline | what happened to a request or a job, append-only | audit trail |
//! | lease | the right to be the one worker of a database, with a token that each write checks | lease, fencing token |
//! | need | what goes on only after a person does something | action item |
//! | account, owner, host | one API key; the user behind keys; a machine with one address | tenant |
//!
//! # The journey of one inbox row
//!
//! The modules in the order in which a row meets them:
//!
//! 1. [`cli`] starts the daemon with what [`config`] read, [`logs`] telling about it.
//! 2. [`worker::intake`] takes the row from [`store::inbox`]; [`domain::request`] reads it into a request, or
//!    a rejection with a reason, and [`worker::intake::quote`] says what it would cost;
//!    [`domain::credits::approval`] decides whether a person has to confirm that. Its contacts become items
//!    ([`domain::item`]).
//! 3. [`worker::submit`] puts items into a job, asks what it would cost, and lets [`domain::credits`] decide.
//!    [`worker::submit::intent`] is committed; then [`api`] sends the one POST that costs. [`worker::submit::answer`]
//!    records what came of it: by [`domain::division`] for each contact, or by the error matrix in
//!    [`domain::failure`]. What each means in credits is decided in [`domain::booking`] and written by one
//!    function, [`store::credits::booking::write`].
//! 4. [`worker::poll`] asks about the task on the steps of [`domain::pacing`]; [`domain::outcome`] reads what
//!    became of each contact. How a task ends, also when the API does not know it (404), is in
//!    `worker::task_end`.
//! 5. When the answer was lost, [`worker::doubt::verify`] looks up the effect and [`domain::doubt`] weighs it;
//!    [`worker::profile`] fetches values that no task will bring.
//! 6. [`worker::settle`] compares credits expected with credits gone: [`domain::reconcile`].
//!
//! Event unlocks and searches take the same way, by [`domain::direct`], and have their answer at once.
//! `unlockd personnel` lists an event's people ([`domain::listing`]). Beside the journey:
//! [`worker::people::decide`] and [`worker::people::pause`] are what people may do to it, [`worker::people::explain`] what they are
//! told, [`worker::notify`] sends webhooks, [`worker::erase`] and [`store::backup`] look after what was
//! bought.
//!
//! [`domain::request_state`], [`domain::item`] and [`domain::job`] own every state in between; [`store`] is the
//! only module with SQL, [`clock`] the only one that reads the time, [`worker::gate`] the only door to the API.
//! [`http`] shows it all to people and monitors, [`metrics`] counts what this process does. [`sandbox`]
//! imitates the vendor and shares no code with the rest; [`failpoint`] lets tests kill the process at any step.

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
