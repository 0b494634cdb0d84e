//! A task's JSON as it is received, and its conversion to the domain's view of a task.

use serde::Deserialize;

use super::wire::{Broken, Id, broken, parse, usable};
use crate::domain::outcome::{ItemStatus, TaskItem, TaskStatus, TaskView};
use crate::domain::{Channel, TaskId};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskBody {
    task_id: Id,
    task_status: String,
    items: Option<Vec<ItemBody>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemBody {
    personnel_id: Id,
    status: String,
    email: Option<String>,
    phone: Option<String>,
    error_code: Option<String>,
}

pub(super) fn read(bytes: &[u8], channel: Channel, asked: &TaskId) -> Result<TaskView, Broken> {
    let body: TaskBody = parse(bytes)?;
    if body.task_id.0 != asked.as_str() {
        return broken("the answer is about another task");
    }
    let status = TaskStatus::from_word(&body.task_status);
    let items = match body.items {
        None if status != TaskStatus::Running => return broken("the task has ended without items"),
        items => items.unwrap_or_default(),
    };
    Ok(TaskView { status, items: items.into_iter().map(|item| item.into_domain(channel)).collect() })
}

impl ItemBody {
    fn into_domain(self, channel: Channel) -> TaskItem {
        let text = match channel {
            Channel::Email => self.email,
            Channel::Phone => self.phone,
        };
        TaskItem {
            personnel_id: self.personnel_id.0,
            status: ItemStatus::from_word(&self.status),
            value: usable(channel, text),
            error_code: self.error_code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContactValue;

    fn task_id(text: &str) -> TaskId {
        TaskId::parse(text).expect("digits")
    }

    #[test]
    fn the_documented_tasks_are_read() {
        let body = br#"{"taskId":"321","taskStatus":"completed","items":[
            {"personnelId":"789","status":"unlocked","email":"jane@acme.example"},
            {"personnelId":"790","status":"failed","errorCode":"TASK_FAILED"},
            {"personnelId":791,"status":"brand_new","email":null,"extra":1}]}"#;
        let view = read(body, Channel::Email, &task_id("321")).expect("documented");
        assert_eq!(view.status, TaskStatus::Completed);
        let values: Vec<_> =
            view.items.iter().map(|item| item.value.as_ref().map(ContactValue::expose)).collect();
        assert_eq!(values, [Some("jane@acme.example"), None, None]);
        assert_eq!(view.items[1].error_code.as_deref(), Some("TASK_FAILED"));
        assert_eq!(view.items[2].status, ItemStatus::Unfinished);
        assert_eq!(view.items[2].personnel_id, "791");

        let body = br#"{"taskId":"321","taskStatus":"completed","items":[
            {"personnelId":"789","status":"unlocked","phone":"+1 415 555 0100","email":"x@y.example"}]}"#;
        let view = read(body, Channel::Phone, &task_id("321")).expect("documented");
        assert_eq!(view.items[0].value.as_ref().map(ContactValue::expose), Some("+1 415 555 0100"));
    }

    #[test]
    fn a_task_that_is_not_the_one_asked_for_or_has_no_items_at_its_end_is_broken() {
        let read = |body: &str| super::read(body.as_bytes(), Channel::Email, &task_id("321"));
        for bad in [
            r#"{"taskId":"322","taskStatus":"completed","items":[]}"#,
            r#"{"taskStatus":"completed","items":[]}"#,
            r#"{"taskId":"321","taskStatus":"completed"}"#,
            r#"{"taskId":"321","taskStatus":"failed","items":null}"#,
            r#"{"taskId":"321","taskStatus":3,"items":[]}"#,
            r#"{"taskId":"321","taskStatus":"completed","items":{}}"#,
            r#"{"taskId":"321","taskStatus":"completed","items":[{"status":"unlocked"}]}"#,
            r#"{"taskId":"321","taskStatus":"completed","items":[{"personnelId":"1","status":"unlocked","email":5}]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let early = read(r#"{"taskId":"321","taskStatus":"pending"}"#).expect("nothing to name yet");
        assert_eq!((early.status, early.items.len()), (TaskStatus::Running, 0));
    }
}
