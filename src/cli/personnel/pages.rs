//! Reads one page of an event's people, with retries.
//!
//! The gate is opened again for each call, from the database: a worker that runs at the same time
//! records its calls there, and the state of the limit and of the key.

use std::time::Duration;

use super::super::Failure;
use super::super::account::{key_of, refused_before};
use crate::api::{ApiError, Caller};
use crate::domain::direct::PersonnelPage;
use crate::domain::failure::{self, Failure as CallFailure, ReadFailure, Refusal};
use crate::domain::turns::Class;
use crate::domain::{AccountId, EventId, Millis, pacing};
use crate::store::report::Time;
use crate::worker::Deps;
use crate::worker::gate::host::Host;
use crate::worker::gate::{Called, Gate, Key};

/// How many times to try a page before giving up; refusals by the rate limit do not count.
const TRIES: u32 = 4;

/// The parameters of every page.
pub(super) struct Pages<'a> {
    pub(super) deps: &'a Deps,
    pub(super) account: &'a AccountId,
    pub(super) event_id: &'a EventId,
    pub(super) size: u32,
    pub(super) filters: &'a [(String, String)],
}

/// The result of one try.
enum Asked {
    Page(PersonnelPage),
    /// No call was made: the limit allows none before this moment.
    At(Millis),
    /// No call was made: the key was refused before.
    NoKey,
    Failed(ApiError),
}

impl Pages<'_> {
    /// Reads a page: waits for the rate limit, and tries again what a second try may fix.
    pub(super) async fn read(&self, number: u32) -> Result<PersonnelPage, Failure> {
        let mut failures = 0;
        loop {
            let error = match self.ask(number).await? {
                Asked::Page(page) => return Ok(page),
                Asked::At(at) => {
                    self.wait_for_rate_limit(at).await;
                    continue;
                }
                Asked::NoKey => return Err(refused_before(&self.deps.store, self.account).await?),
                Asked::Failed(error) => error,
            };
            match failure::read(error.failure) {
                // The gate knows until when, and says so at the next try.
                ReadFailure::WaitForRateLimit { .. } => {}
                ReadFailure::TryAgain if failures + 1 < TRIES => {
                    failures += 1;
                    let pause_ms = pacing::retry_delay_ms(failures, 500, 8_000, fastrand::f64());
                    crate::cli::say(&format!(
                        "page {number}: {error}; trying again ({failures} of {TRIES} tries failed)"
                    ));
                    sleep(pause_ms).await;
                }
                _ => return Err(self.failed(number, error)),
            }
        }
    }

    async fn ask(&self, number: u32) -> Result<Asked, Failure> {
        let gate = self.gate().await?;
        let page = (number, self.size);
        let ask = async |caller: Caller<'_>, at| {
            gate.client.personnel(caller, at, self.event_id, page, self.filters).await
        };
        Ok(match gate.call(Class::Background, (None, Some(self.event_id)), ask).await? {
            Called::Answered { result, .. } => result.map_or_else(Asked::Failed, Asked::Page),
            Called::At(at) => Asked::At(at),
            Called::NoKey => Asked::NoKey,
        })
    }

    async fn gate(&self) -> Result<Gate, Failure> {
        let (deps, config) = (self.deps, self.deps.config());
        let key = Key::new(key_of(&config, self.account)?);
        let client = deps.gate(self.account).client.clone();
        let host = Host::open(client, config.rate_limit.per_address, &deps.store, deps.clock.now()).await?;
        let (account, per_minute) = (self.account.clone(), config.rate_limit.per_minute);
        Ok(Gate::open(account, host, Some(key), per_minute, deps.store.clone(), deps.clock.clone()).await?)
    }

    async fn wait_for_rate_limit(&self, at: Millis) {
        let wait_ms = at.since(self.deps.clock.now());
        // A very short wait, at the end of a window, is not worth a message.
        if wait_ms >= 500 {
            let (account, seconds, at) = (self.account, (wait_ms + 999) / 1_000, Time::from(at));
            crate::cli::say(&format!(
                "the rate limit of account {account} allows the next call at {at}; waiting {seconds} s"
            ));
        }
        sleep(wait_ms).await;
    }

    fn failed(&self, number: u32, error: ApiError) -> Failure {
        let (account, event_id) = (self.account, self.event_id);
        let message = match error.failure {
            CallFailure::Refused(Refusal::NotFound) => {
                return Failure::missing(format!(
                    "there is no event {event_id}, or the key of account {account} may not see it; nothing was spent \
                     ({error})"
                ));
            }
            CallFailure::Refused(Refusal::Unauthorized | Refusal::Forbidden) => format!(
                "the API refused the key of account {account}, and nothing was spent; put a valid key in the \
                 configuration; unlockd does not use this one any more"
            ),
            CallFailure::Refused(Refusal::Invalid) => format!(
                "the API rejected the request for page {number} of the people of event {event_id}, and nothing \
                 was spent; check --event and --filter"
            ),
            CallFailure::NotSent => {
                "no call went out, and nothing was spent; check the network and api.base_url".to_owned()
            }
            _ => format!(
                "page {number} of the people of event {event_id} was not read in {TRIES} tries, and nothing was spent; \
                 try again in a few minutes"
            ),
        };
        anyhow::Error::new(error).context(message).into()
    }
}

async fn sleep(ms: i64) {
    tokio::time::sleep(Duration::from_millis(ms.max(1).unsigned_abs())).await;
}
