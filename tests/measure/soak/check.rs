//! The invariants that are checked while everything runs, and those for the end.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use fastrand::Rng;
use sqlx::{Row as _, SqliteConnection};
use unlockd::sandbox::{Call, Channel, Sandbox};

use crate::support::Place;

/// Texts that must not be in the log: keys, emails and phones as the sandbox makes them.
const SECRETS: [&str; 3] = ["uak_", "@example.com", "+1-555-01"];
/// The sandbox's limit; a short window, since a 429 without Retry-After may close a whole one.
pub(super) const LIMIT: usize = 200;
pub(super) const WINDOW: Duration = Duration::from_secs(10);
const UNDER_WAY_MS: i64 = 500;

/// A row for the inbox.
pub(super) struct Row {
    pub(super) action: &'static str,
    pub(super) event_id: Option<String>,
    pub(super) personnel_ids: Option<String>,
    pub(super) query: Option<&'static str>,
}

impl Row {
    fn of(action: &'static str, event_id: Option<String>) -> Row {
        Row { action, event_id, personnel_ids: None, query: None }
    }
}

/// Ids end in two digits that determine the outcome; from 90 on, something unusual happens.
#[derive(Default)]
pub(super) struct Checker {
    next_stem: u64,
    asked_for: Vec<String>,
}

impl Checker {
    /// The next row: mostly up to eight new contacts with any ending; sometimes an ordinary one that was
    /// requested before, which must not be bought again; at times an event or a search.
    pub(super) fn next_row(&mut self, random: &mut Rng) -> Row {
        let event = |id: u64| Some(format!("{id}00"));
        match random.u32(0..23) {
            0 => return Row::of("unlock_event_contacts", event(random.u64(1..50))),
            20 => return Row::of("unlock_event_visitors", event(random.u64(1..50))),
            21 => return Row::of("unlock_event_full_access", event(random.u64(1..50))),
            22 => return Row { query: Some("Ada Example"), ..Row::of("search_personnel_events", None) },
            1 => return Row { query: Some("Acme many"), ..Row::of("search_exhibitor_companies", None) },
            2 => return Row { query: Some("Acme"), ..Row::of("search_exhibitor_events", None) },
            _ => {}
        }
        let mut ids = Vec::new();
        for _ in 0..random.u32(1..=8) {
            self.next_stem += 1;
            let ending = random.u64(0..100);
            let id = format!("{}{ending:02}", 100_000 + self.next_stem);
            if ending < 90 {
                self.asked_for.push(id.clone());
            }
            ids.push(id);
        }
        if random.u32(0..4) == 0 && !self.asked_for.is_empty() {
            ids.push(self.asked_for[random.usize(..self.asked_for.len())].clone());
        }
        let phones = random.u32(0..5) == 0;
        let action = if phones { "unlock_contact_phones" } else { "unlock_contact_emails" };
        let ids = serde_json::json!(ids).to_string();
        Row { personnel_ids: Some(ids), ..Row::of(action, Some("139574".to_owned())) }
    }

    /// Contacts and credits charged so far.
    pub(super) fn charged(&self, sandbox: &Sandbox) -> (u32, i64) {
        let accounting = sandbox.accounting();
        (accounting.charges.len() as u32, accounting.charged_total)
    }

    pub(super) async fn check(&self, place: &Place, connection: &mut SqliteConnection) -> Result<(), String> {
        // The vendor's figures are read first: what it had charged by then was booked before.
        let (accounting, journal) = (place.sandbox.accounting(), place.sandbox.journal());
        for ((id, channel), charge) in &accounting.charges {
            if charge.times != 1 {
                return Err(format!("contact {id} ({channel}) was charged {} times (I2)", charge.times));
            }
        }
        let booked = number(connection, "select coalesce(sum(credits), 0) from ledger").await;
        if accounting.charged_total > booked {
            return Err(format!("charged {}, booked or held {booked} (I3)", accounting.charged_total));
        }
        every_post_has_an_attempt(&journal, connection).await?;
        the_limit_was_kept(&journal)?;
        for (sql, meaning) in NEVER {
            let found = number(connection, sql).await;
            if found != 0 {
                return Err(format!("{found} {meaning}"));
            }
        }
        delivered_values_are_right(connection).await?;
        let sound: String = sqlx::query_scalar("pragma integrity_check")
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| error.to_string())?;
        if sound != "ok" {
            return Err(format!("integrity_check says {sound} (I10)"));
        }
        no_secret_was_logged(place)
    }

    /// Everything has finished: nothing is held, and everything that was requested is accounted for.
    pub(super) async fn check_the_end(
        &self,
        place: &Place,
        connection: &mut SqliteConnection,
    ) -> Result<(), String> {
        let held = "select coalesce(sum(credits), 0) from ledger where entry <> 'charge'";
        let held = number(connection, held).await;
        if held != 0 {
            return Err(format!("{held} credits are still held (I3)"));
        }
        let pending = "select count(*) from items where state <> 'done'";
        if number(connection, pending).await != 0 {
            return Err("a request is done and one of its contacts is not (I5)".to_owned());
        }
        let known: HashSet<String> = sqlx::query_scalar("select personnel_id from items")
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| error.to_string())?
            .into_iter()
            .collect();
        if let Some(lost) = self.asked_for.iter().find(|id| !known.contains(*id)) {
            return Err(format!("contact {lost} was asked for and is nowhere (I5)"));
        }
        outcomes(place, connection).await
    }
}

/// Counted by SQL; each must be zero.
const NEVER: [(&str, &str); 5] = [
    ("select count(*) from pragma_foreign_key_check", "rows refer to nothing (I10)"),
    (
        "select count(*) from items i join jobs j on j.id = i.job_id
         where i.state = 'assigned' and j.finished_at is not null",
        "contacts wait for a job that has ended (I5)",
    ),
    (
        "select count(*) from requests r where status = 'accepted' and task_id is null
           and not exists (select 1 from items i where i.request_id = r.id and i.state <> 'done')",
        "requests wait for nothing (I5)",
    ),
    (
        "select count(*) from (select j.id from jobs j join ledger l on l.job_id = j.id and l.entry <> 'charge'
         group by j.id having sum(l.credits) <> iif(j.state = 'submitting' or (j.state = 'in_doubt'
             and j.state_reason <> 'carried_out'), j.cost, 0))",
        "jobs hold what they should not, or not what they should (I10)",
    ),
    (
        "select count(*) from attempts a join jobs j on j.id = a.job_id
         where a.finished_at is null and j.state <> 'submitting'",
        "attempts have no end (I1)",
    ),
];

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(connection).await.expect(sql)
}

/// I1: and no attempt was sent twice.
async fn every_post_has_an_attempt(
    journal: &[Call],
    connection: &mut SqliteConnection,
) -> Result<(), String> {
    let ids: Vec<String> = sqlx::query_scalar("select request_id from attempts")
        .fetch_all(connection)
        .await
        .map_err(|error| error.to_string())?;
    let mut attempts: BTreeSet<String> = ids.into_iter().collect();
    let is_post = |call: &Call| call.method == "POST" && !call.path.contains("/precheck");
    let paid = |call: &&Call| is_post(call) || call.path.contains("/events/by-name?");
    for call in journal.iter().filter(paid) {
        let id = call.request_id.clone().unwrap_or_default();
        if !attempts.remove(&id) {
            return Err(format!("the POST {id} has no attempt of its own (I1)"));
        }
    }
    Ok(())
}

/// I9
fn the_limit_was_kept(journal: &[Call]) -> Result<(), String> {
    if journal.iter().any(|call| call.status == Some(429) && call.fault.is_none()) {
        return Err("the limit was overrun: an unscripted 429 (I9)".to_owned());
    }
    let mut by_key: BTreeMap<&Option<String>, Vec<i64>> = BTreeMap::new();
    for call in journal.iter().filter(|call| call.status != Some(401)) {
        by_key.entry(&call.key).or_default().push(call.at_ms);
    }
    // Counted when they arrive: on a busy machine a call may take a while.
    let window_ms = WINDOW.as_millis() as i64 - UNDER_WAY_MS;
    let overrun = |at: &Vec<i64>| at.windows(LIMIT + 1).any(|calls| calls[LIMIT] - calls[0] < window_ms);
    if by_key.values().any(overrun) {
        return Err(format!("more than {LIMIT} calls in a window (I9)"));
    }
    Ok(())
}

/// I6: a delivered contact has its value until it is erased, and no other contact has one.
async fn delivered_values_are_right(connection: &mut SqliteConnection) -> Result<(), String> {
    let rows = sqlx::query("select personnel_id, action, outcome, email, phone from contact_outcomes")
        .fetch_all(connection)
        .await
        .map_err(|error| error.to_string())?;
    for row in rows {
        let (id, action, outcome): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (email, phone): (Option<String>, Option<String>) = (row.get(3), row.get(4));
        let right = match (outcome.as_str(), action.as_str()) {
            ("delivered", "unlock_contact_emails") => (Some(format!("contact-{id}@example.com")), None),
            ("delivered", _) => (None, Some(format!("+1-555-01{id}"))),
            _ => (None, None),
        };
        if (&email, &phone) != (&None, &None) && (email, phone) != right {
            return Err(format!("contact {id} is {outcome} with a value that is not its own (I6)"));
        }
    }
    Ok(())
}

/// I7. The log is emptied after each check.
fn no_secret_was_logged(place: &Place) -> Result<(), String> {
    let log = place.log();
    if let Some(secret) = SECRETS.iter().find(|secret| log.contains(**secret)) {
        return Err(format!("{secret} is in the log (I7)"));
    }
    std::fs::write(place.path("log"), "").map_err(|error| error.to_string())
}

/// All outcomes are final, and an ordinary contact that was charged was also delivered, unless a person gave
/// it up.
async fn outcomes(place: &Place, connection: &mut SqliteConnection) -> Result<(), String> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("select outcome, count(*) from contact_outcomes group by outcome order by 2 desc")
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| error.to_string())?;
    let words: Vec<String> = rows.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    println!("outcomes: {}", words.join(", "));
    // The views show no more of a request than the retention of the history leaves.
    let rows = sqlx::query(
        "select personnel_id, action from items where state = 'done' and outcome in ('delivered', 'lost')",
    )
    .fetch_all(connection)
    .await
    .map_err(|error| error.to_string())?;
    let ended: HashSet<(String, bool)> =
        rows.iter().map(|row| (row.get(0), row.get::<String, _>(1) == "unlock_contact_phones")).collect();
    for (id, channel) in place.sandbox.accounting().charges.into_keys() {
        let ordinary = id.parse::<u64>().is_ok_and(|number| number % 100 < 90);
        if ordinary && !ended.contains(&(id.clone(), channel == Channel::Phone)) {
            return Err(format!("contact {id} ({channel}) was paid for and is not delivered (I5)"));
        }
    }
    Ok(())
}
