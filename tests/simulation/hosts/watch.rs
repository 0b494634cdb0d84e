//! What must hold of several hosts, at each moment: collected while a history runs, judged at its end.

use unlockd::domain::pacing;

use crate::calls::{At, is_paid};
use crate::hosts::{Fleet, Host};
use crate::invariants::{Checked, none};

/// What was found that must not be.
#[derive(Default)]
pub(super) struct Watch {
    /// Paid calls that were sent with less than `api.timeout` left until their worker's deadline.
    late: Vec<String>,
    /// Paid calls that were sent by a worker that did not hold their owner for as long as they may take, by the database.
    unowned: Vec<String>,
    /// Workers that did not start, although they could reach the database.
    not_started: Vec<String>,
    /// Owners that nobody served for long, although a worker was well.
    unserved: Vec<String>,
}

impl Watch {
    pub(super) fn did_not_start(&mut self, what: String) {
        self.not_started.push(what);
    }

    pub(super) fn check(&self) -> Checked {
        none("a worker starts when it reaches its database", &self.not_started)?;
        none("no paid call is sent that may outlast the deadline of its worker", &self.late)?;
        none(
            "a paid call is sent only by the worker that holds its owner, for as long as it may take",
            &self.unowned,
        )?;
        none("a worker's death costs its owners at most the lease and 10 s", &self.unserved)
    }
}

/// The promise is 10 s; here a worker looks every 10 s, and not every second.
const TAKEN_OVER_WITHIN_MS: i64 = 25_000;

impl Fleet {
    /// A worker that is well takes what nobody serves any more.
    pub(super) async fn nobody_waits_long_for_a_worker(&mut self) {
        let now = self.world.now();
        let is_well = |host: &&Host| {
            let works = host.worker.as_ref().is_some_and(|worker| !worker.is_stopping());
            works && host.well_since <= now - TAKEN_OVER_WITHIN_MS
        };
        let Some(host) = self.hosts.iter().find(is_well) else { return };
        let waits = format!(
            "select owner, expires_at from owners where expires_at < {} order by owner",
            now - TAKEN_OVER_WITHIN_MS
        );
        let waits: Vec<(String, i64)> = self.world.state.all(&waits).await;
        if !waits.is_empty() {
            self.watch.unserved.push(format!("{waits:?} at {now}, although {} was well", host.name));
        }
    }

    /// I3, for each pool by itself: what an owner was charged is booked to its accounts.
    pub(super) async fn each_owner_books_what_it_was_charged(&mut self) -> Checked {
        if self.world.allowed.price_differs {
            return Ok(());
        }
        let mut missing = Vec::new();
        for owner in 0..self.on_hosts.owners() {
            // The keys of the first owner are ordinary ones.
            let (pool, name) = match owner {
                0 => (String::new(), "default".to_owned()),
                other => (format!("o{other}"), format!("o{other}")),
            };
            let booked = format!(
                "select coalesce(sum(credits), 0) from ledger
                 where account in (select account from accounts where owner = '{name}')"
            );
            let (booked,): (i64,) = self.world.state.one(&booked).await;
            let charged = self.world.sandbox.accounting_of(&pool).charged_total;
            if charged > booked {
                missing.push(format!("{name}: charged {charged}, booked {booked}"));
            }
        }
        none("I3 each owner books what it was charged", &missing)
    }

    /// A call goes out, if its worker still wants that. Its right to is looked at here and in the database.
    pub(super) async fn depart(&mut self, id: u64) -> Checked {
        let (at, what) = self.world.calls.look(id);
        assert_eq!(at, At::Waiting, "{what}");
        let (life, pass, since_ms) = self.world.calls.caller(id);
        let sent = self.world.calls.depart(id);
        self.world.say(|| format!("{what} of life {life}: {}", if sent { "sent" } else { "withheld" }));
        let host = self.hosts.iter().find(|host| host.life() == Some(life));
        let Some(host) = host.filter(|_| sent && is_paid(&what)) else { return Ok(()) };
        let Some(worker) = &host.worker else { return Ok(()) };
        let deps = &worker.life.deps;
        let timeout_ms = pacing::duration_ms(deps.config().api.timeout);
        let left_ms = deps.store.ownership().left_ms(host.clock.steady_ms());
        let now = self.world.now();
        // A call without a body was sent when it was made, as far as its worker knows, and ends by its own limit.
        let needed_ms = if what.starts_with("GET") { since_ms + timeout_ms - now } else { timeout_ms };
        if left_ms < needed_ms {
            self.watch.late.push(format!("{what} of {} at {now}, {left_ms} ms before it", host.name));
        }
        let account = deps.accounts().swap_remove(crate::life::account_of(pass));
        let me = deps.store.ownership().worker().unwrap_or_default();
        let holds = format!(
            "select count(*) from owners o join accounts a on a.owner = o.owner
             where a.account = '{account}' and o.worker = '{me}' and o.expires_at >= {}",
            now + needed_ms
        );
        let (holds,): (i64,) = self.world.state.one(&holds).await;
        if holds == 0 {
            self.watch.unowned.push(format!("{what} of {} at {now}", host.name));
        }
        Ok(())
    }
}
