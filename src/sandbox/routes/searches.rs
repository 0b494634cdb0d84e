//! The two searches for a company's name. Each page is paid for.
//!
//! Every page follows from the question alone, so asking again for a page gives the same items.

use serde_json::{Value, json};

use super::paging::Paging;
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, invalid, refused};
use crate::sandbox::words::asked::{Asked, object, text};
use crate::sandbox::words::contacts::found_by;

pub(in crate::sandbox) fn names_concurrency(asked: &Asked) -> bool {
    let body = asked.body.as_ref();
    let name = body.and_then(|body| body.get("company_name"));
    name.and_then(Value::as_str).is_some_and(|name| name.contains("concurrent"))
}

pub(in crate::sandbox) fn search(
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

pub(in crate::sandbox) fn company_item(name: &str, place: i64) -> Value {
    let number = place + 1;
    json!({
        "id": (4_000 + number).to_string(),
        "companyName": format!("{name} {number}"),
        "matched_event_ids": [(139_000 + number).to_string()],
    })
}

pub(in crate::sandbox) fn event_item(name: &str, place: i64) -> Value {
    let number = (139_000 + place + 1).to_string();
    json!({
        "id": number,
        "eventId": number,
        "name": format!("{name} at Sandbox Expo {}", place + 1),
    })
}
