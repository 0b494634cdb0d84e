//! Prepares the next batch while a paid call waits for its answer.
//!
//! Paid calls go out one at a time. The precheck of the next batch is made during the wait, and while the answer is
//! recorded. Nothing is bought here: the next run finds the batch prechecked, and its intent checks everything once more.

use crate::domain::submission::{Facts, Plan, plan};
use crate::store::StoreError;
use crate::worker::Deps;
use crate::worker::gate::Gate;
use crate::worker::submit::precheck::sort;
use crate::worker::submit::{batch, facts, read};

/// A batch is formed, filled and prechecked.
const STEPS: usize = 3;

/// Forms and prechecks the next batch.
pub(super) async fn prepare(deps: &Deps, gate: &Gate) -> Result<(), StoreError> {
    for _ in 0..STEPS {
        let Some((facts, _)) = facts::read(deps, gate).await? else { return Ok(()) };
        // The paid call that keeps the owner busy is the one that is waited for.
        match plan(&Facts { is_owner_busy: false, ..facts }) {
            Plan::Form { action, lead, most, fits } => {
                batch::form(deps, &gate.account, (action, lead), (most, fits)).await?
            }
            Plan::Fill { job, most } => batch::fill(deps, read(deps, job).await?, most).await?,
            Plan::Submit(job) => {
                let job = read(deps, job).await?;
                let price = deps.price(&gate.account, job.action).await?;
                return sort(deps, gate, &job, price).await.map(|_| ());
            }
            _ => return Ok(()),
        };
    }
    Ok(())
}
