//! The checks at the end of a run, and the output when one fails.

use std::collections::{BTreeMap, HashMap};

use unlockd::sandbox::Channel;

use crate::db::Db;
use crate::invariants::{Checked, Evidence, Terms, Violation, none};
use crate::run::APPROVE_ABOVE;
use crate::trace::digest;
use crate::world::World;

impl World {
    /// Contacts without a value may be bought again, once for each request that asks for them: the vendor
    /// says so.
    async fn allow_what_brings_nothing(&mut self, state: &mut Db) {
        type Row = (String, String, u32, bool);
        let rows: Vec<Row> = state
            .all(
                "select personnel_id, action, count(*), max(case when event_id = '500' then 1 else 0 end)
                 from items group by 1, 2",
            )
            .await;
        for (id, action, requests, task_failed) in rows {
            let phones = action == "unlock_contact_phones";
            let channel = if phones { Channel::Phone } else { Channel::Email };
            if task_failed || ["90", "97", "98"].iter().any(|fate| id.ends_with(fate)) {
                self.allowed.charges.insert((id, channel), requests);
            }
        }
    }

    /// Values older than the retention are gone, if values are erased at all.
    async fn allow_what_was_erased(&mut self, state: &mut Db) {
        if self.profile.erases {
            let erased = "select personnel_id from contact_outcomes where outcome = 'delivered' and email is null and phone is null";
            let erased: Vec<(String,)> = state.all(erased).await;
            self.allowed.erased = erased.into_iter().map(|(id,)| id).collect();
        }
    }

    /// The decision may be out of date: at most 2 s, and then the body is withheld.
    async fn no_body_goes_out_long_after_its_intent(&mut self, state: &mut Db) -> Checked {
        let attempts: Vec<(String, i64)> = state.all("select request_id, started_at from attempts").await;
        let attempts: HashMap<String, i64> = attempts.into_iter().collect();
        let mut late = self.calls.sent_ms();
        late.retain(|(id, sent)| attempts.get(id).is_some_and(|started| sent - started > 2_000));
        none("no body goes out more than 2 s after its intent", &late)
    }

    /// The invariants that must be true after every run, and those for the end.
    pub(crate) async fn check(&mut self) -> Checked {
        let mut state = Db::connect(&self.config.database).await;
        self.allow_what_brings_nothing(&mut state).await;
        self.allow_what_was_erased(&mut state).await;
        self.allowed.unheard = self.calls.unheard();
        let evidence = Evidence {
            state: &mut Db::connect(&self.config.database).await,
            calls: self.sandbox.journal(),
            accounting: self.sandbox.accounting(),
            allowed: &self.allowed,
            terms: Terms {
                shortest_step_ms: 3_000,
                // Checked below by the time when they are made: calls that take long may arrive together.
                per_minute: None,
                approve_above: APPROVE_ABOVE,
            },
        };
        evidence.check().await?;
        let limit = self.config.rate_limit.per_minute as usize;
        for account in 0..self.config.accounts.len() {
            let made = self.calls.made_ms().into_iter().filter(|(by, _)| *by == account);
            let made_ms: Vec<i64> = made.map(|(_, at)| at).collect();
            let crowded: Vec<i64> = made_ms
                .windows(limit + 1)
                .filter(|made| made[limit] - made[0] < 60_000)
                .map(|made| made[0])
                .collect();
            none("I9 no more calls are made in 60 s than the limit of a key allows", &crowded)?;
        }
        none("one paid call of an owner at a time", &self.calls.paid_together())?;
        none("no call is made while a Retry-After runs, or with a refused key", &self.calls.too_early())?;
        self.no_body_goes_out_long_after_its_intent(&mut state).await?;
        let open: Vec<(i64, String)> =
            state.all("select id, status from requests where finished_at is null").await;
        none("I11 once the faults stop, every request comes to its end", &open)?;
        let lost: Vec<(i64, String)> =
            self.user.all("select id, status from inbox where finished_at is null").await;
        none("I5 no row of the inbox is lost", &lost)?;
        let rows: Vec<(i64, String, String)> = state
            .all("select request_id, personnel_id, outcome from contact_outcomes order by request_id, personnel_id")
            .await;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, _, outcome) in &rows {
            *counts.entry(outcome).or_default() += 1;
        }
        let (charged, every) = (self.sandbox.accounting().charged_total, digest(&rows));
        self.say(|| format!("charged {charged}; {counts:?}, {every:x}"));
        Ok(())
    }

    /// The jobs that have not ended, and the newest lines of the timeline.
    pub(crate) async fn dump(&mut self) -> String {
        let mut state = Db::connect(&self.config.database).await;
        let sql = "select id || ' ' || state || ' ' || coalesce(state_reason, '') || ': ' || contacts || ' contacts, price '
                   || coalesce(cast(price as text), '?') || ', parked at ' || coalesce(cast(parked_balance as text), '?') from jobs
                   where finished_at is null";
        let jobs: Vec<(String,)> = state.all(sql).await;
        let sql = "select coalesce(cast(request_id as text), '') || '/' || coalesce(cast(job_id as text), '') || ' ' || event || ' ' || coalesce(detail, '')
                   from request_events order by id desc limit 300";
        let events: Vec<(String,)> = state.all(sql).await;
        let sql = "select request_id || ' ' || action || ' ' || coalesce(event_id, '') || ' ' || personnel_id || ' ' || state || ' '
                   || coalesce(cast(job_id as text), '') || ' ' || coalesce(state_reason, '') from items where state <> 'done' order by id";
        let items: Vec<(String,)> = state.all(sql).await;
        let sql = "select 'limit ' || rate_limit || ' in ' || rate_window_ms || ' ms' from accounts";
        let limit: Vec<(Option<String>,)> = state.all(sql).await;
        let balance = self.sandbox.accounting().balance;
        let lines = |rows: Vec<(String,)>| rows.into_iter().map(|(row,)| row).collect::<Vec<_>>().join("\n");
        format!("balance {balance}, {limit:?}\n{}\n{}\n{}", lines(jobs), lines(items), lines(events))
    }

    pub(crate) fn violation(&self, invariant: &'static str, found: String) -> Violation {
        Violation { invariant, found }
    }
}
