//! Random faults, and the person who makes the decisions that the worker asks for.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use sqlx::SqliteConnection;
use unlockd::sandbox::Fault;

use crate::support::Place;

/// What may go wrong with a call; submissions have most faults. `late` stays below the time of the four
/// checks that prove that a submission had no effect: a call that arrives after that looks like one that
/// never arrives.
const FAULTS: [&str; 43] = [
    "lost-answer@unlock",
    "lost-answer=reset@unlock",
    "lost-answer=truncate@unlock",
    "lost-answer=500@unlock",
    "lost-answer=502@unlock",
    "lost-answer=timeout@unlock",
    "lost-answer=cut:40@unlock",
    "lost-answer@unlock-phone",
    "lost-answer=timeout@unlock-phone",
    "lost-request@unlock",
    "lost-request=reset@unlock",
    "lost-request@unlock-phone",
    "late=2s@unlock",
    "late=1s@unlock-phone",
    "broken=html@unlock",
    "broken=empty@unlock",
    "broken=types@unlock",
    "broken=truncated@unlock",
    "status=500@unlock",
    "status=503@unlock",
    "status=409@unlock",
    "429=2@unlock",
    "redirect=http://127.0.0.1:9/@unlock",
    "200-error=5:USER_CONCURRENCY_LIMIT_EXCEEDED@unlock",
    "lost-answer@poll",
    "lost-answer=timeout@poll",
    "broken=html@poll",
    "broken=strangers@poll",
    "broken=unknown@poll",
    "broken=huge@poll",
    "2x:status=503@poll",
    "429=2@poll",
    "429=none@poll",
    "slow=700ms@poll",
    "lost-answer@balance",
    "broken=types@balance",
    "status=500@balance",
    "broken=types@precheck",
    "lost-answer@precheck",
    "3x:status=502@profile",
    "lost-answer@event",
    "lost-answer@search",
    "lost-request@search",
];

pub(super) fn fault(random: &mut Rng) -> Fault {
    FAULTS[random.usize(..FAULTS.len())].parse().expect("a fault")
}

/// The vendor's key is rotated; the key file follows a little later.
pub(super) async fn rotate_key(place: &Place, random: &mut Rng) {
    let key = format!("uak_soak_{:08x}", random.u32(..));
    place.sandbox.set_api_key(Some(key.clone()));
    tokio::time::sleep(Duration::from_millis(random.u64(..400))).await;
    let (file, new) = (place.path("key"), place.path("key.new"));
    std::fs::write(&new, key).expect("a new key");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&new, mode).expect("its mode");
    std::fs::rename(new, file).expect("the new key is in place");
}

/// Decides on every job that waits for a person, by the vendor's own books. Returns how many.
pub(super) async fn decide(place: &Place, connection: &mut SqliteConnection) -> u32 {
    // What a precheck cannot rule out after the database was replaced waits for a person.
    let restored = "select count(*) from accounts where paused_at = restored_at";
    if place.number(connection, restored).await > 0 {
        let status = place.command().arg("resume").status().expect("it runs");
        assert!(status.success(), "resume: {status}");
    }
    let jobs: Vec<(i64, i64)> = sqlx::query_as(
        "select id, coalesce(cost, 0) from jobs where state = 'in_doubt' and state_reason = 'needs_decision'",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("jobs");
    for (job, cost) in &jobs {
        let ids: Vec<String> = sqlx::query_scalar("select request_id from attempts where job_id = ?1")
            .bind(job)
            .fetch_all(&mut *connection)
            .await
            .expect("attempts");
        let attempts: BTreeSet<String> = ids.into_iter().collect();
        let carried_out =
            place.sandbox.journal().iter().any(|call| {
                call.carried_out && call.request_id.as_ref().is_some_and(|id| attempts.contains(id))
            });
        let decision = match carried_out {
            true => "--write-off".to_owned(),
            false => format!("--resubmit --credits {cost}"),
        };
        let mut command = place.command();
        command.args(["resolve", &job.to_string()]).args(decision.split(' '));
        let status = command.status().expect("it runs");
        assert!(status.success(), "resolve {job} {decision}: {status}");
    }
    jobs.len() as u32
}
