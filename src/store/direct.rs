//! The direct actions (event unlock, searches): the parameters of their calls, and the results. See
//! `domain::direct`.
//!
//! Their items are rows of `items` like contacts, so approving, cancelling, holding and finishing
//! need no code of their own. The results are in `direct_results`.

use crate::store::{Reads, StoreError, Tx, sql};

use crate::domain::direct::Direct;
use crate::domain::item::{Event, State};
use crate::domain::outcome::{Kind, Source};
use crate::domain::{Action, Credits, EventId, JobId, Millis};
use crate::store::items::item_row::{items, select_items};
use crate::store::items::moves::{Moved, move_all, save};
use crate::store::pairs;

/// What a job without contacts asks for; `None` if none of it is left to be sent.
pub async fn wish(readers: &Reads, job_id: JobId) -> Result<Option<Direct>, StoreError> {
    let row: Option<(String, String, Option<String>)> = sql::query_as(
        "select i.action, i.personnel_id, r.query from items i join requests r on r.id = i.request_id
         where i.job_id = $1 and i.state in ('assigned', 'reading') order by i.id limit 1",
    )
    .bind(job_id.0)
    .fetch_optional(readers)
    .await?;
    let Some((action, key, query)) = row else { return Ok(None) };
    let unreadable =
        |problem: &str| StoreError::Unreadable { table: "items", id: job_id.0, problem: problem.to_owned() };
    let action = Action::parse(&action).ok_or_else(|| unreadable("its action"))?;
    if let Some(layers) = action.layers() {
        return Ok(Some(Direct::Event { layers, event_id: EventId::trusted(key) }));
    }
    let page = key.parse().map_err(|_| unreadable("its page"))?;
    // Trimmed, as intake read it.
    let query = query.map(|query| query.trim().to_owned()).ok_or_else(|| unreadable("its query"))?;
    Ok(Some(Direct::Search { action, query, page }))
}

/// Puts a waiting page of a search into a job.
pub async fn assign_page(
    connection: &mut Tx,
    item: i64,
    job_id: JobId,
    now: Millis,
) -> Result<(), StoreError> {
    let rows = sql::query_as(select_items!("where id = $1 and state = 'waiting'"))
        .bind(item)
        .fetch_all(&mut *connection)
        .await?;
    move_all(connection, &items(rows)?, Event::Batched { job_id }, now).await
}

/// Stores the result of a call for each item that waits for it. Only the first item has a cost; the others
/// joined its call.
pub async fn keep_result(
    connection: &mut Tx,
    job_id: JobId,
    credits_used: Credits,
    result: &str,
    now: Millis,
) -> Result<(), StoreError> {
    sql::query(
        "insert into direct_results (item_id, request_id, credits_used, result, at)
         select i.id, i.request_id,
                case when i.id = (select min(id) from items where job_id = $1 and state in ('assigned', 'reading'))
                     then $2 else 0 end,
                $3, $4
         from items i where i.job_id = $1 and i.state in ('assigned', 'reading')
         on conflict (item_id) do nothing",
    )
    .bind(job_id.0)
    .bind(credits_used.0)
    .bind(result)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds the access that the event's list reports to the result of each item that waits for it.
pub async fn add_to_result(connection: &mut Tx, job_id: JobId, semantics: &str) -> Result<(), StoreError> {
    sql::query(pairs::ADD_TO_RESULT).bind(job_id.0).bind(semantics).execute(connection).await?;
    Ok(())
}

/// Settles the items of a call: delivered from `source`, which says whether it was bought (`task`) or already
/// unlocked (`profile`), or without a value.
pub async fn finish(
    connection: &mut Tx,
    job_id: JobId,
    source: Option<Source>,
    now: Millis,
) -> Result<(), StoreError> {
    let rows = sql::query_as(select_items!("where job_id = $1 and state in ('assigned', 'reading')"))
        .bind(job_id.0)
        .fetch_all(&mut *connection)
        .await?;
    let outcome = if source.is_some() { Kind::Delivered } else { Kind::NoValue };
    let moved: Vec<Moved> = items(rows)?
        .iter()
        .map(|item| Ok(Moved::new(item, Event::Settled { outcome })?.with_source(source)))
        .collect::<Result<_, StoreError>>()?;
    save(connection, &moved, now).await
}

/// Makes the next page of a search wait for its turn, if its request wants it.
pub async fn want_page(connection: &mut Tx, job_id: JobId, page: u32) -> Result<(), StoreError> {
    sql::query(
        "insert into items (request_id, account, action, event_id, personnel_id, state)
         select distinct r.id, r.account, r.action, null, $2, $4
         from items i join requests r on r.id = i.request_id
         where i.job_id = $1 and r.max_pages >= $3 and r.finished_at is null
           -- A person who cancels wants no more, although the page before was on its way.
           and not exists (select 1 from request_events e where e.request_id = r.id and e.event = 'cancel')
         on conflict (request_id, personnel_id) do nothing",
    )
    .bind(job_id.0)
    .bind(page.to_string())
    .bind(page)
    .bind(State::Waiting { seen: None }.name())
    .execute(connection)
    .await?;
    Ok(())
}

/// The cost of a job's call, if its result is stored.
pub async fn credits_used(connection: &mut Tx, job_id: JobId) -> Result<Option<Credits>, StoreError> {
    let credits: Option<i64> = sql::query_scalar(
        "select cast(sum(d.credits_used) as bigint) from direct_results d join items i on i.id = d.item_id where i.job_id = $1",
    )
    .bind(job_id.0)
    .fetch_one(connection)
    .await?;
    Ok(credits.map(Credits))
}
