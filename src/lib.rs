//! unlockd buys contact emails and phones through the Lensmor API, and never pays twice.
//!
//! # Glossary
//!
//! One word for each thing, in code, SQL, logs and pages. The last column is the usual word elsewhere.
//!
//! | term | meaning | usual word |
//! | --- | --- | --- |
//! | inbox | the table that other programs write requests to | queue, outbox of the caller |
//! | request | one row of the inbox that the worker took | order |
//! | item | one contact of a request; for an event or a search, one paid call | line |
//! | job | a batch of items that is bought with one paid call, and its task | batch job |
//! | task | the API's work after a paid call; it has a `task_id` | remote job |
//! | attempt | one paid call of a job: its intent is committed before it is sent | attempt |
//! | intent | the record that a call is about to be sent, with its possible cost; committed before the call | write-ahead record |
//! | in doubt | a paid call was, or may have been, sent, and no answer was read | unknown outcome |
//! | hold | credits reserved for a call whose answer is not known | authorisation hold |
//! | charge | credits booked as spent by a job | posting |
//! | share | the part of a job's charge that one request pays | allocation |
//! | park | a job waits for credits, a key, another day or the end of a conflict | park |
//! | settlement | the comparison of credits expected with credits that left the balance | reconciliation |
//! | precheck | the API's free answer to "what would this cost?" | quote, dry run |
//! | profile | the API's data of one contact; shows a value that is already unlocked | record |
//! | poll | one read of a task; the pauses before polls are 3, 5 and then 10 s | poll |
//! | gate | the only way to the API for one account: key, rate limit, backoff | rate limiter, circuit breaker |
//! | priority class | which kind of call goes first when few calls are left | priority class |
//! | timeline | the append-only list of events of a request or a job | audit trail |
//! | lease | the right to be the only worker of a database, with a token that each write checks | lease, fencing token |
//! | need | something that waits for a person | action item |
//! | account, owner, host | one API key; the user behind keys; a machine with one address | tenant |
//!
//! # The journey of one inbox row
//!
//! The modules in the order in which a row meets them:
//!
//! 1. [`cli`] starts the daemon with the settings that [`config`] reads; [`logs`] writes the log.
//! 2. [`worker::intake`] takes the row from [`store::inbox`]; [`domain::request`] reads it into a request, or
//!    a rejection with a reason, and [`worker::intake::quote`] estimates its cost;
//!    [`domain::credits::approval`] decides whether a person has to approve that. Its contacts become items
//!    ([`domain::item`]).
//! 3. [`worker::submit`] puts items into a job, prechecks its cost, and lets [`domain::credits`] decide.
//!    [`worker::submit::intent`] is committed; then [`api`] sends the one POST that costs credits.
//!    [`worker::submit::answer`] records the answer: by [`domain::division`] for each contact, or by the error
//!    matrix in [`domain::failure`]. [`domain::booking`] decides what it means in credits, and one function
//!    writes that: [`store::credits::booking::write`].
//! 4. [`worker::poll`] polls the task on the steps of [`domain::pacing`]; [`domain::outcome`] reads the outcome
//!    of each contact. The end of a task, including a task that the API does not know (404), is in
//!    `worker::task_end`.
//! 5. If the answer was lost, [`worker::doubt::verify`] checks for its effect and [`domain::doubt`] judges the
//!    evidence; [`worker::profile`] reads values that no task will deliver.
//! 6. [`worker::settle`] compares credits expected with credits gone: [`domain::reconcile`].
//!
//! Event unlocks and searches take the same way, by [`domain::direct`], and have their result at once.
//! `unlockd personnel` lists an event's people ([`domain::listing`]). Besides the journey:
//! [`worker::people::decide`] and [`worker::people::pause`] carry out people's decisions,
//! [`worker::people::explain`] says why a request is not finished, [`worker::notify`] sends webhooks,
//! [`worker::erase`] removes old values, and [`store::backup`] copies the database.
//!
//! [`domain::request_state`], [`domain::item`] and [`domain::job`] own every state in between; [`store`] is the
//! only module with SQL, [`clock`] the only one that reads the time, [`worker::gate`] the only way to the API.
//! [`http`] shows it all to people and monitors, [`metrics`] counts events of this process. [`sandbox`]
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
