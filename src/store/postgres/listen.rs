//! Tells when anybody writes the inbox: its trigger notifies, and a connection of its own listens.
//!
//! It is only a hint: the inbox is looked at anyway, every `inbox.interval`. So a connection that is lost, or a pooler
//! that cannot pass notifications on, costs latency and nothing else.
//!
//! Nothing is ever sent over a connection that only listens, so its loss may show nowhere: a firewall has forgotten it, or
//! the server's machine was replaced. Hence it is asked for an answer when it has said nothing for a while.

use std::io;
use std::time::Duration;

use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;

use crate::store::Store;
use crate::store::postgres::limits::{limited, limited_to};
use crate::store::tx::Pool;

const CHANNEL: &str = "unlockd_inbox";
/// Between two attempts to listen.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// When nothing was heard for so long, the connection is asked whether it is alive, and has so long to answer.
const ASK_AFTER: Duration = Duration::from_secs(10);
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// The notifications. The connection ends with it.
#[derive(Debug)]
pub struct Notices(watch::Receiver<()>);

impl Notices {
    pub(super) fn of(options: &PgConnectOptions) -> Notices {
        let (sender, receiver) = watch::channel(());
        tokio::spawn(listen(options.clone(), sender));
        Notices(receiver)
    }

    /// Resolves when the inbox was written since the last call. May be dropped at any time.
    pub async fn next(&mut self) -> io::Result<()> {
        self.0.changed().await.map_err(io::Error::other)
    }
}

async fn listen(options: PgConnectOptions, sender: watch::Sender<()>) {
    loop {
        tokio::select! {
            ended = listen_once(&options, &sender) => {
                if let Err(problem) = ended {
                    tracing::debug!(%problem, "the inbox cannot be listened to; new rows are seen every inbox.interval");
                }
            }
            () = sender.closed() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            () = sender.closed() => return,
        }
    }
}

async fn listen_once(options: &PgConnectOptions, sender: &watch::Sender<()>) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    limited(listener.listen(CHANNEL)).await?;
    loop {
        // What came while nobody listened, is in the table: after each new connection it is looked at, too.
        sender.send_replace(());
        hear(&mut listener).await?;
    }
}

/// Resolves when there was a notification, or when some may have been lost.
async fn hear(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    loop {
        match tokio::time::timeout(ASK_AFTER, listener.try_recv()).await {
            Ok(heard) => return heard.map(drop),
            // Notifications that come before the answer are kept.
            Err(_) => {
                limited_to(ALIVE_WITHIN, listener.execute("select 1")).await?;
            }
        }
    }
}

/// How long an answer may take.
const ARRIVES_WITHIN: Duration = Duration::from_secs(2);

/// Whether a notification arrives that this program sends to itself.
pub async fn arrive(store: &Store) -> bool {
    let Pool::Postgres(pool) = &store.readers().0 else { return true };
    let asking = async {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen("unlockd_check").await?;
        // Without waiting for a standby: nothing has to last.
        let notify = "begin; set local synchronous_commit = off; notify unlockd_check; commit";
        limited(pool.execute(notify)).await?;
        listener.recv().await
    };
    matches!(tokio::time::timeout(ARRIVES_WITHIN, asking).await, Ok(Ok(_)))
}
