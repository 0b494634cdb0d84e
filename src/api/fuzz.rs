//! Fuzz tests of the parsers for data from outside: see `crate::fuzz`.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::classify::ErrorBody;
use super::{direct, headers, people, precheck, task, wire};
use crate::domain::division::Submission;
use crate::domain::pacing;
use crate::domain::task::ItemStatus;
use crate::domain::{Channel, EventId, Millis, PersonnelId, TaskId};

const A_DAY_MS: i64 = 86_400_000;

/// No answer makes a parser panic, and every parsed result is valid.
#[test]
fn fuzz_answers() {
    let (task_id, contact, event) =
        (TaskId::trusted("321"), PersonnelId::trusted("789"), EventId::trusted("7"));
    crate::fuzz::run("answers", |bytes| {
        let _ = (wire::balance(bytes), precheck::quote(bytes), ErrorBody::of_error_status(bytes));
        let _ =
            (direct::event_unlock(bytes, &event), direct::search_page(bytes), direct::personnel_page(bytes));
        let _ = ErrorBody::behind_success(bytes).map(|body| body.code());
        if let Ok(Submission::Accepted { task_id, .. }) = wire::submission(bytes) {
            assert!(TaskId::parse(task_id.as_str()).is_some(), "a task id that could change a path");
        }
        for channel in [Channel::Email, Channel::Phone] {
            let items =
                task::read(bytes, channel, &task_id).ok().and_then(|view| view.items).unwrap_or_default();
            for id in items.iter().filter_map(|item| item.personnel_id.as_ref()) {
                assert!(PersonnelId::parse(id.as_str()).is_some(), "a contact that could change a path");
            }
            for item in items.iter().filter(|item| item.status == ItemStatus::Unlocked) {
                let value = item.value.as_ref().map(|value| value.expose());
                assert!(value.is_none_or(is_usable), "delivered: {value:?}");
            }
            let listed = people::page(bytes, channel).map(|page| page.people).unwrap_or_default();
            for person in listed {
                assert!(
                    PersonnelId::parse(person.personnel_id.as_str()).is_some(),
                    "a contact that changes a path"
                );
                assert!(person.view.value.is_none_or(|value| is_usable(value.expose())));
            }
            let profile = wire::profile(bytes, channel, &contact).ok().and_then(|view| view.value);
            assert!(profile.as_ref().is_none_or(|value| is_usable(value.expose())));
        }
    });
}

fn is_usable(value: &str) -> bool {
    !value.trim().is_empty() && !value.contains(['*', '\0']) && value.len() <= 16_384
}

/// For any headers, a wait is between zero and one day, and a limit is at least one.
#[test]
fn fuzz_headers() {
    crate::fuzz::run("headers", |bytes| {
        let mut map = HeaderMap::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) =
                (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(&line[at + 1..]));
            if let (Ok(name), Ok(value)) = (name, value) {
                map.append(name, value);
            }
        }
        for now in [Millis(0), Millis(1_767_225_600_000), Millis(i64::MAX / 2)] {
            let asked = headers::retry_after_ms(&map, now);
            let wait = pacing::rate_limit_pause_ms(asked);
            assert!((0..=A_DAY_MS).contains(&wait), "{asked:?} is a wait of {wait} ms");
            if let headers::Limit::Told(rate) = headers::rate(&map, now, 0) {
                assert!(rate.limit > 0 && rate.remaining <= rate.limit, "{rate:?}");
                assert!(rate.resets_at.since(now).abs() <= A_DAY_MS, "{rate:?}");
            }
            let _ = headers::ahead_ms(&map, now);
        }
    });
}
