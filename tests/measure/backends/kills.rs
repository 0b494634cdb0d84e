//! Ends connections at random, on a connection of its own, until nobody wants to know any more.

use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio::sync::watch;

use crate::db::Db;

/// One of this database's connections, but for those of this program; half of the time one that is at work, if there is
/// one. Where it is at the moment of the signal, nobody knows.
const CHOOSE: &str = "select pid, application_name, case when xact_start is null then 0 else 1 end,
           case when query like 'LISTEN%' then 1 else 0 end
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and application_name in ('unlockd', 'producer')
    order by xact_start is null and WHICH, random() limit 1";

/// While there is no connection to end.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

#[derive(Clone, Default)]
pub(super) struct Counts {
    pub(super) kills: u32,
    /// Of connections that were in a transaction when they were chosen.
    pub(super) in_a_transaction: u32,
    pub(super) listening: u32,
    pub(super) of_the_producer: u32,
}

/// Begins; ends when the receiver is dropped.
pub(super) fn start(mut admin: Db, a_second: f64, seed: u64) -> watch::Receiver<Counts> {
    let (sender, receiver) = watch::channel(Counts::default());
    tokio::spawn(async move {
        let (since, mut random) = (Instant::now(), Rng::with_seed(seed));
        let mut next = Duration::ZERO;
        while !sender.is_closed() {
            tokio::time::sleep(next.saturating_sub(since.elapsed())).await;
            match kill(&mut admin, random.bool(), &sender).await {
                // A time without any connection is made up for.
                true => next += Duration::from_secs_f64(-(1.0 - random.f64()).ln() / a_second),
                false => tokio::time::sleep(AGAIN_AFTER).await,
            }
        }
    });
    receiver
}

/// Ends one connection; false: there is none now.
async fn kill(admin: &mut Db, at_work: bool, counts: &watch::Sender<Counts>) -> bool {
    let choose = CHOOSE.replace("WHICH", if at_work { "true" } else { "false" });
    let chosen: Vec<(i64, String, bool, bool)> = admin.all(&choose).await;
    let Some((pid, name, in_a_transaction, listening)) = chosen.into_iter().next() else { return false };
    // It may have ended by itself since.
    if !admin.one::<(bool,)>(&format!("select pg_terminate_backend({pid})")).await.0 {
        return false;
    }
    counts.send_modify(|counts| {
        counts.kills += 1;
        counts.in_a_transaction += u32::from(in_a_transaction);
        counts.listening += u32::from(listening);
        counts.of_the_producer += u32::from(name == "producer");
    });
    true
}
