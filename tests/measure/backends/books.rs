//! When everything has ended: all that was asked for is there, and the ledger says what the sandbox's books say. And the
//! person who reads those books where reading alone settled nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::backends::producer::Producer;
use crate::db::Db;
use crate::invariants::{Allowed, Evidence, Terms};
use crate::support::{Place, count};

const UNFINISHED: &str = "select (select count(*) from inbox where finished_at is null)
                               + (select count(*) from requests where inbox_is_behind = 1)";
const SETTLES_WITHIN: Duration = Duration::from_secs(240);

/// Decides on each job that waits for a person. Returns how many; a command whose connection was ended is given again at
/// the next call.
pub(crate) async fn decide(place: &Place, admin: &mut Db) -> u32 {
    let jobs =
        "select id, coalesce(cost, 0) from jobs where state = 'in_doubt' and state_reason = 'needs_decision'";
    let mut decided = 0;
    for (job, cost) in admin.all::<(i64, i64)>(jobs).await {
        let sent = format!("select request_id from attempts where job_id = {job}");
        let sent: BTreeSet<String> =
            admin.all::<(String,)>(&sent).await.into_iter().map(|(id,)| id).collect();
        let calls = place.sandbox.journal();
        let was_ours = |id: &Option<String>| id.as_ref().is_some_and(|id| sent.contains(id));
        let decision = match calls.iter().any(|call| call.carried_out && was_ours(&call.request_id)) {
            true => "--write-off".to_owned(),
            false => format!("--resubmit --credits {cost}"),
        };
        let mut command = place.command();
        command.args(["resolve", &job.to_string()]).args(decision.split(' '));
        decided += u32::from(command.status().expect("it runs").success());
    }
    decided
}

/// Once nothing more goes wrong: whether everything has come to its end since then. If not, the person decides what waits
/// for one, the producer writes what it is not sure of, and a moment passes.
pub(crate) async fn has_ended(
    place: &Place,
    admin: &mut Db,
    producer: &mut Producer,
    (since, decisions): (Instant, &mut u32),
) -> Result<bool, String> {
    if !producer.is_unsure() && count(admin, UNFINISHED).await == 0 {
        return Ok(true);
    }
    if since.elapsed() > SETTLES_WITHIN {
        return Err(format!("not everything came to its end within {SETTLES_WITHIN:?}"));
    }
    *decisions += decide(place, admin).await;
    if producer.is_unsure() {
        producer.write().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    Ok(false)
}

pub(crate) async fn agree(place: &Place, admin: &mut Db, producer: &Producer) -> Result<(), String> {
    let accounting = place.sandbox.accounting();
    let expected: [(&str, i64, &str); 5] = [
        ("select count(*) from inbox", producer.rows, "rows"),
        ("select count(*) from inbox where status <> 'done'", 0, "rows that are not done"),
        ("select count(*) from contact_outcomes where outcome <> 'delivered'", 0, "contacts not delivered"),
        ("select count(*) from action_results where outcome not like '%unlocked'", 0, "events not unlocked"),
        ("select coalesce(sum(credits), 0) from ledger where entry <> 'charge'", 0, "credits still held"),
    ];
    for (sql, right, what) in expected {
        let found = admin.one::<(i64,)>(sql).await.0;
        if found != right {
            return Err(format!("{found} {what}, not {right}"));
        }
    }
    let booked = admin.one::<(i64,)>("select coalesce(sum(credits), 0) from ledger").await.0;
    if booked != accounting.charged_total {
        return Err(format!("charged {}, booked {booked}", accounting.charged_total));
    }
    if let Some((id, channel)) =
        producer.asked.keys().find(|contact| !accounting.charges.contains_key(*contact))
    {
        return Err(format!("contact {id} ({channel}) was delivered and never charged"));
    }
    if accounting.charges.len() != producer.asked.len() {
        return Err("contacts were bought that nobody asked for".to_owned());
    }
    let evidence = Evidence {
        state: admin,
        calls: place.sandbox.journal(),
        accounting,
        allowed: &Allowed::default(),
        terms: Terms { shortest_step_ms: 0, per_minute: None, approve_above: 1_000_000 },
    };
    evidence.check().await.map_err(|violation| violation.to_string())
}
