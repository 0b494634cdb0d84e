//! Whether a call may be made now: key, rate limit, and whose turn it is.

use uuid::Uuid;

use crate::domain::Millis;
use crate::domain::rate::Permission;
use crate::domain::turns::Class;
use crate::failpoint::{self, Place};
use crate::store::{StoreError, address, rate};
use crate::worker::gate::host::Calls;
use crate::worker::gate::key::{due_again, usable};
use crate::worker::gate::permit::InFlight;
use crate::worker::gate::{Gate, Knowledge, Permit};
use crate::worker::run::heartbeat;

/// May a call be made now?
pub enum Entry<'a> {
    Open(Permit<'a>),
    /// No call before this moment.
    At(Millis),
    /// No call: the account has no key, or only one that was refused.
    NoKey,
}

impl Gate {
    /// Asks for permission to make a call now.
    pub async fn enter(&self, class: Class) -> Result<Entry<'_>, StoreError> {
        heartbeat::beat();
        if !self.store.ownership().has_time(self.clock.steady_ms(), 0) {
            return Ok(Entry::At(self.clock.now().plus(WITHOUT_LEASE_MS)));
        }
        // Every call ends by its timeout, so this wait is bounded.
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let now = self.clock.now();
        let (key, window_ms, in_flight) = {
            let (mut of_all, mut knowledge) = (self.host.calls(), self.knowledge());
            let Some(key) = usable(&knowledge).or_else(|| due_again(&knowledge, class, now)).cloned() else {
                return Ok(Entry::NoKey);
            };
            of_all.measure(&self.account, &knowledge.rate);
            if let Permission::At(at) = permission(&mut knowledge, &of_all, class, now) {
                return Ok(Entry::At(at));
            }
            of_all.book(&self.account, &knowledge.rate, now);
            knowledge.rate.book(now);
            knowledge.usage.note(now);
            if usable(&knowledge).is_none() {
                knowledge.key_tried_at = Some(now);
            }
            knowledge.in_flight += 1;
            (key, knowledge.rate.window_ms(), InFlight(self))
        };
        if let Some(at) = self.record(now, window_ms).await? {
            return Ok(Entry::At(at));
        }
        heartbeat::beat();
        // Another call's answer came while this one was being recorded. It stays counted, which wastes one call.
        if let Some(until) = self.blocked_until().filter(|until| *until > self.clock.now()) {
            return Ok(Entry::At(until));
        }
        failpoint::pass(Place::BeforeCall);
        let (gate, request_id) = (self, Uuid::new_v4());
        Ok(Entry::Open(Permit { gate, class, key, request_id, entered_at: now, in_flight, _slot: slot }))
    }
}

impl Gate {
    /// Records the call that is about to be sent. `Some`: other workers on this machine have used up the limit of its address
    /// until then; the call stays counted, which wastes one.
    async fn record(&self, now: Millis, window_ms: i64) -> Result<Option<Millis>, StoreError> {
        let (account, ownership) = (self.account.clone(), self.store.ownership());
        let (host, shared) = (ownership.host(), ownership.shared_host());
        let since = now.plus(-2 * self.host.calls().address.window_ms());
        let of_all = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    rate::book_call(&mut *tx, &account, now, window_ms, host.as_deref()).await?;
                    Ok(match shared {
                        Some(host) => Some(address::calls_of(tx, &host, since).await?),
                        None => None,
                    })
                })
            })
            .await?;
        Ok(of_all.and_then(|sent| self.host.calls().address.takes_over(sent, now)))
    }
}

/// When to look again whether the lease was renewed, in milliseconds. Without one nothing is sent.
pub(in crate::worker) const WITHOUT_LEASE_MS: i64 = 500;

/// How long a free call is kept for a class that was refused one, in milliseconds: long enough for its pass
/// to wake up.
const EXPECTED_FOR_MS: i64 = 100;

/// Whether the rate limit has a call left, and whether it is this class's turn.
fn permission(knowledge: &mut Knowledge, of_all: &Calls, class: Class, now: Millis) -> Permission {
    let index = class as usize;
    let own = knowledge.rate.permission(now);
    let own = knowledge.rate.poll_may_go(class, now).map_or(own, |poll| own.min(poll));
    let allowed = own.max(of_all.address.permission(now, knowledge.rate.first_of_next_window()));
    if let Permission::At(at) = allowed {
        knowledge.expected[index] = at.plus(EXPECTED_FOR_MS);
        return Permission::At(at);
    }
    let wants = |other: &Class| *other == class || knowledge.expected[*other as usize] > now;
    let competing: Vec<Class> = Class::ALL.into_iter().filter(wants).collect();
    if knowledge.turns.next(&competing) != Some(class) {
        let soon = now.plus(5);
        knowledge.expected[index] = soon.plus(EXPECTED_FOR_MS);
        return Permission::At(soon);
    }
    knowledge.turns.take(class, &competing);
    knowledge.expected[index] = Millis(0);
    Permission::Now
}
