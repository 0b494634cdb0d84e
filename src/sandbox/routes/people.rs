//! Persons: one by one, and the list of an event's.
//!
//! A list is free and shows a few people until the event is unlocked.

use serde_json::{Value, json};

use super::paging::Paging;
use crate::sandbox::state::credits::EVENT_PRICE;
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, invalid, refuse};
use crate::sandbox::words::asked::{Asked, query};
use crate::sandbox::words::contacts::{Channel, Fate, event_exists, people_of};
use crate::sandbox::words::standing::Standing;

/// How many people of an event can be seen before it is unlocked.
const PREVIEW: usize = 5;

pub(in crate::sandbox) fn profile(world: &mut World, asked: &Asked, now_ms: i64) -> Result<Answer, Answer> {
    let id = query(asked, "personnel_id").unwrap_or_default();
    if id.is_empty() || id.len() > 20 {
        return Err(invalid("personnel_id is text of 1 to 20 characters"));
    }
    match Fate::of(id) {
        Fate::Invalid | Fate::Missing => Err(refuse(404)),
        _ => Ok(Answer::new(200, contact(world, id, now_ms))),
    }
}

fn contact(world: &mut World, id: &str, now_ms: i64) -> Value {
    let email = world.standing(id, Channel::Email, now_ms);
    let phone = world.standing(id, Channel::Phone, now_ms);
    let contact_status = match email {
        Standing::Unlocked(_) => "unlocked",
        Standing::Processing if !world.terse_profiles => "processing",
        Standing::Processing | Standing::Locked | Standing::Failed => "locked",
    };
    let phone_status = match phone {
        Standing::Unlocked(_) => Some("ready"),
        Standing::Processing if !world.terse_profiles => Some("processing"),
        Standing::Failed => Some("failed"),
        Standing::Processing | Standing::Locked => None,
    };
    let value = |standing| match standing {
        Standing::Unlocked(value) => value,
        _ => None,
    };
    json!({
        "id": id,
        "fullName": format!("Sandbox Person {id}"),
        "title": "Head of Examples",
        "companyName": "Example Works",
        "sourceType": ["exhibitor"],
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
    if !event_exists(event_id) {
        return Err(refuse(404));
    }
    let number = |name, default| query(asked, name).map_or(Some(default), |text| text.parse().ok());
    let paging = Paging::new(number("page", 1), number("pageSize", 20))?;
    let people = people_of(event_id);
    let full = world.event_unlocked(event_id, now_ms);
    let visible = if full { people.len() } else { PREVIEW };
    let range = paging.range(visible as i64);
    let items = people[range.start as usize..range.end as usize]
        .iter()
        .map(|id| contact(world, id, now_ms))
        .collect();
    let mut answer = paging.page_of(items, visible as i64);
    answer["semantics"] = semantics(full, people.len(), visible, paging);
    Ok(Answer::new(200, answer))
}

fn semantics(full: bool, actual: usize, visible: usize, paging: Paging) -> Value {
    let last_page = (visible as i64 + paging.size - 1) / paging.size;
    let (code, message) = if full {
        ("full_access", "All results are visible")
    } else {
        ("unlock_event", "Unlock the event to see all results")
    };
    json!({
        "accessMode": if full { "full" } else { "preview" },
        "previewLimit": (!full).then_some(PREVIEW),
        "counts": {
            "actualTotal": actual,
            "visibleTotal": visible,
            "remainingLockedCount": actual - visible,
        },
        "pageState": {
            "requestedPage": paging.page,
            "accessible": paging.page <= last_page,
            "maxAccessiblePage": last_page,
        },
        "unlock": {
            "requiredForMoreResults": !full,
            "actionType": (!full).then_some("unlock_event_contacts"),
            "credits": (!full).then_some(EVENT_PRICE),
        },
        "guidance": { "code": code, "message": message },
    })
}
