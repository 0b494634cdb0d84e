//! Answers that come in pages: an event's people, and the two searches.
//!
//! Every page follows from the question alone, so asking again for a page gives the same items. A
//! list is free and shows a few people until the event is unlocked; a search is paid by the page.

use serde_json::{Value, json};

use super::answers::{Answer, contact, invalid, object, query, refuse, refused, text};
use super::contacts::{event_exists, found_by, people_of};
use super::credits::EVENT_PRICE;
use super::routes::Asked;
use super::world::World;

/// How many people of an event can be seen before it is unlocked.
const PREVIEW: usize = 5;

/// Which page is asked for, and of what size.
#[derive(Clone, Copy)]
struct Paging {
    page: i64,
    size: i64,
}

impl Paging {
    fn new(page: Option<i64>, size: Option<i64>) -> Result<Self, Answer> {
        match (page, size) {
            (Some(page @ 1..=1_000_000), Some(size @ 1..=100)) => Ok(Self { page, size }),
            _ => Err(invalid("page is at least 1, pageSize 1 to 100")),
        }
    }

    /// From the first to before the last item of the page, of so many in all.
    fn range(self, total: i64) -> std::ops::Range<i64> {
        let start = ((self.page - 1) * self.size).min(total);
        start..(start + self.size).min(total)
    }

    fn page_of(self, items: Vec<Value>, total: i64) -> Value {
        let pages = (total + self.size - 1) / self.size;
        json!({
            "items": items,
            "total": total,
            "page": self.page,
            "pageSize": self.size,
            "totalPages": pages,
            "hasMore": self.page < pages,
        })
    }
}

pub(super) fn list(world: &mut World, asked: &Asked, now_ms: i64) -> Result<Answer, Answer> {
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

pub(super) fn names_concurrency(asked: &Asked) -> bool {
    let body = asked.body.as_ref();
    let name = body.and_then(|body| body.get("company_name"));
    name.and_then(Value::as_str).is_some_and(|name| name.contains("concurrent"))
}

pub(super) fn search(
    world: &mut World,
    asked: &Asked,
    now_ms: i64,
    item: fn(&str, i64) -> Value,
) -> Result<Answer, Answer> {
    let body = object(asked.body.as_ref())?;
    let name = text(body, "company_name", 200)?;
    let name = name.ok_or_else(|| invalid("company_name is required"))?;
    let number = |field, default| body.get(field).map_or(Some(default), Value::as_i64);
    let paging = Paging::new(number("page", 1), number("pageSize", 20))?;
    let total = found_by(name);
    let items: Vec<Value> = paging.range(total).map(|place| item(name, place)).collect();
    if !items.is_empty() {
        world.charge_search(now_ms).map_err(refused)?;
    }
    Ok(Answer::new(201, paging.page_of(items, total)))
}

pub(super) fn company_item(name: &str, place: i64) -> Value {
    let number = place + 1;
    json!({
        "id": (4_000 + number).to_string(),
        "companyName": format!("{name} {number}"),
        "matched_event_ids": [(139_000 + number).to_string()],
    })
}

pub(super) fn event_item(name: &str, place: i64) -> Value {
    let number = (139_000 + place + 1).to_string();
    json!({
        "id": number,
        "eventId": number,
        "name": format!("{name} at Sandbox Expo {}", place + 1),
    })
}
