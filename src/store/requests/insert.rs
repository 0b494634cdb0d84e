//! Writes new requests with their items and the first entry of their timelines.
//!
//! A few statements for many rows, each with a part of them: so memory does not grow with what arrives.

use std::collections::{BTreeMap, HashSet};

use crate::store::requests::NewRequest;
use crate::store::{StoreError, Tx, sql};

use crate::domain::{Millis, outcome};

/// Requests in one statement. Their texts are limited, by [`crate::domain::request`].
const REQUESTS_AT_ONCE: usize = 1_000;
/// Items in one statement.
const ITEMS_AT_ONCE: usize = 5_000;

/// Writes requests and their items; returns the ids of the requests that were not there yet. Others are not changed:
/// after a crash between this commit and the inbox's, taking the row again repairs everything, and a person may have
/// cancelled a row that a worker is taking. `inbox_is_behind`: the inbox is to be written later.
pub async fn insert(
    connection: &mut Tx,
    requests: &[NewRequest],
    inbox_is_behind: bool,
    now: Millis,
) -> Result<Vec<i64>, StoreError> {
    let ids: Vec<i64> = requests.iter().map(|request| request.id.0).collect();
    let known: Vec<i64> =
        sql::query_scalar("select id from requests where id in (select value from json_ids($1))")
            .bind(sql::to_json(&ids))
            .fetch_all(&mut *connection)
            .await?;
    let known: HashSet<i64> = known.into_iter().collect();
    let new: Vec<&NewRequest> = requests.iter().filter(|request| !known.contains(&request.id.0)).collect();
    for part in new.chunks(REQUESTS_AT_ONCE) {
        insert_requests(&mut *connection, part, inbox_is_behind, now).await?;
    }
    name_askers(&mut *connection, &new).await?;
    insert_items(&mut *connection, &new, now).await?;
    let ids: Vec<i64> = new.iter().map(|request| request.id.0).collect();
    sql::query(
        "insert into request_events (at, request_id, event, detail)
         select $2, id, status, reason from requests where id in (select value from json_ids($1)) order by id",
    )
    .bind(sql::to_json(&ids))
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(ids)
}

/// Who asks, what for, and whether they may only propose. Most rows do not say, so these are written apart.
async fn name_askers(connection: &mut Tx, requests: &[&NewRequest]) -> Result<(), StoreError> {
    let says = |request: &&&NewRequest| {
        request.caller.is_some()
            || request.agent.is_some()
            || request.purpose.is_some()
            || request.needs_approval
    };
    let askers: Vec<_> = requests
        .iter()
        .filter(says)
        .map(|request| {
            let needs_approval = i64::from(request.needs_approval);
            (request.id, &request.caller, &request.agent, &request.purpose, needs_approval)
        })
        .collect();
    if askers.is_empty() {
        return Ok(());
    }
    sql::query(
        "update requests set caller = named.caller, agent = named.agent, purpose = named.purpose,
                needs_approval = named.needs_approval
         from (select json_number(value, 0) as id, json_text(value, 1) as caller, json_text(value, 2) as agent,
                      json_text(value, 3) as purpose, json_number(value, 4) as needs_approval from json_rows($1)) as named
         where requests.id = named.id",
    )
    .bind(sql::to_json(&askers))
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_requests(
    connection: &mut Tx,
    requests: &[&NewRequest],
    inbox_is_behind: bool,
    now: Millis,
) -> Result<(), StoreError> {
    let rows: Vec<_> = requests
        .iter()
        .map(|request| {
            (
                request.id,
                &request.account,
                &request.action,
                &request.event_id,
                &request.task_id,
                &request.query,
                request.max_pages,
                &request.reference,
                request.max_credits,
                request.approved_credits,
                request.quoted_credits,
                request.state.name(),
                &request.reason,
                &request.row_digest,
                request.created_at,
                request.state.is_end().then_some(now),
            )
        })
        .collect();
    sql::query(
        "insert into requests (id, account, action, event_id, task_id, query, max_pages, reference, max_credits,
                               approved_credits, quoted_credits, status, reason, row_digest, created_at, taken_at,
                               finished_at, inbox_is_behind)
         select json_number(value, 0), json_text(value, 1), json_text(value, 2), json_text(value, 3),
                json_text(value, 4), json_text(value, 5), json_number(value, 6), json_text(value, 7),
                json_number(value, 8), json_number(value, 9), json_number(value, 10), json_text(value, 11),
                json_text(value, 12), json_text(value, 13), json_number(value, 14), $2, json_number(value, 15), $3
         from json_rows($1)",
    )
    .bind(sql::to_json(&rows))
    .bind(now.0)
    .bind(inbox_is_behind)
    .execute(connection)
    .await?;
    Ok(())
}

/// Items with the same state share a statement; all else is their request's.
async fn insert_items(connection: &mut Tx, requests: &[&NewRequest], now: Millis) -> Result<(), StoreError> {
    let mut by_state: BTreeMap<_, Vec<(i64, &str)>> = BTreeMap::new();
    for request in requests {
        for item in &request.items {
            let outcome = item.state.outcome().map(|outcome| outcome.as_str());
            let alike = by_state.entry((item.state.name(), outcome)).or_default();
            alike.push((request.id.0, &item.personnel_id));
        }
    }
    for ((state, outcome), items) in by_state {
        for part in items.chunks(ITEMS_AT_ONCE) {
            sql::query(
                "insert into items (request_id, account, action, event_id, personnel_id, state, outcome, resolved_at)
                 select r.id, r.account, r.action, r.event_id, pair.value, $2, $3, $4
                 from json_pairs($1) as pair cross join requests r
                 where r.id = cast(pair.key as bigint)
                 on conflict (request_id, personnel_id) do nothing",
            )
            .bind(sql::to_json_pairs(part))
            .bind(state)
            .bind(outcome.unwrap_or(outcome::PENDING))
            .bind(outcome.map(|_| now.0))
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}
