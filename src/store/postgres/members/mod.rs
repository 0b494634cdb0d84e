//! The workers that share one database: who lives, and who serves which owner.
//!
//! All times are by the server's clock. Every transaction of ours holds the lock on the lease's row (see
//! `super::transaction`), so what is read here in a transaction stays so until it ends.
//!
//! The name of a worker is the name of the lock file that it holds. So a worker that starts under that name on that host
//! knows that the one before it is dead, and takes over at once. Elsewhere a lease must run out first.

mod join;
mod seen;

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::store::lease;
use crate::store::ownership::Ownership;
use crate::store::postgres::limits::limited;
use crate::store::{Store, StoreError, Tx};

pub use join::ask_to_end;
pub(super) use join::take;
pub use seen::{Gone, Members, Served, Worker, keep_rows, read};

/// The owner that is none: who holds it takes the rows of the inbox, tells of what happened, and cleans up.
pub const HOUSEKEEPING: &str = "";

/// What a worker of this name holds may be taken at once: this owner, or all.
async fn set_free(connection: &mut PgConnection, me: &str, owner: Option<&str>) -> Result<(), StoreError> {
    let free = sqlx::query(
        "update owners set worker = null, host = null, taken_at = null,
                expires_at = least(expires_at, database_clock(0))
         where worker = $1 and ($2::text is null or owner = $2)",
    );
    limited(free.bind(me).bind(owner).execute(connection)).await?;
    Ok(())
}

/// The same for all, and its own row goes: it has ended.
async fn give_back_all(connection: &mut PgConnection, me: &str) -> Result<(), StoreError> {
    set_free(&mut *connection, me, None).await?;
    let gone = sqlx::query("delete from workers where worker = $1");
    limited(gone.bind(me).execute(connection)).await?;
    Ok(())
}

/// This worker among the others.
#[derive(Clone, Debug)]
pub struct Member {
    worker: String,
    pub lease_ms: i64,
}

/// An owner that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How long ago the last lease on it ended.
    pub free_for_ms: i64,
    /// Its last worker was cut off, and may still be making a call; else it gave the owner back, or is known to be dead.
    pub has_expired: bool,
}

impl Member {
    /// Renews the leases on this worker and on all that it holds. `serves`: the owners whose keys it has.
    pub async fn renew(&self, store: &Store, serves: &[String]) -> Result<(), StoreError> {
        let (me, lease_ms, serves) =
            (self.worker.clone(), self.lease_ms, serde_json::json!(serves).to_string());
        store
            .write(move |tx| {
                Box::pin(async move {
                    let connection = tx.postgres();
                    let lease = sqlx::query(
                        "update worker_lease set renewed_at = database_clock(0), pid = $1 where id = 1",
                    );
                    let pid = i64::from(std::process::id());
                    limited(lease.bind(pid).execute(&mut *connection)).await?;
                    let worker = sqlx::query(
                        "update workers set seen_at = database_clock(0), expires_at = database_clock(0) + $2,
                                serves = $3
                         where worker = $1",
                    );
                    let worker = worker.bind(&me).bind(lease_ms).bind(serves);
                    limited(worker.execute(&mut *connection)).await?;
                    let owners = sqlx::query(
                        "update owners set expires_at = database_clock(0) + $2 where worker = $1",
                    );
                    limited(owners.bind(&me).bind(lease_ms).execute(connection)).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Takes an owner, unless another worker has it.
    pub async fn take(&self, store: &Store, owner: &str) -> Result<Option<Taken>, StoreError> {
        let (me, lease_ms, owner) = (self.worker.clone(), self.lease_ms, owner.to_owned());
        let ownership = store.ownership();
        store.write(move |tx| Box::pin(take_owner(tx, (me, lease_ms), owner, ownership))).await
    }

    /// Gives an owner back: another worker may take it at once. Only when nothing works on it any more.
    pub async fn give_back(&self, store: &Store, owner: &str) -> Result<(), StoreError> {
        let (me, owner, ownership) = (self.worker.clone(), owner.to_owned(), store.ownership());
        store
            .write(move |tx| {
                Box::pin(async move {
                    set_free(tx.postgres(), &me, Some(&owner)).await?;
                    // Before the next transaction begins, which would miss it.
                    ownership.remove(&owner);
                    Ok(())
                })
            })
            .await
    }

    /// Ends: gives everything back. Only after its last write.
    pub(in crate::store) async fn leave(&self, store: &Store) -> Result<(), StoreError> {
        let (me, ownership) = (self.worker.clone(), store.ownership());
        store
            .write(move |tx| {
                Box::pin(async move {
                    let connection = tx.postgres();
                    give_back_all(&mut *connection, &me).await?;
                    let last = sqlx::query(
                        "update worker_lease set pid = $1, renewed_at = database_clock(0)
                         where id = 1 and not exists (select 1 from workers where expires_at > database_clock(0))",
                    );
                    limited(last.bind(lease::NOBODY).execute(connection)).await?;
                    ownership.owners().iter().for_each(|owner| ownership.remove(owner));
                    Ok(())
                })
            })
            .await
    }
}

async fn take_owner(
    tx: &mut Tx,
    (me, lease_ms): (String, i64),
    owner: String,
    ownership: Ownership,
) -> Result<Option<Taken>, StoreError> {
    let connection = tx.postgres();
    let free = sqlx::query_as(
        "select database_clock(0) - expires_at, worker is not null from owners
         where owner = $1 and (worker is null or expires_at < database_clock(0)) for update",
    );
    let free: Option<(i64, bool)> = limited(free.bind(&owner).fetch_optional(&mut *connection)).await?;
    let Some((free_for_ms, has_expired)) = free else { return Ok(None) };
    let take = sqlx::query_scalar(
        "update owners set epoch = epoch + 1, worker = $2, taken_at = database_clock(0),
                expires_at = database_clock(0) + $3, host = (select w.host from workers w where w.worker = $2)
         where owner = $1 returning epoch",
    );
    let epoch: i64 = limited(take.bind(&owner).bind(me).bind(lease_ms).fetch_one(connection)).await?;
    // Before the next transaction begins; if this one fails, the writer ends with it.
    ownership.add(owner, epoch);
    Ok(Some(Taken { free_for_ms, has_expired }))
}

/// The epochs of the owners among the rows that a transaction began with.
pub(super) fn epochs(rows: &[sqlx::postgres::PgRow]) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    use sqlx::Row;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Tells all workers that something was written that others may have to look at.
pub async fn announce(store: &Store) -> Result<(), StoreError> {
    store
        .write(|tx| {
            Box::pin(async move {
                let text = "update engine set outside_commits = outside_commits + 1; notify unlockd_inbox";
                tx.0.run(text).await?;
                Ok(())
            })
        })
        .await
}
