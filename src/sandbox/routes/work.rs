//! Free calls that create work: LinkedIn analyses, and drafts of messages.

use serde_json::{Value, json};

use crate::sandbox::state::work::Analysis;
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, invalid, refused};
use crate::sandbox::words::asked::{Asked, object, personnel_ids, text};
use crate::sandbox::words::contact::Fate;
use crate::sandbox::words::event::Event;
use crate::sandbox::words::results::Refusal;

fn exists(id: &str) -> bool {
    !matches!(Fate::of(id), Fate::Invalid | Fate::Missing)
}

pub(in crate::sandbox) fn unlock_linkedin(
    world: &mut World,
    asked: &Asked,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let body = object(asked.body.as_ref())?;
    if !body.keys().all(|name| name == "personnel_ids" || name == "event_id") {
        return Err(invalid("Only personnel_ids and event_id are taken"));
    }
    let ids = personnel_ids(body)?;
    let event = text(body, "event_id", 20)?.map(Event::named);
    if event.is_some_and(|event| !event.exists()) {
        return Err(refused(Refusal::EventNotFound));
    }
    let items: Vec<Value> = ids.iter().map(|id| analysed(world, id, now_ms)).collect();
    Ok(Answer::new(201, json!({ "items": items })))
}

fn analysed(world: &mut World, id: &str, now_ms: i64) -> Value {
    if !exists(id) {
        return json!({ "personnel_id": id, "success": false, "alreadyUnlocked": false, "taskId": null,
            "error": "NOT_FOUND" });
    }
    let (before, task) = match world.work.analyse(id, now_ms) {
        Analysis::Absent => (false, None),
        Analysis::Running(task) => (false, Some(task.to_string())),
        Analysis::Ready => (true, None),
    };
    json!({ "personnel_id": id, "success": true, "alreadyUnlocked": before, "taskId": task, "error": null })
}

/// The only call that takes an event's own `id` and not its `eventId`.
pub(in crate::sandbox) fn write_outreach(
    world: &mut World,
    asked: &Asked,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let body = object(asked.body.as_ref())?;
    let ids = personnel_ids(body)?;
    let channels =
        body.get("channels").and_then(Value::as_array).ok_or_else(|| invalid("channels is a list"))?;
    if !channels.iter().all(|channel| channel == "email" || channel == "linkedin_message") {
        return Err(invalid("A channel is email or linkedin_message"));
    }
    let event = match text(body, "event_id", 100)? {
        None => None,
        Some(id) => Some(Event::named(id)).filter(|event| event.id() == id),
    };
    if body.contains_key("event_id") && event.is_none() {
        return Err(invalid("event_id is the id of an event, not its eventId"));
    }
    let batch = world.work.draft(&ids, event, now_ms).map_err(refused)?;
    let items: Vec<Value> = ids
        .iter()
        .map(|id| {
            let error = if exists(id) { Value::Null } else { json!("NOT_FOUND") };
            json!({ "personnel_id": id, "success": error.is_null(), "taskId": null, "error": error })
        })
        .collect();
    Ok(Answer::new(201, json!({ "items": items, "taskCenterId": batch.to_string() })))
}
