//! The evidence that a check of a submission in doubt gathers, and the credits that nothing else explains.

use crate::api::ApiError;
use crate::domain::doubt::Gone;
use crate::domain::failure::ReadFailure;
use crate::domain::granted;
use crate::domain::outcome::{self, Outcome, ProfileReading, ProfileView};
use crate::domain::{Credits, Millis, PersonnelId};
use crate::store::credits::balances::{self, Snapshot};
use crate::store::credits::settlements;
use crate::store::jobs::{Job, attempts};
use crate::store::{Reads, StoreError};
use crate::worker::read_failure;

/// A check that is not complete yet. Lost on a restart, which costs only a few free calls.
#[derive(Clone, Debug, Default)]
pub(in crate::worker) struct PartialLook {
    pub(super) started_at: Millis,
    /// Whether the task that the answer named was read.
    pub(super) asked_task: bool,
    pub(super) quote: Option<Option<Credits>>,
    /// `None`: the API does not show this profile.
    pub(super) sampled: Vec<(PersonnelId, Option<ProfileView>)>,
    /// Whether a question was left out because it failed.
    pub(super) has_gaps: bool,
    /// Whether every profile of the batch is being read, before a person is asked: a call for each.
    pub(super) reads_all: bool,
}

impl PartialLook {
    /// True: this check continues without the question, so that an endpoint that fails delays no other
    /// evidence. The next check asks it again.
    pub(super) fn gives_up_on(&mut self, error: &ApiError) -> bool {
        match read_failure(error) {
            ReadFailure::Gone => true,
            ReadFailure::TryAgain => {
                self.has_gaps = true;
                true
            }
            ReadFailure::WaitForRateLimit { .. } | ReadFailure::StopAccount => false,
        }
    }

    pub(super) fn has_evidence(&self) -> bool {
        self.quote.flatten().is_some() || self.views().next().is_some()
    }

    pub(super) fn views(&self) -> impl Iterator<Item = &ProfileView> {
        self.sampled.iter().filter_map(|(_, view)| view.as_ref())
    }

    /// The contacts whose values the profiles have shown.
    pub(super) fn shown(&self) -> Vec<(PersonnelId, Outcome)> {
        let delivered =
            |(personnel_id, view): &(PersonnelId, Option<ProfileView>)| match outcome::read_profile(
                view.as_ref()?,
                0,
            ) {
                ProfileReading::Ended(outcome @ Outcome::Delivered { .. }) => {
                    Some((personnel_id.clone(), outcome))
                }
                _ => None,
            };
        self.sampled.iter().filter_map(delivered).collect()
    }
}

/// What left the balance since before the submission, up to this snapshot.
pub(super) async fn gone(readers: &Reads, job: &Job, snapshot: &Snapshot) -> Result<Gone, StoreError> {
    let Some(opening) = attempts::last_opening_balance(readers, job.id).await? else {
        return Ok(Gone::NotKnown);
    };
    let (least, most) = settlements::charged_by_others(readers, job.id, &opening).await?;
    if let Some(from) = balances::granted_by(readers, &job.account, opening.snapshot).await? {
        let readings = balances::readings_between(readers, &job.account, (from, snapshot.id)).await?;
        // What the others were charged at most, and at least: they may have got back the difference.
        if granted::may_hide_spending(&readings, most - least) {
            return Ok(Gone::Moved);
        }
    }
    let gone = Credits(opening.credits) - Credits(snapshot.total);
    Ok(Gone::Unexplained(gone - most, gone - least))
}
