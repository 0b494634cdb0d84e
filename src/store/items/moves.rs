//! Changes of items: the only statement that writes `items.state` and `items.outcome`.
//!
//! Functions of the other files read items with `select_items!`; here [`item::next`] returns their next state, and
//! [`save`] writes it, only to rows that have not changed since they were read.

use serde_json::json;

use crate::domain::Millis;
use crate::domain::item::{self, Event, State};
use crate::domain::outcome::{self, Outcome, Source};
use crate::store::items::item_row::Item;
use crate::store::{StoreError, Tx, sql};

/// Items in one statement: a request may have many, and memory is limited.
const AT_ONCE: usize = 5_000;

/// An item that changes, with the values that came with its outcome.
pub(in crate::store) struct Moved {
    id: i64,
    from: State,
    to: State,
    error_code: Option<String>,
    source: Option<Source>,
}

impl Moved {
    pub(in crate::store) fn new(item: &Item, event: Event) -> Result<Moved, StoreError> {
        let to = item::next(item.state, event)?;
        Ok(Moved { id: item.id, from: item.state, to, error_code: None, source: None })
    }

    pub(in crate::store) fn settled(item: &Item, outcome: &Outcome) -> Result<Moved, StoreError> {
        let moved = Moved::new(item, Event::Settled { outcome: outcome.kind() })?;
        let source = match outcome {
            Outcome::Delivered { source, .. } => Some(*source),
            _ => None,
        };
        Ok(Moved { error_code: outcome.error_code().map(str::to_owned), source, ..moved })
    }

    pub(in crate::store) fn with_source(self, source: Option<Source>) -> Moved {
        Moved { source, ..self }
    }

    fn row(&self, now: Millis) -> serde_json::Value {
        let (reason, since) = match self.to.reason() {
            Some((reason, since)) => (Some(reason), Some(since)),
            None => (None, None),
        };
        let (reads, read_at) = match self.to {
            State::Reading { reads, read_at, .. } => (reads, Some(read_at)),
            _ => (0, None),
        };
        let outcome = self.to.outcome();
        let not_charged = match self.from {
            State::Reading { why, .. } => outcome.is_some() && why.is_not_charged(),
            _ => false,
        };
        json!([
            self.id,
            self.from.name(),
            self.to.name(),
            reason,
            since,
            self.to.job_id(),
            read_at,
            reads,
            outcome.map_or(outcome::PENDING, |outcome| outcome.as_str()),
            self.error_code,
            self.source.map(Source::as_str),
            outcome.map(|_| now),
            i64::from(not_charged),
        ])
    }
}

/// Writes the new states of items. If a row has changed since it was read, this is an error and nothing is
/// written.
pub(in crate::store) async fn save(
    connection: &mut Tx,
    moved: &[Moved],
    now: Millis,
) -> Result<(), StoreError> {
    for part in moved.chunks(AT_ONCE) {
        save_part(&mut *connection, part, now).await?;
    }
    Ok(())
}

async fn save_part(connection: &mut Tx, moved: &[Moved], now: Millis) -> Result<(), StoreError> {
    let rows: Vec<_> = moved.iter().map(|one| one.row(now)).collect();
    let result = sql::query(
        "with steps as materialized (
             select json_number(value, 0) as id, json_text(value, 1) as was, json_text(value, 2) as state,
                    json_text(value, 3) as state_reason, json_number(value, 4) as reason_since,
                    json_number(value, 5) as job_id, json_number(value, 6) as read_at, json_number(value, 7) as reads,
                    json_text(value, 8) as outcome, json_text(value, 9) as error_code, json_text(value, 10) as source,
                    json_number(value, 11) as resolved_at, json_number(value, 12) as not_charged
             from json_rows($1))
         update items set state = steps.state, state_reason = steps.state_reason, reason_since = steps.reason_since,
                job_id = steps.job_id, read_at = steps.read_at, reads = steps.reads, outcome = steps.outcome,
                error_code = steps.error_code, source = steps.source, resolved_at = steps.resolved_at,
                not_charged = steps.not_charged
         from steps
         where items.id = steps.id and items.state = steps.was",
    )
    .bind(json!(rows).to_string())
    .execute(connection)
    .await?;
    result.exactly(moved.len(), "the item")
}

/// Applies the same event to all of these items.
pub(in crate::store) async fn move_all(
    connection: &mut Tx,
    items: &[Item],
    event: Event,
    now: Millis,
) -> Result<(), StoreError> {
    let moved: Vec<Moved> = items.iter().map(|item| Moved::new(item, event)).collect::<Result<_, _>>()?;
    save(connection, &moved, now).await
}
