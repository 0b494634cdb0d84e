//! The invariants that hold after every test, whatever it did.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use unlockd::api::{direct_body, unlock_body};
use unlockd::domain::direct::Direct;
use unlockd::domain::{Action, EventId, PersonnelId};
use unlockd::sandbox::Call;

use super::Town;

impl Town {
    /// Checks them all, and that the test did so.
    pub(crate) async fn check(mut self) {
        self.every_post_has_an_attempt().await;
        self.no_contact_was_charged_twice();
        self.bookings_cover_what_was_charged().await;
        self.every_request_has_an_end_or_waits_visibly().await;
        self.delivered_means_that_the_value_is_there().await;
        self.holds_are_released().await;
        self.windows_fit_their_jobs().await;
        self.the_figures_are_those_of_the_tables().await;
        self.the_file_is_sound().await;
        self.no_poll_came_too_early();
        self.the_limit_was_kept();
        self.checked = true;
    }

    /// I1
    async fn every_post_has_an_attempt(&mut self) {
        let rows: Vec<(String, String, i64)> =
            self.all("select request_id, body_digest, contacts from attempts").await;
        let mut attempts: HashMap<String, (String, i64)> =
            rows.into_iter().map(|(id, digest, contacts)| (id, (digest, contacts))).collect();
        for post in self.paid_posts() {
            let id = post.request_id.clone().unwrap_or_default();
            let Some((digest, contacts)) = attempts.remove(&id) else {
                assert!(self.allowed.restored, "a POST without an attempt of its own: {post:?}");
                continue;
            };
            let sent = if post.path.contains("/contacts/") { Town::sent(&post).len() as i64 } else { 1 };
            assert_eq!(sent, contacts, "{post:?}");
            assert_eq!(digest_of(&post), digest, "{post:?}");
        }
    }

    /// I2
    fn no_contact_was_charged_twice(&self) {
        for ((id, channel), charge) in self.sandbox.accounting().charges {
            let allowed = charge.times <= 1 || self.allowed.charged_again.contains(&id);
            assert!(allowed, "contact {id} ({channel}) was charged {} times", charge.times);
        }
    }

    /// I3
    async fn bookings_cover_what_was_charged(&mut self) {
        let booked = self.number("select coalesce(sum(credits), 0) from ledger").await;
        let charged = self.sandbox.accounting().charged_total;
        let allowed = self.allowed.restored || self.allowed.price_differs;
        assert!(charged <= booked || allowed, "charged {charged}, booked or held {booked}");
    }

    /// I5
    async fn every_request_has_an_end_or_waits_visibly(&mut self) {
        let silent: Vec<(i64, String)> = self
            .all(
                "select id, status from requests r where (status = 'awaiting_approval' and reason is null)
                 or (status = 'accepted'
                     and not exists (select 1 from items i where i.request_id = r.id and i.state <> 'done')
                     and not (task_id is not null and exists (select 1 from jobs j
                              where j.task_id = r.task_id and j.finished_at is null)))",
            )
            .await;
        assert!(silent.is_empty(), "requests that wait for nothing: {silent:?}\n{}", self.dump().await);
        let stuck: Vec<(i64, String, String, i64)> = self
            .all(
                "select i.request_id, i.personnel_id, j.state, j.id from items i join jobs j on j.id = i.job_id
                 where i.state = 'assigned' and j.finished_at is not null",
            )
            .await;
        assert!(stuck.is_empty(), "contacts that wait for a job which has ended: {stuck:?}");
        let unshown = self.number("select count(*) from requests where inbox_is_behind = 1").await;
        assert_eq!(unshown, 0, "the inbox does not show every status");
        let unfinished: Vec<(i64, String)> = self
            .all("select id, status from requests where (finished_at is null) = (status in ('done', 'rejected', 'cancelled'))")
            .await;
        assert!(unfinished.is_empty(), "{unfinished:?}");
    }

    /// I6
    async fn delivered_means_that_the_value_is_there(&mut self) {
        type Row = (String, String, String, Option<String>, Option<String>);
        let rows: Vec<Row> =
            self.all("select personnel_id, action, outcome, email, phone from contact_outcomes").await;
        for (id, action, outcome, email, phone) in rows {
            let right = match (outcome.as_str(), action.as_str()) {
                ("delivered", "unlock_contact_emails") => (Some(format!("contact-{id}@example.com")), None),
                ("delivered", _) => (None, Some(format!("+1-555-01{id}"))),
                _ => (None, None),
            };
            if self.allowed.erased.contains(&id) && (&email, &phone) == (&None, &None) {
                continue;
            }
            assert_eq!((email, phone), right, "{id} is {outcome}");
        }
    }

    /// I10: holds and releases of a job sum to zero once it is known what became of it.
    async fn holds_are_released(&mut self) {
        let wrong: Vec<(i64, String, i64)> = self
            .all(
                "select j.id, j.state || coalesce(' ' || j.state_reason, ''), sum(l.credits) as held
                 from jobs j join ledger l on l.job_id = j.id and l.entry <> 'charge' group by j.id
                 having held <> iif(j.state = 'submitting' or (j.state = 'in_doubt'
                     and j.state_reason <> 'carried_out'), j.cost, 0)",
            )
            .await;
        assert!(wrong.is_empty(), "jobs (id, state, held): {wrong:?}");
        let open_attempts = self
            .number(
                "select count(*) from attempts a join jobs j on j.id = a.job_id
                 where a.finished_at is null and j.state <> 'submitting'",
            )
            .await;
        assert_eq!(open_attempts, 0, "attempts without an end");
    }

    async fn windows_fit_their_jobs(&mut self) {
        let wrong: Vec<(i64, String)> = self
            .all(
                "select j.id, j.state from jobs j left join windows w on w.id = j.window_id
                 where (j.state in ('submitting', 'polling') and j.adopted = 0
                        and (w.id is null or w.closed_at is not null))
                    or (j.state in ('queued', 'rejected', 'cancelled') and j.window_id is not null)",
            )
            .await;
        assert!(wrong.is_empty(), "jobs in the wrong window or in none: {wrong:?}");
        let unsettled: Vec<(i64,)> = self
            .all("select distinct job_id from ledger l join jobs j on j.id = l.job_id where entry = 'charge' and credits > 0 and window_id is null")
            .await;
        assert!(unsettled.is_empty(), "charged jobs that no window settles: {unsettled:?}");
    }

    /// What triggers keep for /metrics is what a look at all rows says.
    async fn the_figures_are_those_of_the_tables(&mut self) {
        let counted = "select 'jobs', account, state, count(*) from jobs group by 2, 3
             union all select 'spent', account, '', sum(credits) from ledger where entry = 'charge' group by 2
             union all select 'settlements', account, verdict, count(*) from windows
                       where verdict is not null group by 2, 3
             union all select 'settled_at', account, '', max(closed_at) from windows
                       where verdict is not null group by 2";
        type Figure = (String, String, String, i64);
        let kept = "select name, account, label, value from figures
             where name in ('jobs', 'spent', 'settlements', 'settled_at') and (name <> 'jobs' or value <> 0)";
        let mut counted: Vec<Figure> = self.all(counted).await;
        let mut kept: Vec<Figure> = self.all(kept).await;
        counted.sort();
        kept.sort();
        assert_eq!(kept, counted);
        // An outcome that a resumed job took back was counted all the same.
        let wrong: Vec<(String, i64, i64)> = self
            .all(
                "select outcome, count(*) as there, coalesce((select value from figures f where f.name = 'items'
                        and f.account = i.account and f.label = i.outcome), 0) as counted
                 from items i where outcome <> 'pending' group by account, outcome
                 having (outcome <> 'expired' and there <> counted) or there > counted",
            )
            .await;
        assert!(wrong.is_empty(), "outcomes (there, counted): {wrong:?}");
    }

    async fn the_file_is_sound(&mut self) {
        let integrity: Vec<(String,)> = self.all("pragma integrity_check").await;
        assert_eq!(integrity, [("ok".to_owned(),)]);
        let broken = self.all::<(String,)>("select \"table\" from pragma_foreign_key_check").await;
        assert!(broken.is_empty(), "{broken:?}");
    }

    /// Promise 2: with the default ladder, 3 s are the least between two polls of a task.
    fn no_poll_came_too_early(&self) {
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for poll in self.calls("-tasks/") {
            // One that was turned away, or whose answer a crash or the network ate, was none.
            let counts = matches!(poll.status, Some(200)) && poll.fault.is_none();
            if let Some(before) = last.get(&poll.path) {
                let gap = poll.at_ms - before;
                assert!(gap >= 3_000 || self.allowed.restored, "{} again after {gap} ms", poll.path);
            }
            if counts {
                last.insert(poll.path.clone(), poll.at_ms);
            }
        }
    }

    /// I9: as the sandbox counts, and in any 60 s.
    fn the_limit_was_kept(&self) {
        let calls = self.sandbox.journal();
        let unscripted = calls.iter().filter(|call| call.status == Some(429) && call.fault.is_none());
        assert!(self.allowed.turned_away || unscripted.count() == 0, "the limit was overrun");
        let keys: BTreeSet<_> = calls.iter().map(|call| &call.key).collect();
        for key in keys {
            let at: Vec<i64> = calls.iter().filter(|call| call.key == *key).map(|call| call.at_ms).collect();
            for window in at.windows(121) {
                assert!(window[120] - window[0] >= 60_000, "121 calls in less than a minute");
            }
        }
    }
}

fn digest_of(post: &Call) -> String {
    if post.path.ends_with("/unlock") && post.path.contains("/events/") {
        return direct_body(&Direct::Event(EventId::trusted("any"))).digest().to_owned();
    }
    if let Some(query) = post.body["company_name"].as_str() {
        let (action, page) = (Action::SearchExhibitorEvents, post.body["page"].as_u64().expect("a page"));
        let page = u32::try_from(page).expect("a page");
        let search = Direct::Search { action, query: query.to_owned(), page };
        return direct_body(&search).digest().to_owned();
    }
    let ids: Vec<PersonnelId> = Town::sent(post).into_iter().map(PersonnelId::trusted).collect();
    let event = post.body["event_id"].as_str().map(EventId::trusted);
    unlock_body(&ids, event.as_ref()).digest().to_owned()
}
