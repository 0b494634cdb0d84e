//! People: single ones, those of an event, and those of a company. All of it is free.
//!
//! Each person is shown with the values that this key's owner has unlocked. Until the event is unlocked, its
//! list shows only its first 50 people, on its first page.

use serde_json::{Value, json};

use super::paging::Paging;
use crate::sandbox::state::credits::EVENT_PRICE;
use crate::sandbox::state::work::Analysis;
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, invalid, refuse, refused};
use crate::sandbox::words::asked::{Asked, query, query_text};
use crate::sandbox::words::contact::{COMPANY, Channel, Fate, Person};
use crate::sandbox::words::event::{Event, Source};
use crate::sandbox::words::results::{ContactState, Refusal};

/// How many people of an event are visible before it is unlocked.
pub(in crate::sandbox) const PREVIEW: usize = 50;
/// People on a page of an event's list: the maximum, and the default.
const MOST_PEOPLE: i64 = 50;
/// The exhibitor that everybody in the sandbox works for.
const EXHIBITOR_ID: &str = "4001";

pub(in crate::sandbox) fn profile(world: &mut World, asked: &Asked, now_ms: i64) -> Result<Answer, Answer> {
    let id = query(asked, "personnel_id").unwrap_or_default();
    if id.is_empty() || id.len() > 20 {
        return Err(invalid("personnel_id is text of 1 to 20 characters"));
    }
    match Fate::of(id) {
        Fate::Invalid | Fate::Missing => Err(refuse(404)),
        _ => Ok(Answer::new(200, contact(world, &Person::of(id), Source::Exhibitor, now_ms))),
    }
}

fn contact(world: &mut World, person: &Person, source: Source, now_ms: i64) -> Value {
    let email = world.contact_state(&person.id, Channel::Email, now_ms);
    let phone = world.contact_state(&person.id, Channel::Phone, now_ms);
    let contact_status = match email {
        ContactState::Unlocked(_) => "unlocked",
        ContactState::Processing if !world.terse_profiles => "processing",
        ContactState::Processing | ContactState::Locked | ContactState::Failed => "locked",
    };
    let phone_status = match phone {
        ContactState::Unlocked(_) => Some("ready"),
        ContactState::Processing if !world.terse_profiles => Some("processing"),
        ContactState::Failed => Some("failed"),
        ContactState::Processing | ContactState::Locked => None,
    };
    let value = |contact_state| match contact_state {
        ContactState::Unlocked(value) => value,
        _ => None,
    };
    json!({
        "id": person.id,
        "fullName": person.full_name,
        "title": person.title,
        "department": person.department,
        "seniorityLevel": person.level,
        "companyName": COMPANY,
        "sourceType": [source.as_str()],
        "email": value(email),
        "phone": value(phone),
        "contactUnlockStatus": contact_status,
        "phoneUnlockStatus": phone_status,
    })
}

pub(in crate::sandbox) fn list(world: &mut World, asked: &Asked, now_ms: i64) -> Result<Answer, Answer> {
    let event_id = query(asked, "event_id").unwrap_or_default();
    if event_id.is_empty() || event_id.chars().count() > 100 {
        return Err(invalid("event_id is text of 1 to 100 characters"));
    }
    let event = Event::named(event_id);
    if !event.exists() {
        return Err(refused(Refusal::EventNotFound));
    }
    let paging = Paging::of(asked, MOST_PEOPLE, MOST_PEOPLE)?;
    let full = world.access.base.is_seen_open(&event, now_ms);
    let mut people: Vec<(Person, Source)> =
        event.people().into_iter().map(|person| (person, Source::Exhibitor)).collect();
    if world.access.visitors.is_seen_open(&event, now_ms) {
        people.extend(event.visitors().into_iter().map(|person| (person, Source::Visitor)));
    }
    keep_matching(&mut people, asked)?;
    let all = people.len();
    let mut answer = if full || paging.page == 1 {
        let visible = if full { &people[..] } else { &people[..all.min(PREVIEW)] };
        let items = listed(world, paging.part(visible), now_ms);
        paging.page_of(items, all as i64)
    } else {
        let mut nothing = paging.page_of(Vec::new(), 0);
        nothing["hasMore"] = json!(false);
        nothing
    };
    answer["semantics"] = semantics(full, all, paging);
    Ok(Answer::new(200, answer))
}

/// Applies the vendor's filters; all others are ignored.
fn keep_matching(people: &mut Vec<(Person, Source)>, asked: &Asked) -> Result<(), Answer> {
    for (name, most) in [("department", 100), ("level", 50), ("search_query", 200), ("sourceType", 200)] {
        query_text(asked, name, most)?;
    }
    let wanted = |name| query(asked, name).filter(|text| !text.is_empty());
    let sources: Vec<&str> = asked
        .query
        .iter()
        .filter(|(name, _)| name == "sourceType")
        .flat_map(|(_, value)| value.split(','))
        .collect();
    people.retain(|(person, source)| {
        wanted("exhibitor_id").is_none_or(|id| id == EXHIBITOR_ID)
            && wanted("department").is_none_or(|department| department == person.department)
            && wanted("level").is_none_or(|level| level == person.level)
            && wanted("search_query").is_none_or(|words| person.matches(words))
            && (sources.is_empty() || sources.contains(&source.as_str()))
    });
    Ok(())
}

/// Only an event's list shows what was found on LinkedIn.
fn listed(world: &mut World, people: &[(Person, Source)], now_ms: i64) -> Vec<Value> {
    let mut items = Vec::new();
    for (person, source) in people {
        let mut item = contact(world, person, *source, now_ms);
        let (status, activity) = match world.work.analysis(&person.id, now_ms) {
            Analysis::Absent => (Value::Null, Value::Null),
            Analysis::Running(_) => (json!("processing"), Value::Null),
            Analysis::Ready => {
                let activity = json!({ "activityLevel": "ACTIVE", "isActive": true, "latestPostAt": null });
                (json!("ready"), activity)
            }
        };
        item["linkedinActivityStatus"] = status;
        item["linkedinActivity"] = activity;
        if world.work.has_draft(&person.id) {
            item["outreachMessageStatus"] = json!("ready");
        }
        items.push(item);
    }
    items
}

fn semantics(full: bool, all: usize, paging: Paging) -> Value {
    let visible = if full { all } else { all.min(PREVIEW) };
    let last_page = if full { ((all as i64 + paging.size - 1) / paging.size).max(1) } else { 1 };
    let accessible = paging.page <= last_page;
    let hidden = all - visible;
    let (code, message) = match () {
        () if full => ("full_access", "All results are visible"),
        () if !accessible => ("preview_page_inaccessible", "This page is beyond the preview"),
        () if hidden == 0 => ("preview_complete_for_query", "All results for this query are visible"),
        () => ("preview_results_truncated", "Unlock the event to see all results"),
    };
    json!({
        "accessMode": if full { "full" } else { "preview" },
        "previewLimit": (!full).then_some(PREVIEW),
        "counts": {
            "actualTotal": all,
            "visibleTotal": visible,
            "remainingLockedCount": hidden,
        },
        "pageState": {
            "requestedPage": paging.page,
            "accessible": accessible,
            "maxAccessiblePage": last_page,
        },
        "unlock": {
            "requiredForMoreResults": hidden > 0,
            "actionType": (hidden > 0).then_some("unlock_event_personnel"),
            "credits": (hidden > 0).then_some(EVENT_PRICE),
        },
        "guidance": { "code": code, "message": message },
    })
}

/// The contacts of the sandbox's only company that any call has named, or that are unlocked.
pub(in crate::sandbox) fn search_contacts(
    world: &mut World,
    asked: &Asked,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let Some(company) = query_text(asked, "company_name", 200)? else {
        return Err(invalid("company_name is required"));
    };
    let paging = Paging::of(asked, 20, 100)?;
    let wanted = |name| query(asked, name).map(str::trim).filter(|text| !text.is_empty());
    let mut people = Vec::new();
    if COMPANY.to_lowercase().contains(&company.trim().to_lowercase()) {
        let known = world.known_contacts().into_iter();
        let exist = known.filter(|id| !matches!(Fate::of(id), Fate::Invalid | Fate::Missing));
        people.extend(exist.map(|id| Person::of(&id)));
    }
    people.retain(|person| {
        wanted("role").is_none_or(|role| person.title.to_lowercase().contains(&role.to_lowercase()))
            && wanted("person_name")
                .is_none_or(|name| person.full_name.to_lowercase().contains(&name.to_lowercase()))
    });
    let mut items = Vec::new();
    for person in paging.part(&people) {
        let mut item = contact(world, person, Source::Exhibitor, now_ms);
        item["linkedinActivity"] = Value::Null;
        item["linkedinActivityStatus"] = Value::Null;
        items.push(item);
    }
    Ok(Answer::new(200, paging.page_of(items, people.len() as i64)))
}
