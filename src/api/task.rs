//! A task's JSON as it is received, and its conversion to the domain's view of a task.
//!
//! Each item is read on its own, and each of its fields as whatever JSON it is: the others were paid for
//! too, so an odd one never costs them their outcome. What cannot be read says nothing, and so never
//! delivers anything.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{Broken, Id, broken, if_readable, parse, usable};
use crate::domain::outcome::{ItemStatus, TaskItem, TaskStatus, TaskView};
use crate::domain::{Channel, PersonnelId, TaskId};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskBody {
    task_id: Id,
    task_status: String,
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemBody {
    personnel_id: Option<Box<RawValue>>,
    status: Option<Box<RawValue>>,
    email: Option<Box<RawValue>>,
    phone: Option<Box<RawValue>>,
    error_code: Option<Box<RawValue>>,
}

pub(super) fn read(bytes: &[u8], channel: Channel, asked: &TaskId) -> Result<TaskView, Broken> {
    let body: TaskBody = parse(bytes)?;
    if body.task_id.0 != asked.as_str() {
        return broken("the answer is about another task");
    }
    let items = body.items.map(|items| items.iter().map(|raw| item(raw, channel)).collect());
    Ok(TaskView { status: TaskStatus::from_word(&body.task_status), items })
}

fn item(raw: &RawValue, channel: Channel) -> TaskItem {
    let body: ItemBody = parse(raw.get().as_bytes()).unwrap_or_default();
    let id: Option<Id> = if_readable(body.personnel_id);
    let status: Option<String> = if_readable(body.status);
    let value = match channel {
        Channel::Email => body.email,
        Channel::Phone => body.phone,
    };
    TaskItem {
        personnel_id: id.and_then(|id| PersonnelId::parse(&id.0)),
        status: status.map_or(ItemStatus::Unfinished, |word| ItemStatus::from_word(&word)),
        value: usable(channel, if_readable(value)),
        error_code: body.error_code.and_then(|raw| code(&raw)),
    }
}

/// Documented as a string; a number is a code too.
fn code(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if is_number { Some(text.to_owned()) } else { serde_json::from_str(text).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContactValue;

    fn task_id(text: &str) -> TaskId {
        TaskId::parse(text).expect("digits")
    }

    /// The items as the tests write them down: id, status, value and error code.
    type Row<'a> = (Option<&'a str>, ItemStatus, Option<&'a str>, Option<&'a str>);

    fn row(item: &TaskItem) -> Row<'_> {
        let id = item.personnel_id.as_ref().map(PersonnelId::as_str);
        let value = item.value.as_ref().map(ContactValue::expose);
        (id, item.status, value, item.error_code.as_deref())
    }

    fn rows(items: &[TaskItem]) -> Vec<Row<'_>> {
        items.iter().map(row).collect()
    }

    #[test]
    fn the_documented_tasks_are_read() {
        let body = br#"{"taskId":"321","taskStatus":"completed","items":[
            {"personnelId":"789","status":"unlocked","email":"jane@acme.example"},
            {"personnelId":"790","status":"failed","errorCode":"TASK_FAILED"},
            {"personnelId":791,"status":"brand_new","email":null,"extra":1}]}"#;
        let view = read(body, Channel::Email, &task_id("321")).expect("documented");
        assert_eq!(view.status, TaskStatus::Completed);
        let expected = [
            (Some("789"), ItemStatus::Unlocked, Some("jane@acme.example"), None),
            (Some("790"), ItemStatus::Failed, None, Some("TASK_FAILED")),
            (Some("791"), ItemStatus::Unfinished, None, None),
        ];
        assert_eq!(rows(&view.items.expect("some")), expected);

        let body = br#"{"taskId":"321","taskStatus":"completed","items":[
            {"personnelId":"789","status":"unlocked","phone":"+1 415 555 0100","email":"x@y.example"}]}"#;
        let view = read(body, Channel::Phone, &task_id("321")).expect("documented");
        let expected = [(Some("789"), ItemStatus::Unlocked, Some("+1 415 555 0100"), None)];
        assert_eq!(rows(&view.items.expect("some")), expected);
    }

    #[test]
    fn one_odd_item_never_spoils_the_others() {
        use ItemStatus::{Failed, Unfinished, Unlocked};
        const NOBODY: Row = (None, Unfinished, None, None);
        let table: [(&str, Row); 24] = [
            ("null", NOBODY),
            ("true", NOBODY),
            ("7", NOBODY),
            (r#""789""#, NOBODY),
            ("[]", NOBODY),
            (r#"["7","unlocked","j@acme.example",null,null]"#, NOBODY),
            ("{}", NOBODY),
            (r#"{"status":"failed"}"#, (None, Failed, None, None)),
            (r#"{"personnelId":null,"status":"failed"}"#, (None, Failed, None, None)),
            (r#"{"personnelId":{},"status":"failed"}"#, (None, Failed, None, None)),
            (r#"{"personnelId":7.0,"status":"failed"}"#, (None, Failed, None, None)),
            (r#"{"personnelId":-7,"status":"failed"}"#, (None, Failed, None, None)),
            (r#"{"personnelId":"../7","status":"failed"}"#, (None, Failed, None, None)),
            (r#"{"personnelId":"7","personnelId":"8","status":"failed"}"#, NOBODY),
            (
                r#"{"personnelId":12345678901234567890}"#,
                (Some("12345678901234567890"), Unfinished, None, None),
            ),
            (
                r#"{"personnelId":"7","email":"j@acme.example"}"#,
                (Some("7"), Unfinished, Some("j@acme.example"), None),
            ),
            (r#"{"personnelId":"7","status":null}"#, (Some("7"), Unfinished, None, None)),
            (r#"{"personnelId":"7","status":["unlocked"]}"#, (Some("7"), Unfinished, None, None)),
            (r#"{"personnelId":"7","status":"unlocked","email":12345}"#, (Some("7"), Unlocked, None, None)),
            (
                r#"{"personnelId":"7","status":"unlocked","email":["j@acme.example"]}"#,
                (Some("7"), Unlocked, None, None),
            ),
            (
                r#"{"personnelId":"7","status":"unlocked","email":"j\ud800@acme.example"}"#,
                (Some("7"), Unlocked, None, None),
            ),
            (
                r#"{"personnelId":"7","status":"failed","errorCode":404}"#,
                (Some("7"), Failed, None, Some("404")),
            ),
            (
                r#"{"personnelId":"7","status":"failed","errorCode":-4.50}"#,
                (Some("7"), Failed, None, Some("-4.50")),
            ),
            (r#"{"personnelId":"7","status":"failed","errorCode":{"a":1}}"#, (Some("7"), Failed, None, None)),
        ];
        let good = r#"{"personnelId":"789","status":"unlocked","email":"jane@acme.example"}"#;
        for (odd, expected) in table {
            let body = format!(r#"{{"taskId":"321","taskStatus":"completed","items":[{odd},{good}]}}"#);
            let view = read(body.as_bytes(), Channel::Email, &task_id("321")).expect(odd);
            let delivered = (Some("789"), Unlocked, Some("jane@acme.example"), None);
            assert_eq!(rows(&view.items.expect(odd)), [expected, delivered], "{odd}");
        }
    }

    #[test]
    fn a_task_that_is_not_the_one_asked_for_or_says_nothing_readable_is_broken() {
        for bad in [
            r#"{"taskId":"322","taskStatus":"completed","items":[]}"#,
            r#"{"taskStatus":"completed","items":[]}"#,
            r#"{"taskId":"321","items":[]}"#,
            r#"{"taskId":"321","taskStatus":3,"items":[]}"#,
            r#"{"taskId":"321","taskStatus":"completed","items":{}}"#,
            r#"{"taskId":"321","taskStatus":"completed","items":"none"}"#,
            r#"{"taskId":"321","taskStatus":"pending","items":0}"#,
            r#"{"taskId":"321","taskStatus":"completed","items":[{"personnelId":"1"}"#,
        ] {
            assert!(super::read(bad.as_bytes(), Channel::Email, &task_id("321")).is_err(), "{bad}");
        }
    }

    #[test]
    fn absent_items_are_not_the_same_as_none() {
        for (items, expected) in [("", None), (r#","items":null"#, None), (r#","items":[]"#, Some(vec![]))] {
            let body = format!(r#"{{"taskId":"321","taskStatus":"completed"{items}}}"#);
            let view = read(body.as_bytes(), Channel::Email, &task_id("321")).expect("readable");
            assert_eq!(view.items, expected, "{body}");
        }
    }
}
