//! Unlocking contacts, and the tasks for it.
//!
//! Emails and phones differ in price, in the endpoint, and in the name of one field; the rest is the same
//! code, so a test of one also says something about the other.

use serde_json::{Value, json};

use crate::sandbox::state::tasks::ItemView;
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, refuse, refused};
use crate::sandbox::words::asked::{Asked, object, personnel_ids, text};
use crate::sandbox::words::contact::Channel;
use crate::sandbox::words::event::Event;
use crate::sandbox::words::results::Sorted;

pub(in crate::sandbox) fn unlock(
    world: &mut World,
    asked: &Asked,
    channel: Channel,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let body = object(asked.body.as_ref())?;
    let ids = personnel_ids(body)?;
    let event = text(body, "event_id", 100)?.map(Event::named);
    let submitted = world.submit(channel, &ids, event.as_ref(), now_ms);
    let (task, sorted) = submitted.map_err(refused)?;
    let mut answer = json!({ "status": "success" });
    if let Some(number) = task {
        answer = json!({
            "status": "accepted",
            "task_id": number.to_string(),
            "job_id": number.to_string(),
        });
    }
    add_skipped(&mut answer, &sorted);
    Ok(Answer::new(201, answer))
}

fn add_skipped(answer: &mut Value, sorted: &Sorted) {
    let groups = [
        ("invalid_personnel_ids", &sorted.invalid),
        ("missing_personnel_ids", &sorted.missing),
        ("unlinked_personnel_ids", &sorted.unlinked),
        ("already_unlocked_personnel_ids", &sorted.already_unlocked),
        ("unlocking_personnel_ids", &sorted.unlocking),
    ];
    let skipped: Vec<&String> = groups.iter().flat_map(|(_, ids)| ids.iter()).collect();
    if skipped.is_empty() {
        return;
    }
    answer["skipped_personnel_ids"] = json!(skipped);
    for (name, ids) in groups.iter().filter(|(_, ids)| !ids.is_empty()) {
        answer["skipped_detail"][*name] = json!(ids);
    }
}

pub(in crate::sandbox) fn task(
    world: &World,
    channel: Channel,
    id: &str,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let number = id.parse().map_err(|_| refuse(404))?;
    let task = world.task(number, channel).ok_or_else(|| refuse(404))?;
    let items: Vec<Value> =
        task.items(now_ms).into_iter().map(|(id, view)| item_json(id, view, channel)).collect();
    Ok(Answer::new(200, json!({ "taskId": id, "taskStatus": task.phase(now_ms).as_str(), "items": items })))
}

fn item_json(id: &str, view: ItemView, channel: Channel) -> Value {
    match view {
        ItemView::Pending => json!({ "personnelId": id, "status": "pending" }),
        ItemView::Processing => json!({ "personnelId": id, "status": "processing" }),
        ItemView::Unlocked(None) => json!({ "personnelId": id, "status": "unlocked" }),
        ItemView::Unlocked(Some(value)) => {
            json!({ "personnelId": id, "status": "unlocked", channel.as_str(): value })
        }
        ItemView::Failed(code) => {
            json!({ "personnelId": id, "status": "failed", "errorCode": code })
        }
    }
}
