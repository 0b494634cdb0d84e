//! Polls compared with their schedule: how late they come, and that none comes early or after the end.
//!
//! The schedule is read from the database ten times a second. A task's due time only moves forward and its
//! end is final, so the last reading before a poll is a safe bound for that poll.

use std::collections::HashMap;

use sqlx::SqliteConnection;
use unlockd::sandbox::Sandbox;

/// Worker and sandbox use the same clock, but round differently.
const TOLERANCE_MS: i64 = 5;
/// Tasks that ended this long ago are forgotten.
const FORGET_MS: i64 = 180_000;

/// A reading: the time by which it was made, and when the task is due, if it is running.
type Look = (i64, Option<i64>);

#[derive(Default)]
pub(super) struct Polls {
    tasks: HashMap<String, Vec<Look>>,
    judged_until_ms: i64,
}

/// Poll time minus due time.
#[derive(Default)]
pub(super) struct Lateness {
    pub(super) polls: usize,
    pub(super) p50_ms: i64,
    pub(super) p99_ms: i64,
}

impl Polls {
    pub(super) async fn look(&mut self, connection: &mut SqliteConnection, sandbox: &Sandbox) {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("select task_id, next_poll_at from jobs where state = 'polling'")
                .fetch_all(connection)
                .await
                .expect("the schedule");
        let (now, due) = (sandbox.now_ms(), rows.into_iter().collect::<HashMap<_, _>>());
        for (task, looks) in &mut self.tasks {
            let seen = due.get(task).copied();
            if looks.last().is_some_and(|(_, before)| *before != seen) {
                looks.push((now, seen));
            }
        }
        for (task, due) in due {
            self.tasks.entry(task).or_insert_with(|| vec![(now, Some(due))]);
        }
    }

    /// Nothing is judged until then: the schedule was written by a clock that the sandbox does not share.
    pub(super) fn not_before(&mut self, at_ms: i64) {
        self.judged_until_ms = at_ms;
    }

    /// Judges the polls since the last call.
    pub(super) fn since_the_last_minute(&mut self, sandbox: &Sandbox) -> Result<Lateness, String> {
        let (now, mut late) = (sandbox.now_ms(), Vec::new());
        for call in sandbox.journal() {
            if call.at_ms < self.judged_until_ms || call.at_ms >= now || !call.path.contains("-tasks/") {
                continue;
            }
            let task = call.path.rsplit('/').next().unwrap_or_default();
            let looks = self.tasks.get(task).map_or(&[][..], Vec::as_slice);
            match looks.iter().rev().find(|(seen_at, _)| *seen_at < call.at_ms) {
                Some((_, Some(due))) if call.at_ms + TOLERANCE_MS < *due => {
                    return Err(format!("task {task} was polled {} ms before its step", due - call.at_ms));
                }
                Some((seen_at, None)) => {
                    return Err(format!("task {task} was polled {} ms after its end", call.at_ms - seen_at));
                }
                Some((_, Some(due))) => late.push(call.at_ms - due),
                // Polled before the schedule was read for the first time.
                None => {}
            }
        }
        self.judged_until_ms = now.max(self.judged_until_ms);
        self.tasks
            .retain(|_, looks| looks.last().is_some_and(|look| look.1.is_some() || look.0 > now - FORGET_MS));
        late.sort_unstable();
        let quantile = |share: f64| late.get(((late.len().max(1) - 1) as f64 * share) as usize).copied();
        Ok(Lateness {
            polls: late.len(),
            p50_ms: quantile(0.5).unwrap_or_default(),
            p99_ms: quantile(0.99).unwrap_or_default(),
        })
    }
}
