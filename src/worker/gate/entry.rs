//! Whether a call may be made now: key, rate limit, and whose turn it is.

use uuid::Uuid;

use crate::domain::rate::{Permission, Rate};
use crate::domain::turns::Class;
use crate::domain::{AccountId, Millis};
use crate::failpoint::{self, Place};
use crate::store::{StoreError, Tx, address, rate};
use crate::worker::gate::host::{Calls, Host};
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
    /// Asks for permission to make a call now, and records the call.
    pub async fn enter(&self, class: Class) -> Result<Entry<'_>, StoreError> {
        let (permit, booking) = match self.admit(class).await? {
            Admitted::Open(permit, booking) => (permit, booking),
            Admitted::At(at) => return Ok(Entry::At(at)),
            Admitted::NoKey => return Ok(Entry::NoKey),
        };
        let waits = self.store.write(move |tx| Box::pin(booking.record(tx))).await?;
        heartbeat::beat();
        if let Some(at) = waits.or_else(|| self.asked_to_wait()) {
            return Ok(Entry::At(at));
        }
        failpoint::pass(Place::BeforeCall);
        Ok(Entry::Open(permit))
    }

    /// Until when another call's answer, which came while this call was being recorded, allows no call. The call stays
    /// counted, which wastes one.
    pub(in crate::worker) fn asked_to_wait(&self) -> Option<Millis> {
        self.blocked_until().filter(|until| *until > self.clock.now())
    }

    /// The same for a caller that commits something together with the record: nothing may be sent before that.
    pub(in crate::worker) async fn admit(&self, class: Class) -> Result<Admitted<'_>, StoreError> {
        heartbeat::beat();
        if !self.store.ownership().has_time(self.clock.steady_ms(), 0) {
            return Ok(Admitted::At(self.clock.now().plus(WITHOUT_LEASE_MS)));
        }
        // Every call ends by its timeout, so this wait is bounded.
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| StoreError::Stopped)?;
        let now = self.clock.now();
        let (key, window_ms, learned, in_flight) = {
            let (mut of_all, mut knowledge) = (self.host.calls(), self.knowledge());
            let Some(key) = usable(&knowledge).or_else(|| due_again(&knowledge, class, now)).cloned() else {
                return Ok(Admitted::NoKey);
            };
            of_all.measure(&self.account, &knowledge.rate);
            if let Permission::At(at) = permission(&mut knowledge, &of_all, class, now) {
                return Ok(Admitted::At(at));
            }
            of_all.book(&self.account, &knowledge.rate, now);
            knowledge.rate.book(now);
            knowledge.usage.note(now);
            if usable(&knowledge).is_none() {
                knowledge.key_tried_at = Some(now);
            }
            knowledge.in_flight += 1;
            (key, knowledge.rate.window_ms(), knowledge.take_unstored(), InFlight(self))
        };
        let ownership = self.store.ownership();
        let booking = Booking {
            account: self.account.clone(),
            at: now,
            window_ms,
            learned,
            host: ownership.host(),
            shared: ownership.shared_host().map(|host| (host, self.host.clone())),
        };
        let (gate, request_id) = (self, Uuid::new_v4());
        let permit = Permit { gate, class, key, request_id, entered_at: now, in_flight, _slot: slot };
        Ok(Admitted::Open(permit, Box::new(booking)))
    }
}

/// May a call be made once it is recorded?
pub(in crate::worker) enum Admitted<'a> {
    Open(Permit<'a>, Box<Booking>),
    At(Millis),
    NoKey,
}

/// A call that is about to be sent, to be recorded before it is.
pub(in crate::worker) struct Booking {
    account: AccountId,
    at: Millis,
    window_ms: i64,
    /// What the answers to earlier calls have said.
    learned: Option<Rate>,
    host: Option<String>,
    /// The host, if there may be other workers on it, and what is known of its calls.
    shared: Option<(String, Host)>,
}

impl Booking {
    /// Records the call. `Some`: other workers on this machine have used up the limit of its address until then; the call
    /// stays counted, which wastes one.
    pub(in crate::worker) async fn record(self, tx: &mut Tx) -> Result<Option<Millis>, StoreError> {
        let Booking { account, at, window_ms, learned, host, shared } = self;
        rate::book_call(&mut *tx, &account, at, window_ms, host.as_deref()).await?;
        if let Some(learned) = learned {
            rate::save_rate(&mut *tx, &account, &learned).await?;
        }
        let Some((name, of_all)) = shared else { return Ok(None) };
        let since = at.plus(-2 * of_all.calls().address.window_ms());
        let sent = address::calls_of(tx, &name, since).await?;
        Ok(of_all.calls().address.takes_over(sent, at))
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
