//! Everybody except the worker: a user's program, a person who decides, colleagues who share the pool, and
//! random events at the vendor.

use serde_json::json;
use unlockd::domain::job::{Doubt, State};
use unlockd::domain::pacing::Ladder;
use unlockd::domain::{AccountId, Credits, JobId, RequestId};
use unlockd::sandbox::Channel;
use unlockd::store::jobs;
use unlockd::worker::people::decide::{self, Refusal};
use unlockd::worker::people::pause;

use crate::world::World;

/// Ids from here on belong to the next owner.
const CONTACTS_OF_AN_OWNER: u32 = 200;

impl World {
    /// One of them does something, by this roll of 100.
    pub(crate) async fn others_act(&mut self, roll: u32) {
        match roll {
            0..45 => self.insert().await,
            45..55 => self.approve_one().await,
            55..62 => self.cancel_one().await,
            62..66 => self.pause().await,
            66..74 => self.resume().await,
            74..79 => self.resolve_one().await,
            79..92 => self.colleague(),
            _ => self.reprice(),
        }
    }

    /// An id of the first owner; outcomes that matter are chosen more often.
    fn contact(&mut self) -> u32 {
        let fate = match self.rng.u8(..3) {
            0 => self.rng.u32(90..100),
            _ => self.rng.u32(1..12),
        };
        100 * self.rng.u32(1..3) + fate
    }

    /// One of the accounts.
    fn account(&mut self) -> AccountId {
        let mut accounts = self.accounts();
        let which = if accounts.len() > 1 { self.rng.usize(..accounts.len()) } else { 0 };
        accounts.swap_remove(which)
    }

    fn event(&mut self) -> Option<&'static str> {
        [None, None, Some("7"), Some("7"), Some("8"), Some("500"), Some("999"), Some("404")]
            [self.rng.usize(..8)]
    }

    /// A task that a job of this account has followed, or one that never existed. Another key of its owner would follow it
    /// on steps of its own.
    async fn task(&mut self, account: &AccountId) -> String {
        let known = format!(
            "select distinct task_id from jobs where task_id is not null and account = '{account}' order by 1"
        );
        let known: Vec<(String,)> = self.state.all(&known).await;
        let mut known: Vec<String> = known.into_iter().map(|(id,)| id).collect();
        known.push("99".to_owned());
        known.swap_remove(self.rng.usize(..known.len()))
    }

    async fn insert(&mut self) {
        let count = [1, 2, 5, 12][self.rng.usize(..4)];
        let ids: Vec<u32> = (0..count).map(|_| self.contact()).collect();
        let stray = self.rng.u8(..10) == 0;
        let wish = self.rng.u8(..60);
        let account = self.account();
        let first = CONTACTS_OF_AN_OWNER * self.owner_number(&account);
        let texts =
            |ids: &mut dyn Iterator<Item = u32>| ids.map(|id| (first + id).to_string()).collect::<Vec<_>>();
        let mut ids = texts(&mut ids.into_iter());
        ids.extend(stray.then(|| "not an id".to_owned()));
        let (personnel_ids, action) = match wish {
            0 => ("nonsense".to_owned(), "unlock_contact_emails"),
            1 => (json!(ids).to_string(), "no_such_action"),
            2 => (json!(texts(&mut (170..230))).to_string(), "unlock_contact_emails"),
            12..14 => ("".to_owned(), "unlock_event_contacts"),
            14..16 => ("".to_owned(), "search_exhibitor_companies"),
            16..18 => ("".to_owned(), "search_exhibitor_events"),
            18..20 => ("".to_owned(), "unlock_event_visitors"),
            20..22 => ("".to_owned(), "unlock_event_full_access"),
            22..24 => ("".to_owned(), "search_personnel_events"),
            3..12 => (json!(ids).to_string(), "unlock_contact_phones"),
            _ => (json!(ids).to_string(), "unlock_contact_emails"),
        };
        let task_id = if self.rng.u8(..15) == 0 { Some(self.task(&account).await) } else { None };
        let max_credits = (self.rng.u8(..5) == 0).then(|| self.rng.i64(-1..200));
        let (mut event, approved) = (self.event(), i64::from(self.rng.u8(..3) == 0));
        if action.starts_with("search") {
            event = None;
        }
        let query = action.starts_with("search").then(|| ["acme", "nobody"][self.rng.usize(..2)]);
        let (task_id, personnel_ids) = match personnel_ids.as_str() {
            "" => (None, None),
            _ => (task_id, Some(personnel_ids)),
        };
        let quoted = |text: Option<&str>| text.map_or("null".to_owned(), |text| format!("'{text}'"));
        let insert = format!(
            "insert into inbox (action, event_id, personnel_ids, task_id, max_credits, approved, created_at, query, max_pages,
                                account)
             values ('{action}', {}, {}, {}, {}, {approved}, {}, {}, {}, '{account}') returning id",
            quoted(event),
            quoted(personnel_ids.as_deref()),
            quoted(task_id.as_deref()),
            max_credits.map_or("null".to_owned(), |credits| credits.to_string()),
            self.now(),
            quoted(query),
            self.rng.i64(1..4),
        );
        let (id,): (i64,) = self.user.one(&insert).await;
        self.outside_wrote = true;
        self.say(|| {
            let short: String = personnel_ids.as_deref().or(query).unwrap_or_default().chars().take(80).collect();
            format!("user: row {id} of {account}: {action} {event:?} {short} task {task_id:?} max {max_credits:?} approved {approved}")
        });
    }

    async fn awaiting(&mut self) -> Vec<(i64, i64)> {
        let awaiting =
            "select id, quoted_credits from requests where status = 'awaiting_approval' order by id";
        self.state.all(awaiting).await
    }

    async fn approve(&mut self, (id, quote): (i64, i64)) {
        let now = self.clock.now();
        let approved = decide::approve(&self.outside, RequestId(id), Credits(quote), now).await;
        self.outside_wrote = true;
        self.say(|| format!("person: approves request {id} at {quote}: {approved:?}"));
    }

    async fn approve_one(&mut self) {
        let awaiting = self.awaiting().await;
        if !awaiting.is_empty() {
            let which = self.rng.usize(..awaiting.len());
            self.approve(awaiting[which]).await;
        }
    }

    async fn cancel_one(&mut self) {
        let open = "select id from inbox where finished_at is null order by id";
        let open: Vec<(i64,)> = self.user.all(open).await;
        if open.is_empty() {
            return;
        }
        let (id, now) = (RequestId(open[self.rng.usize(..open.len())].0), self.clock.now());
        let accounts = self.accounts();
        let cancelled = decide::cancel(&self.outside, &accounts, id, now).await;
        self.outside_wrote = true;
        self.say(|| format!("person: cancels request {id}: {cancelled:?}"));
    }

    async fn pause(&mut self) {
        let account = self.account();
        pause::pause(&self.outside, &account, self.clock.now()).await.expect("noted");
        self.outside_wrote = true;
        self.say(|| format!("person: pauses {account}"));
    }

    pub(crate) async fn resume(&mut self) {
        let ladder = Ladder::new(&self.config.polling.steps, self.config.polling.give_up_after);
        for account in self.accounts() {
            let resumed = pause::resume(&self.outside, &account, &ladder, self.clock.now()).await;
            self.say(|| format!("person: resumes {account}: {resumed:?}"));
        }
        self.calls.trust_the_key();
        self.outside_wrote = true;
    }

    async fn undecided(&mut self) -> Vec<i64> {
        let undecided =
            "select id from jobs where state = 'in_doubt' and state_reason = 'needs_decision' order by id";
        let undecided: Vec<(i64,)> = self.state.all(undecided).await;
        undecided.into_iter().map(|(id,)| id).collect()
    }

    async fn resolve_one(&mut self) {
        let undecided = self.undecided().await;
        if !undecided.is_empty() {
            let which = self.rng.usize(..undecided.len());
            self.resolve(undecided[which]).await;
        }
    }

    async fn resolve(&mut self, id: i64) {
        let job =
            jobs::read(self.outside.readers(), JobId(id)).await.expect("readable").expect("it is there");
        assert_eq!(job.state, State::InDoubt { doubt: Doubt::NeedsDecision });
        let (now, resubmit) = (self.clock.now(), self.rng.bool());
        let decided = if resubmit {
            decide::resubmit(&self.outside, job.clone(), job.cost.unwrap_or_default(), now).await
        } else {
            decide::write_off(&self.outside, job.clone(), now).await.map_err(Refusal::from)
        };
        if resubmit && decided.is_ok() {
            let contacts = jobs::contacts::open(self.outside.readers(), JobId(id)).await.expect("readable");
            self.allowed.charged_again.extend(contacts.iter().map(ToString::to_string));
            // If it had taken effect, the first charge is in no book any more: the person said otherwise.
            self.allowed.price_differs = true;
        }
        // All of it was cancelled, so only the other decision is left.
        let decided = match decided {
            Err(Refusal::Unwanted { .. }) => {
                decide::write_off(&self.outside, job, now).await.map_err(Refusal::from)
            }
            decided => decided,
        };
        self.outside_wrote = true;
        self.say(|| format!("person: job {id}: resubmit {resubmit}: {decided:?}"));
        assert!(!matches!(&decided, Err(Refusal::Store(error)) if error.is_fatal()), "{decided:?}");
    }

    /// Colleagues spend little and top up much, so that no sum of theirs looks like the reversal of a charge,
    /// which nothing could distinguish from a charge.
    fn colleague(&mut self) {
        match self.rng.u8(..10) {
            0..4 => {
                let credits = self.rng.i64(1..400);
                self.sandbox.spend(credits);
                self.say(|| format!("colleague: spends {credits}"));
            }
            4..6 => {
                self.sandbox.top_up(1_000_003);
                self.say(|| "colleague: tops up".to_owned());
            }
            6..9 => {
                let contact = self.contact().to_string();
                self.sandbox.mark_unlocked(&contact, Channel::Email);
                self.say(|| format!("colleague: unlocks {contact}"));
            }
            _ => {
                let calls = self.rng.u32(1..50);
                self.sandbox.use_up_calls(calls);
                self.say(|| format!("colleague: makes {calls} calls"));
            }
        }
    }

    /// Prices for which no number of contacts costs the same as another number at the expected price.
    fn reprice(&mut self) {
        let price = [15, 113, 127][self.rng.usize(..3)];
        self.allowed.price_differs = true;
        self.sandbox.set_price(Channel::Email, price);
        self.say(|| format!("vendor: an email costs {price}"));
    }

    pub(crate) async fn decide_everything(&mut self, waits: &[String]) {
        let waits = waits.join("; ");
        self.say(|| format!("waits for a person: {waits}"));
        for request in self.awaiting().await {
            self.approve(request).await;
        }
        for job in self.undecided().await {
            self.resolve(job).await;
        }
        self.resume().await;
    }
}
