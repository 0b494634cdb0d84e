//! Which workers run: one for the whole database, or several that share it.

use crate::cli::findings::Findings;
use crate::clock::Clock;
use crate::store::postgres::members::{self, Members};
use crate::store::report::Time;
use crate::store::{Store, lease};

pub(super) async fn workers(findings: &mut Findings, store: &Store) {
    match members::read(store).await {
        Ok(Some(seen)) if !seen.workers.is_empty() => return together(findings, &seen),
        Ok(_) => {}
        Err(error) => return findings.problem("worker", error.to_string(), 1),
    }
    match lease::read(store).await {
        Ok(row) if row.is_alive(Clock::real().now()) => {
            // A worker that was killed counts as running until its lease has run out.
            let silent_s = row.silent_ms(Clock::real().now()) / 1_000;
            let text = format!("running, process {}, last sign of life {silent_s} s ago", row.pid);
            match silent_s * 1_000 > 2 * lease::RENEW_EVERY_MS {
                false => findings.ok("worker", text),
                true => findings.warn("worker", text, "check again: it may have died"),
            }
        }
        Ok(_) => findings.warn("worker", "none is running, so nothing is bought", "unlockd run"),
        Err(error) => findings.problem("worker", error.to_string(), 1),
    }
}

/// One line for each worker that lives, then what is wrong among them.
fn together(findings: &mut Findings, seen: &Members) {
    for worker in &seen.workers {
        let served = seen.owners.iter().filter(|owner| owner.worker.as_ref() == Some(&worker.worker));
        let served: Vec<String> = served.map(|owner| owner.title()).collect();
        let serves = if served.is_empty() { "no owner yet".to_owned() } else { served.join(", ") };
        let text = format!(
            "on {}, process {}, version {}: serves {serves}",
            worker.host, worker.pid, worker.version
        );
        match seen.silent_since(worker) {
            None => findings.ok("worker", text),
            Some(since) => findings.warn(
                "worker",
                format!("{text}; it does not answer since {}", Time(since)),
                "look at that machine: another worker takes its owners when its lease ends",
            ),
        }
    }
    for gone in &seen.gone {
        findings.warn(
            "worker",
            format!("on {}, process {}: gone, last seen at {}", gone.host, gone.pid, gone.seen_at),
            "start it again, if it is missed",
        );
    }
    for owner in seen.owners.iter().filter(|owner| owner.worker.is_none()) {
        findings.warn(
            "worker",
            format!("none serves {}: nothing of it is bought or polled", owner.title()),
            "start a worker that has its key",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::members::{Gone, Served, Worker};

    #[test]
    fn each_worker_is_named_with_its_host_and_what_it_serves() {
        let served = |owner: &str, worker: Option<&str>| Served {
            owner: owner.to_owned(),
            worker: worker.map(str::to_owned),
            host: worker.map(|_| "b-host".to_owned()),
            taken_at: None,
            left_ms: 1,
        };
        let seen = Members {
            owners: vec![served("", Some("w1")), served("acme", Some("w1")), served("emea", None)],
            workers: vec![
                Worker::named("w1", "b-host", 41, 99_000),
                Worker::named("w2", "c-host", 42, 1_000),
            ],
            gone: vec![Gone { host: "d-host".to_owned(), pid: 43, seen_at: Time(5) }],
            now: 100_000,
            is_outdated: false,
        };
        let mut findings = Findings::default();
        together(&mut findings, &seen);
        let said = serde_json::to_value(&findings.0).expect("JSON");
        let lines: Vec<(&str, &str)> = said
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|line| Some((line["level"].as_str()?, line["detail"].as_str()?)))
            .collect();
        assert_eq!(lines.len(), 4, "{said}");
        assert_eq!(lines[0], ("ok", "on b-host, process 41, version 1: serves (inbox), acme"));
        assert!(lines[1].0 == "warn" && lines[1].1.starts_with("on c-host, process 42"), "{said}");
        assert!(lines[2].1.starts_with("on d-host, process 43: gone"), "{said}");
        assert!(lines[3].1.starts_with("none serves emea"), "{said}");
    }
}
