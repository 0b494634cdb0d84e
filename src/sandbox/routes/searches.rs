//! The three searches for a name. Each page is paid for if it contains something.
//!
//! Every page depends only on its parameters, so asking for the same page again returns the same items.

use serde_json::{Map, Value, json};

use super::paging::Paging;
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, invalid, refused};
use crate::sandbox::words::asked::{Asked, object, query, query_text, text};
use crate::sandbox::words::event::Event;
use crate::sandbox::words::results::Refusal;

/// How many items a search for this name finds.
fn found_by(name: &str) -> i64 {
    match name {
        name if name.contains("nobody") => 0,
        name if name.contains("many") => 250,
        _ => 45,
    }
}

fn company(body: &Map<String, Value>) -> Result<&str, Answer> {
    text(body, "company_name", 200)?.ok_or_else(|| invalid("company_name is required"))
}

fn paging(body: &Map<String, Value>) -> Result<Paging, Answer> {
    let number = |field, usual| body.get(field).map_or(Some(usual), Value::as_i64);
    Paging::new(number("page", 1), number("pageSize", 20), 100)
}

/// Sells a page of results.
fn sell(
    world: &mut World,
    (status, paging): (u16, Paging),
    found: &[Value],
    now_ms: i64,
) -> Result<Answer, Answer> {
    let items = paging.part(found).to_vec();
    if !items.is_empty() {
        world.charge_search(now_ms).map_err(refused)?;
    }
    Ok(Answer::new(status, paging.page_of(items, found.len() as i64)))
}

pub(in crate::sandbox) fn search_companies(
    world: &mut World,
    asked: &Asked,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let body = object(asked.body.as_ref())?;
    let (name, paging) = (company(body)?, paging(body)?);
    let found: Vec<Value> = (1..=found_by(name))
        .map(|number| {
            json!({
                "id": (4_000 + number).to_string(),
                "companyName": format!("{name} {number}"),
                "matched_event_ids": [(139_000 + number).to_string()],
            })
        })
        .collect();
    sell(world, (201, paging), &found, now_ms)
}

/// The results of an event search: number, event, and whether the name was an exhibitor, a visitor, or both,
/// in turn.
fn events_of(name: &str, exhibits: &str) -> Vec<Value> {
    let identities = [vec![exhibits], vec![exhibits, "visitor"], vec!["visitor"]];
    (1..=found_by(name))
        .map(|number| {
            let event = Event::named(&(139_000 + number).to_string());
            let (year, month) = (2026 + (number - 1) / 12, (number - 1) % 12 + 1);
            json!({
                "id": event.id(),
                "eventId": event.event_id(),
                "name": format!("{name} at Sandbox Expo {number}"),
                "dateStart": format!("{year}-{month:02}-15"),
                "dateEnd": format!("{year}-{month:02}-18"),
                "hasVisitors": event.has_visitors(),
                "sponsorMatchStarred": number % 2,
                "attendance_identity": identities[(number - 1) as usize % 3],
                "dataSource": "Lensmor",
            })
        })
        .collect()
}

/// Keeps the events of a scope; an undocumented word is an error.
fn keep_scope(found: &mut Vec<Value>, scope: Option<&str>, exhibits: &str) -> Result<(), Answer> {
    let is = |event: &Value, word: &str| {
        let identities = event["attendance_identity"].as_array();
        identities.is_some_and(|identities| identities.iter().any(|identity| identity == word))
    };
    match scope {
        None | Some("all") => {}
        Some("visitor") => found.retain(|event| !is(event, exhibits)),
        Some(word) if word == exhibits => found.retain(|event| is(event, exhibits)),
        Some(_) => return Err(invalid(&format!("attendance_scope is all, {exhibits} or visitor"))),
    }
    Ok(())
}

pub(in crate::sandbox) fn search_events(
    world: &mut World,
    asked: &Asked,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let body = object(asked.body.as_ref())?;
    let (name, paging) = (company(body)?, paging(body)?);
    if name.contains("concurrent") {
        return Err(refused(Refusal::TooManyAtOnce));
    }
    let scope = body.get("attendance_scope").map(|word| word.as_str().unwrap_or_default());
    let mut found = events_of(name, "exhibitor");
    keep_scope(&mut found, scope, "exhibitor")?;
    match body.get("sponsor_match_starred").map(Value::as_i64) {
        None => {}
        Some(Some(starred @ 0..=1)) => found.retain(|event| event["sponsorMatchStarred"] == starred),
        Some(_) => return Err(invalid("sponsor_match_starred is 0 or 1")),
    }
    for event in &mut found {
        let exhibits = event["attendance_identity"][0] == "exhibitor";
        let matched = json!([{ "id": "4001", "companyName": name }]);
        event["matchedExhibitors"] = if exhibits { matched } else { json!([]) };
    }
    // Newest first.
    found.reverse();
    sell(world, (201, paging), &found, now_ms)
}

pub(in crate::sandbox) fn events_by_name(
    world: &mut World,
    asked: &Asked,
    now_ms: i64,
) -> Result<Answer, Answer> {
    if !world.subscribed {
        return Err(refused(Refusal::NoSubscription));
    }
    let Some(name) = query_text(asked, "person_name", 200)? else {
        return Err(invalid("person_name is required"));
    };
    let paging = Paging::of(asked, 20, 100)?;
    if name.contains("concurrent") {
        return Err(refused(Refusal::TooManyAtOnce));
    }
    let mut found = events_of(name.trim(), "exhibitor_employee");
    keep_scope(&mut found, query(asked, "attendance_scope"), "exhibitor_employee")?;
    let from = date(asked, "date_start_from")?.unwrap_or("2026-01-01");
    let to = date(asked, "date_start_to")?.unwrap_or("9999-12-31");
    found.retain(|event| event["dateStart"].as_str().is_some_and(|day| (from..=to).contains(&day)));
    sell(world, (200, paging), &found, now_ms)
}

/// A day like `2026-12-31`: as texts they compare correctly.
fn date<'a>(asked: &'a Asked, name: &str) -> Result<Option<&'a str>, Answer> {
    let is_date = |text: &str| {
        text.len() == 10
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    match query(asked, name) {
        Some(text) if !is_date(text) => Err(invalid(&format!("{name} is a date, as 2026-12-31"))),
        found => Ok(found),
    }
}
