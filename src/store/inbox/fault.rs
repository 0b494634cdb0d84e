//! What keeps the worker from reading or writing the inbox: the table `inbox_faults`.

use serde::Serialize;
use sqlx::FromRow;

use crate::store::time::Time;
use crate::store::{Store, StoreError, sql};

/// The part of the work with the inbox that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// No new rows are taken.
    Intake,
    /// Rows show an older status than their requests have.
    Status,
}

impl Part {
    pub const ALL: [Part; 2] = [Part::Intake, Part::Status];

    pub fn name(self) -> &'static str {
        match self {
            Part::Intake => "intake",
            Part::Status => "status",
        }
    }
}

const LASTS_MS: i64 = 30_000;

/// Since when, why, and when it is tried next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Fault {
    #[serde(skip)]
    part: String,
    pub since: Time,
    pub cause: String,
    pub next_try_at: Time,
}

impl Fault {
    pub fn new(part: Part, since: Time, cause: String, next_try_at: Time) -> Fault {
        Fault { part: part.name().to_owned(), since, cause, next_try_at }
    }

    pub fn is_of(&self, part: Part) -> bool {
        self.part == part.name()
    }

    /// Whether it has lasted so long that it is a matter for a person, and not, say, a program that holds the file for a
    /// moment. Tries are at most some seconds apart, so the last one tells.
    pub fn lasts(&self) -> bool {
        self.next_try_at.0 - self.since.0 > LASTS_MS
    }

    /// The same words in every place.
    pub fn what(&self) -> String {
        let Fault { since, cause, next_try_at, .. } = self;
        let what = match self.is_of(Part::Intake) {
            true => "inbox unavailable",
            false => "the inbox shows old statuses",
        };
        format!("{what}: {cause} since {since}, next try {next_try_at}")
    }
}

/// Notes a fault, or its end (`None`).
pub async fn record(store: &Store, part: Part, fault: Option<Fault>) -> Result<(), StoreError> {
    store
        .write(move |connection| {
            Box::pin(async move {
                match fault {
                    None => sql::query("delete from inbox_faults where part = $1").bind(part.name()),
                    Some(fault) => sql::query(
                        "insert into inbox_faults (part, since, cause, next_try_at) values ($1, $2, $3, $4)
                         on conflict (part) do update set since = $2, cause = $3, next_try_at = $4",
                    )
                    .bind(part.name())
                    .bind(fault.since.0)
                    .bind(fault.cause)
                    .bind(fault.next_try_at.0),
                }
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await
}

/// The faults that the worker has noted.
pub async fn read(store: &Store) -> Result<Vec<Fault>, StoreError> {
    Ok(sql::query_as("select part, since, cause, next_try_at from inbox_faults order by part")
        .fetch_all(store.readers())
        .await?)
}
