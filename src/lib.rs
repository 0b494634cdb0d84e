//! unlockd buys contact emails and phones through the Lensmor API, and never pays twice.
//!
//! # Glossary
//!
//! The words of the code. SQL, logs, pages and commands use the same ones; the last column names the exceptions, and
//! the usual word elsewhere.
//!
//! | term | meaning | also called |
//! | --- | --- | --- |
//! | inbox | the table that other programs write requests to | queue |
//! | request | one row of the inbox that the worker took | order |
//! | item | one contact of a request; for an event or a search, one paid call | order line |
//! | job | a batch of items that is bought with one paid call, and its task | |
//! | task | the API's work after a paid call; it has a `task_id` | remote job |
//! | attempt | one paid call of a job; table `attempts` | submission, when one attempt is meant |
//! | intent | the record that a paid call is about to be sent, and its possible cost; committed before the call | write-ahead record |
//! | in doubt | a paid call was sent, or may have been, and no answer was read | unknown outcome |
//! | hold | credits reserved for a paid call, from its intent until its effect is known | authorisation hold |
//! | charge | credits booked as spent by a job | posting |
//! | paid | the part of a charge that one request pays; view `spend` | allocation |
//! | share | what a request may have cost so far: it never exceeds `max_credits` or the approval | column `committed_credits` |
//! | park | a queued job waits: for credits, a key, another day, or the end of a conflict | |
//! | settlement | compares the credits that jobs were expected to cost with those that left the balance | reconciliation; command `audit`, view `credit_audit` |
//! | window | the time that one settlement covers; of the rate limit: the time in which calls are counted | table `windows` |
//! | precheck | the API's free answer to "what would this cost?" | quote, dry run |
//! | profile | the API's data of one contact; it shows a value that is already unlocked | |
//! | poll | one read of a task; the pauses before polls are 3, 5 and then 10 s | |
//! | gate | the only way to the API for one account: key, rate limit, backoff | circuit breaker |
//! | priority class | which kind of call goes first when few calls are left | code: `Class` |
//! | timeline | the append-only list of what happened to a request or a job | table `request_events` |
//! | lease | the right to be the only worker of a database; its token is checked in each transaction | fencing token |
//! | need | something that waits for a person | action item |
//! | account | one API key, with its rate limit and its pause | |
//! | owner | the user behind one or several keys; they share one pool of credits | tenant |
//! | address | the IP address of this machine, which has a rate limit of its own | code: `Host` |
//!
//! # Where each rule is
//!
//! Paths are below `src`; a name after a colon is the function or type to start from. The left file decides, and knows
//! neither database nor network. The right one reads, calls and writes. A test checks that each of them exists.
//!
//! | question | decided in | carried out in |
//! | --- | --- | --- |
//! | is a row of the inbox valid? | `domain/request/mod.rs: parse` | `worker/intake/chunk.rs: decide_all` |
//! | how does the worker hear of a new row? | | `store/inbox/watch.rs: watch`, `worker/run/written.rs: by_another` |
//! | which texts are an id (`789.0`, `="00789"`)? | `domain/id_text.rs: read` | `cli/ids/mod.rs` for files |
//! | which column of a file has the ids, and where does a quote end? | | `cli/ids/sheet.rs: read`, `cli/ids/records.rs` |
//! | what if a program writes over a row that was taken? | | `worker/intake/overrides.rs: apply` |
//! | must a person approve the cost? | `domain/credits.rs: approval` | `worker/intake/quote.rs: estimate`, again in `worker/submit/intent.rs: part_with_uncovered` |
//! | what does an account send next; which batch, and how large? | `domain/submission/plan.rs: plan`, `domain/submission/facts.rs: most` | `worker/submit/mod.rs: run`, `worker/submit/batch.rs: form` |
//! | may this be spent now (balance, limits)? | `domain/credits.rs: admit` | `worker/submit/intent.rs: commit_intent` |
//! | where is the paid call sent, and what is checked just before? | | `worker/submit/send.rs: send` |
//! | is a contact's value stored already, or is it being bought? | | `worker/submit/batch.rs: to_buy` |
//! | which contacts must not be sent? | `domain/sorting/mod.rs: Sorting` | `worker/submit/precheck.rs: sort` |
//! | what keeps two keys of one owner from buying at the same time? | `domain/submission/plan.rs: plan` | `store/jobs/facts.rs: is_owner_buying`, again in `worker/submit/intent.rs: commit_intent` |
//! | what stops an account? | `domain/submission/facts.rs: is_held_up` | refused key: `worker/gate/permit.rs: refuse`; pause: `worker/people/pause.rs: pause`; price exceeded: `worker/settle.rs: judge_price`; older copy: `worker/submit/mod.rs: distrust`; full disk: `worker/submit/mod.rs: disk_is_full` |
//! | when is a refused key tried again? | `domain/key_retry.rs: next_try` | `worker/settle.rs: run` |
//! | what does a failed call mean? | `domain/failure.rs: submission` | `worker/submit/answer.rs: record_failure` |
//! | how is a refused call divided? | `domain/division.rs: after_refusal` | `worker/submit/divide.rs: divide` |
//! | what does an answer cost (a refused call: nothing)? | `domain/booking.rs: Books` | `store/credits/booking.rs: write`, the only code that books |
//! | what happens to a call that was being sent when the process died? | | `worker/doubt/unfinished.rs: doubt_unfinished` |
//! | is an event open (list and precheck)? | `domain/layers.rs: Shown` | `worker/event_access.rs: confirm` |
//! | did a call take effect whose answer was lost? | `domain/doubt/mod.rs: weigh` | `worker/doubt/verify.rs: run`; events and searches: `worker/doubt/verify_direct.rs: look` |
//! | what if a person resubmits or writes off? | `domain/booking.rs: carried_out` | `worker/people/decide.rs: write_off` |
//! | what does a cancel end, and what goes on? | `domain/item.rs: next` | `worker/people/decide.rs: cancel` |
//! | what does a resume change? | | `worker/people/pause.rs: resume` |
//! | when is a task polled, and given up? | `domain/pacing.rs: Ladder` | `worker/poll.rs: run` |
//! | what do a task's contacts get when it has ended? | `domain/task.rs: read` | `worker/task_end.rs: record_end` |
//! | what if the API does not know a task (404)? | `domain/failure.rs: poll` | `worker/task_end.rs: gone` (its open contacts are lost) |
//! | how long is a profile waited for? | `domain/profile_wait.rs: judge` | `worker/profile.rs: locked_aside` |
//! | list or profiles? | `domain/bulk.rs: Progress` | `worker/bulk.rs: run` |
//! | which states may follow? | `domain/request_state.rs: next`, `domain/item.rs: next`, `domain/job.rs: next` | `store/requests/state.rs: save`, `store/items/moves.rs: save`, `store/jobs/mod.rs: save` |
//! | when is a request done? | `domain/request_state.rs: Progress` | `store/requests/state.rs: finish_complete` |
//! | did the balance fall as expected? | `domain/reconcile.rs: audit` | `worker/settle.rs: close` |
//! | which price is learned, and which one counts? | `domain/reconcile.rs: price_shown` | `worker/settle.rs: other_price`, `worker/prices.rs: price` |
//! | when may the next call go out? | `domain/rate/mod.rs: permission`, `domain/address.rs: permission` | `worker/gate/entry.rs: enter` |
//! | where is `Retry-After` obeyed? | `domain/rate/mod.rs: block` (length: `domain/pacing.rs: rate_limit_pause_ms`) | `worker/gate/permit.rs: pause` |
//! | how long is the API left alone after it failed (backoff)? | `domain/pacing.rs: retry_delay_ms` | `worker/gate/backoff.rs: Backoff`, `worker/gate/permit.rs: note_trouble` |
//! | which call goes first? | `domain/turns.rs: Turns` | `worker/gate/entry.rs: permission` |
//! | what is shown as waiting for a person? | `domain/needs/mod.rs: Need` | `worker/people/needs.rs: read` |
//! | why does a request wait? | | `worker/people/explain.rs: of` |
//! | what keeps emails, phones and keys out of logs? | `domain/contact_value.rs: ContactValue` | `api/error.rs: scrub`, `config/secret.rs: read_key` |
//! | how is a value erased? | | `worker/erase.rs: run`, `store/erase.rs: values`, `store/sqlite/erase.rs: empty_log` |
//! | one worker only, and how does a standby take over; is this database an older copy? | | `cli/standby.rs: wait_for_lease`, `store/lease.rs: try_take`, `store/lock_file.rs: is_ahead_of` |
//! | what keeps a worker that was replaced from writing? | | `store/fence.rs: check_lease` |
//! | may a paid call rest on what a server has committed; has a failover lost some? | `domain/durability.rs: lack`, `domain/durability.rs: may_lack_commits` | `worker/durability.rs: hold`, again in `worker/durability.rs: holds_in`, and before the POST `store/postgres/proof.rs: of_intent` |
//! | how long after a failover that lost commits is nothing bought | `domain/durability.rs: unknown_calls_end_in` | `worker/durability.rs: hold` |
//! | when is a webhook sent again, and by what is it signed? | `domain/pacing.rs: redelivery_delay_ms` | `worker/notify.rs: deliver`, `worker/notify.rs: signatures` |
//! | which calls of the API cost credits? | | `api/purchases.rs` |
//! | how large may an answer be, and how is it unpacked? | | `api/transport.rs`, `api/encoding.rs` |
//! | which exit code does a command end with? | | `cli/exit_code.rs: Failure` |
//! | what may a caller of the HTTP API do? | | `http/api/caller.rs: Caller` |
//! | what makes an agent's request wait for a person? | | `http/api/caller.rs: as_agent`, `http/api/wanted.rs: understand`, then `worker/intake/quote.rs: estimate` |
//!
//! To add something, begin here; the compiler and the tests then name each other place that has to know it:
//!
//! | to add | begin with |
//! | --- | --- |
//! | an outcome | `domain/outcome/kind.rs: Kind`, `domain/outcome.rs: Outcome` |
//! | a reason to wait | `domain/job.rs: WaitReason` |
//! | a configuration key | `config/tree.rs: Config` |
//! | a price | `worker/prices.rs: price`, `config/tree.rs: Price` |
//! | a column of the inbox | `store/inbox/mod.rs: InboxRow`, `domain/request/mod.rs: parse` |
//! | a command | `cli/mod.rs: Command` |
//! | a metric | `metrics.rs: Metrics` for this process, `store/report/metrics.rs` for what a restart must keep |
//!
//! A new word in a column also needs a migration, since the column has a check.
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
//! only module with SQL, [`clock`] tells the time to all of it, and [`worker::gate`] is the only way to the API.
//! [`http`] shows it all to people and monitors, and serves programs and agents elsewhere; [`worker::budget`] warns when much
//! of a limit is spent. [`metrics`] counts events of this process. [`sandbox`]
//! imitates the vendor, with a clock of its own, and shares no code with the rest; [`failpoint`] lets tests kill the
//! process at any step.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod failpoint;
#[cfg(test)]
mod fuzz;
pub mod handbook;
pub mod http;
pub mod logs;
pub mod metrics;
pub mod sandbox;
pub mod store;
pub mod worker;
