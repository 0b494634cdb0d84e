//! How many credits are missing for what waits for them, and who says so.

use crate::config::Config;
use crate::domain::needs::Lack;
use crate::domain::{AccountId, JobId, Millis};
use crate::store::items::waiting;
use crate::store::report::metrics;
use crate::store::{Store, StoreError, jobs};
use crate::worker::balance::with_limits;
use crate::worker::price as price_of;

/// What a job lacks, or (`None`) one unit of the oldest items that are in no job. `None` when no balance was read yet.
pub(in crate::worker) async fn of(
    store: &Store,
    config: &Config,
    account: &AccountId,
    job: Option<JobId>,
) -> Result<Option<Lack>, StoreError> {
    // What was spent today does not matter here, so that no charges are added up.
    let Some(purse) = metrics::purse(store, account, Millis(i64::MAX)).await? else { return Ok(None) };
    let free = with_limits(purse, config).available();
    let asked = match job {
        Some(id) => jobs::read(store.readers(), id).await?.map(|job| {
            let units = job.contacts.max(1) as usize;
            (job.action, job.price, units, (job.quoted_credits, job.parked_balance.is_some()))
        }),
        None => {
            let kinds = waiting::kinds(store.readers(), account, 0).await?;
            kinds.iter().min_by_key(|kind| kind.oldest).map(|kind| (kind.action, None, 1, (None, false)))
        }
    };
    let Some((action, price, units, (quoted, refused))) = asked else { return Ok(None) };
    let price = price_of(store, config, account, action).await?.max(price.unwrap_or_default());
    Ok(Some(Lack { cost: quoted.unwrap_or(price.times(units)), free, refused }))
}
