//! The invariants that must be true after every run, whatever happened in it: one function for each.
//!
//! They are checked on reliable evidence: the rows on disk, and the sandbox's journal and accounts. The
//! integration tests, the process tests and the simulation share this file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use unlockd::api::{direct_body, unlock_body};
use unlockd::domain::direct::Direct;
use unlockd::domain::{Action, EventId, Layers, PersonnelId};
use unlockd::sandbox::{Accounting, Call, Channel};

use crate::db::{Cells, Db};

/// Known exceptions from the invariants in one test.
#[derive(Default)]
pub(crate) struct Allowed {
    /// Contacts that may be charged more than once, since a person or a second request asked so.
    pub(crate) charged_again: Vec<String>,
    /// How often a contact may be charged at most, if that is more than once.
    pub(crate) charges: HashMap<(String, Channel), u32>,
    /// The database was replaced by an older one: attempts and bookings may be missing.
    pub(crate) restored: bool,
    /// Calls that the limit refused without a scripted fault: another user has used up the bucket.
    pub(crate) turned_away: bool,
    /// Contacts whose values were erased; one may have been read again since.
    pub(crate) erased: Vec<String>,
    /// The test sends values of its own in place of the sandbox's.
    pub(crate) own_values: bool,
    /// Calls, by their own id, whose answers were not read or not recorded.
    pub(crate) unheard: HashSet<String>,
    /// The real price differs from the bookings.
    pub(crate) price_differs: bool,
}

/// The promises of the configuration.
pub(crate) struct Terms {
    /// The least time between two polls of a task, in milliseconds.
    pub(crate) shortest_step_ms: i64,
    /// Calls in any 60 s; `None`: without limit.
    pub(crate) per_minute: Option<usize>,
    /// `credits.approve_above`.
    pub(crate) approve_above: i64,
}

/// Everything that a run left behind.
pub(crate) struct Evidence<'a> {
    pub(crate) state: &'a mut Db,
    pub(crate) calls: Vec<Call>,
    pub(crate) accounting: Accounting,
    pub(crate) allowed: &'a Allowed,
    pub(crate) terms: Terms,
}

/// An invariant that is violated.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.found)
    }
}

pub(crate) type Checked = Result<(), Violation>;

/// Passes if nothing was found that contradicts it.
pub(crate) fn none<T: fmt::Debug>(invariant: &'static str, found: &[T]) -> Checked {
    if found.is_empty() { Ok(()) } else { Err(Violation { invariant, found: format!("{found:?}") }) }
}

/// Every call that may cost credits: POSTs, and a GET.
pub(crate) fn paid_posts(calls: &[Call]) -> Vec<&Call> {
    let is_paid = |call: &&Call| match call.method.as_str() {
        "POST" => !call.path.contains("/precheck"),
        _ => call.path.contains("/events/by-name?"),
    };
    calls.iter().filter(is_paid).collect()
}

/// The contacts that a POST named.
pub(crate) fn sent(call: &Call) -> Vec<String> {
    let ids = call.body["personnel_ids"].as_array().cloned().unwrap_or_default();
    ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect()
}

/// I3, at any moment: the possible cost of a submission is held or booked from its intent on.
pub(crate) async fn what_is_under_way_is_held(state: &mut Db) -> Checked {
    let bare: Vec<(i64, i64)> = state
        .all(
            "select id, cost from jobs where state in ('submitting', 'in_doubt')
             and cost > (select coalesce(sum(credits), 0) from ledger where job_id = jobs.id)",
        )
        .await;
    none("I3 what is under way is held", &bare)
}

impl Evidence<'_> {
    pub(crate) async fn check(mut self) -> Checked {
        self.every_post_has_an_attempt().await?;
        self.no_contact_is_charged_twice()?;
        self.bookings_cover_what_was_charged().await?;
        self.no_request_commits_more_than_was_allowed().await?;
        self.every_request_has_an_end_or_waits_visibly().await?;
        self.no_contact_waits_for_a_job_that_has_ended().await?;
        self.the_inbox_shows_every_status().await?;
        self.delivered_means_that_the_value_is_there().await?;
        self.no_personal_data_is_in_the_timeline().await?;
        self.no_replaced_worker_sends().await?;
        self.the_limit_is_kept()?;
        self.holds_are_released().await?;
        self.charges_are_divided_exactly().await?;
        self.changes_tell_every_outcome().await?;
        self.every_attempt_has_an_end().await?;
        self.windows_fit_their_jobs().await?;
        self.the_file_is_sound().await?;
        what_is_under_way_is_held(self.state).await?;
        self.no_poll_comes_before_its_step().await
    }

    async fn all<T: Cells>(&mut self, sql: &str) -> Vec<T> {
        self.state.all(sql).await
    }

    /// I1: with the same body.
    async fn every_post_has_an_attempt(&mut self) -> Checked {
        const NAME: &str = "I1 every POST has an attempt of its own";
        let rows: Vec<(String, String, i64)> =
            self.all("select request_id, body_digest, contacts from attempts").await;
        let mut attempts: HashMap<String, _> =
            rows.into_iter().map(|(id, digest, contacts)| (id, (digest, contacts))).collect();
        let alone = |post: &&Call| {
            let attempt = attempts.remove(post.request_id.as_deref().unwrap_or_default());
            let direct = !post.path.contains("/contacts/");
            let right = (digest_of(post), if direct { 1 } else { sent(post).len() as i64 });
            attempt != Some(right) && !(attempt.is_none() && self.allowed.restored)
        };
        let found: Vec<&Call> = paid_posts(&self.calls).into_iter().filter(alone).collect();
        none(NAME, &found)
    }

    /// I2: without refunds.
    fn no_contact_is_charged_twice(&self) -> Checked {
        let twice = self.accounting.charges.iter().filter(|((id, channel), charge)| {
            let at_most = self.allowed.charges.get(&(id.clone(), *channel)).copied().unwrap_or(1);
            let kept =
                i64::from(charge.times) - charge.refunded * i64::from(charge.times) / charge.credits.max(1);
            kept > i64::from(at_most) && !self.allowed.charged_again.contains(id)
        });
        none("I2 no contact is charged twice", &twice.collect::<Vec<_>>())
    }

    /// I3
    async fn bookings_cover_what_was_charged(&mut self) -> Checked {
        let booked: Vec<(i64,)> = self.all("select coalesce(sum(credits), 0) from ledger").await;
        let (booked, charged) = (booked[0].0, self.accounting.charged_total);
        let missing = charged > booked && !self.allowed.restored && !self.allowed.price_differs;
        let found = missing.then(|| format!("charged {charged}, booked or held {booked}"));
        none("I3 bookings cover what was charged", found.as_slice())
    }

    /// I4
    async fn no_request_commits_more_than_was_allowed(&mut self) -> Checked {
        let above = self.terms.approve_above;
        let found: Vec<(i64, i64, Option<i64>, Option<i64>)> = self
            .all(&format!(
                "select id, committed_credits, max_credits, approved_credits from requests
                 where (committed_credits > max_credits and committed_credits > 0)
                    or (committed_credits > {above} and committed_credits > coalesce(approved_credits, 0))"
            ))
            .await;
        none("I4 no request commits more than its max_credits and what was approved", &found)
    }

    /// I5
    async fn every_request_has_an_end_or_waits_visibly(&mut self) -> Checked {
        let silent: Vec<(i64, String)> = self
            .all(
                "select id, status from requests r where (status = 'awaiting_approval' and reason is null)
                 or (status = 'accepted'
                     and not exists (select 1 from items i where i.request_id = r.id and i.state <> 'done')
                     and not (task_id is not null and exists (select 1 from jobs j
                              where j.task_id = r.task_id and j.finished_at is null)))
                 or (finished_at is null) = (status in ('done', 'rejected', 'cancelled'))",
            )
            .await;
        none("I5 every request has an end or waits for something", &silent)
    }

    async fn no_contact_waits_for_a_job_that_has_ended(&mut self) -> Checked {
        let stuck: Vec<(i64, String, String, i64)> = self
            .all(
                "select i.request_id, i.personnel_id, j.state, j.id from items i join jobs j on j.id = i.job_id
                 where i.state = 'assigned' and j.finished_at is not null",
            )
            .await;
        none("I5 no contact waits for a job that has ended", &stuck)
    }

    async fn the_inbox_shows_every_status(&mut self) -> Checked {
        let behind: Vec<(i64, String)> =
            self.all("select id, status from requests where inbox_is_behind = 1").await;
        none("I5 the inbox shows every status", &behind)
    }

    /// I6
    async fn delivered_means_that_the_value_is_there(&mut self) -> Checked {
        type Row = (String, String, String, Option<String>, Option<String>);
        let mut rows: Vec<Row> =
            self.all("select personnel_id, action, outcome, email, phone from contact_outcomes").await;
        rows.retain(|(id, action, outcome, email, phone)| {
            let right = match (outcome.as_str(), action.as_str()) {
                ("delivered", "unlock_contact_emails") => (Some(format!("contact-{id}@example.com")), None),
                ("delivered", _) => (None, Some(format!("+1-555-01{id}"))),
                _ => (None, None),
            };
            let erased = email.is_none() && phone.is_none() && self.allowed.erased.contains(id);
            let own = self.allowed.own_values && email.is_some() != phone.is_some() && outcome == "delivered";
            (email, phone) != (&right.0, &right.1) && !erased && !own
        });
        none("I6 delivered means that the value is there", &rows)
    }

    /// I7: of the texts that are stored to be shown.
    async fn no_personal_data_is_in_the_timeline(&mut self) -> Checked {
        let found: Vec<(String,)> = self
            .all(
                "select text from (select detail as text from request_events union all
                                   select evidence from jobs union all select reason from requests) as texts
                 where text like '%@%' or text like '%+1-555%' or text like '%uak!_%' escape '!'",
            )
            .await;
        none("I7 no key, email or phone is in a timeline", &found)
    }

    async fn no_replaced_worker_sends(&mut self) -> Checked {
        let found: Vec<(i64, i64)> = self
            .all(
                "select a.id, a.lease_token from attempts a
                 where exists (select 1 from attempts b where b.id < a.id and b.lease_token > a.lease_token)",
            )
            .await;
        none("a worker that was replaced sends nothing more", &found)
    }

    /// I9: as the sandbox counts, and in any 60 s, for each key and for all together: they come from one IP, which has
    /// five times the calls of a key.
    fn the_limit_is_kept(&self) -> Checked {
        const NAME: &str = "I9 the rate limit is kept";
        let turned_away = |call: &&Call| call.status == Some(429) && call.fault.is_none();
        let overrun: Vec<&Call> = self.calls.iter().filter(turned_away).collect();
        if !self.allowed.turned_away {
            none(NAME, &overrun)?;
        }
        let Some(per_minute) = self.terms.per_minute else { return Ok(()) };
        let keys: BTreeSet<_> = self.calls.iter().map(|call| Some(&call.key)).chain([None]).collect();
        for key in keys {
            let counts = |call: &&Call| key.is_none_or(|key| call.key == *key);
            let at: Vec<i64> = self.calls.iter().filter(counts).map(|call| call.at_ms).collect();
            let limit = if key.is_some() { per_minute } else { 5 * per_minute };
            let crowded = at.windows(limit + 1).find(|window| window[limit] - window[0] < 60_000);
            let found = crowded.map(|window| format!("{} calls from {} on", window.len(), window[0]));
            none(NAME, found.as_slice())?;
        }
        Ok(())
    }

    /// I10: holds and releases of a job sum to zero once its result is known.
    async fn holds_are_released(&mut self) -> Checked {
        let wrong: Vec<(i64, String, i64)> = self
            .all(
                "select j.id, j.state || coalesce(' ' || j.state_reason, ''), sum(l.credits) as held
                 from jobs j join ledger l on l.job_id = j.id and l.entry <> 'charge' group by j.id
                 having sum(l.credits) <> case when j.state = 'submitting' or (j.state = 'in_doubt'
                     and j.state_reason <> 'carried_out') then j.cost else 0 end",
            )
            .await;
        none("I10 holds of a job that was decided are released", &wrong)
    }

    async fn charges_are_divided_exactly(&mut self) -> Checked {
        let wrong: Vec<(i64, i64, i64)> = self
            .all(
                "select l.id, l.credits, coalesce(sum(p.credits), 0) as parts
                 from ledger l left join charge_parts p on p.ledger_id = l.id
                 where l.entry = 'charge' group by l.id having coalesce(sum(p.credits), 0) <> l.credits",
            )
            .await;
        none("I10 the parts of each charge sum to it", &wrong)
    }

    /// The last change of a contact says what became of it, unless `retention.history` has removed it.
    async fn changes_tell_every_outcome(&mut self) -> Checked {
        let wrong: Vec<(i64, String)> = self
            .all(
                "select i.id, i.outcome from items i
                 where i.action in ('unlock_contact_emails', 'unlock_contact_phones') and i.outcome <> 'pending'
                   and i.outcome is distinct from (select outcome from changes c where c.item_id = i.id
                                                   order by seq desc limit 1)
                   and (exists (select 1 from changes c where c.item_id = i.id)
                        or (select min(seq) from changes) = 1)",
            )
            .await;
        none("I10 the last change of each contact is its outcome", &wrong)
    }

    async fn every_attempt_has_an_end(&mut self) -> Checked {
        let open: Vec<(i64, String)> = self
            .all(
                "select a.id, j.state from attempts a join jobs j on j.id = a.job_id
                 where a.finished_at is null and j.state <> 'submitting'",
            )
            .await;
        none("I10 every attempt of a job that is not being sent has an end", &open)
    }

    async fn windows_fit_their_jobs(&mut self) -> Checked {
        let wrong: Vec<(i64, String)> = self
            .all(
                "select j.id, j.state from jobs j left join windows w on w.id = j.window_id
                 where (j.state in ('submitting', 'polling') and j.adopted = 0
                        and (w.id is null or w.closed_at is not null))
                    or (j.state in ('queued', 'rejected', 'cancelled') and j.window_id is not null
                        -- One that was sent before, without an answer, and was taken back.
                        and not exists (select 1 from ledger l where l.job_id = j.id and l.entry = 'charge'))",
            )
            .await;
        none("I10 running jobs are in an open window, uncharged ones that are not sent in none", &wrong)?;
        let unsettled: Vec<(i64,)> = self
            .all(
                "select distinct job_id from ledger l join jobs j on j.id = l.job_id
                 where entry = 'charge' and credits > 0 and window_id is null",
            )
            .await;
        none("I10 every charge is in a window that settles it", &unsettled)
    }

    async fn the_file_is_sound(&mut self) -> Checked {
        if matches!(self.state, Db::Postgres(_)) {
            return Ok(());
        }
        let mut problems: Vec<(String,)> = self.all("pragma integrity_check").await;
        problems.retain(|(problem,)| problem != "ok");
        problems.extend(self.all::<(String,)>("select \"table\" from pragma_foreign_key_check").await);
        none("I10 the file is sound", &problems)
    }

    /// Promise 2.
    async fn no_poll_comes_before_its_step(&mut self) -> Checked {
        let accepted = "select request_id, task_id from attempts join jobs on jobs.id = job_id where task_id is not null";
        let task_of: HashMap<String, String> =
            self.all::<(String, String)>(accepted).await.into_iter().collect();
        let began = paid_posts(&self.calls).into_iter().filter(|post| post.status == Some(201));
        let mut last: HashMap<String, i64> = began
            .filter_map(|post| {
                let task = task_of.get(post.request_id.as_ref()?)?;
                Some((format!("{}-tasks/{task}", post.path), post.at_ms))
            })
            .collect();
        let mut early = Vec::new();
        for poll in self.calls.iter().filter(|call| call.path.contains("-tasks/")) {
            // A poll that was refused, or whose answer was lost by a crash or the network, does not count. One of a
            // worker that died may arrive after one of its successor.
            let heard = !self.allowed.unheard.contains(poll.request_id.as_deref().unwrap_or_default());
            let gap = last.get(&poll.path).map(|before| poll.at_ms - before);
            let is_early = gap.is_some_and(|gap| gap < self.terms.shortest_step_ms);
            if is_early && heard && !self.allowed.restored {
                early.push(format!("{} again after {gap:?} ms", poll.path));
            }
            if heard && poll.status == Some(200) && poll.fault.is_none() {
                last.insert(poll.path.clone(), poll.at_ms);
            }
        }
        none("no poll comes before its step", &early)
    }
}

fn digest_of(post: &Call) -> String {
    if post.method == "GET" {
        let url = reqwest::Url::parse(&format!("http://sandbox{}", post.path)).expect("a path");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let page = query["page"].parse().expect("a page");
        let (action, query) = (Action::SearchPersonnelEvents, query["person_name"].clone());
        return direct_body(&Direct::Search { action, query, page }).digest().to_owned();
    }
    if post.path.contains("/events/") {
        let event = Direct::Event { layers: Layers::Base, event_id: EventId::trusted("any") };
        return direct_body(&event).digest().to_owned();
    }
    if let Some(query) = post.body["company_name"].as_str() {
        let page = post.body["page"].as_u64().and_then(|page| u32::try_from(page).ok()).unwrap_or(0);
        let search = Direct::Search { action: Action::SearchExhibitorEvents, query: query.to_owned(), page };
        return direct_body(&search).digest().to_owned();
    }
    let ids: Vec<PersonnelId> = sent(post).into_iter().map(PersonnelId::trusted).collect();
    let event = post.body["event_id"].as_str().map(EventId::trusted);
    unlock_body(&ids, event.as_ref()).digest().to_owned()
}
