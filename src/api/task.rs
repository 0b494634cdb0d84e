//! A task's JSON, and its conversion to the domain's view of a task.
//!
//! Each item is read separately, and each of its fields may be any JSON: one odd item must not cost the
//! others their outcome, since they were paid for, too. A field that cannot be read counts as missing, so it
//! never makes a delivery.

use serde_json::value::RawValue;

use super::fields::Fields;
use super::json::{Broken, Held, Id, broken, if_readable};
use super::wire::usable;
use crate::domain::task::{ItemStatus, TaskItem, TaskStatus, TaskView};
use crate::domain::{Channel, PersonnelId, TaskId};

/// Reads a task. An answer about another task is broken, and so is an empty one.
pub(super) fn read(bytes: &[u8], channel: Channel, asked: &TaskId) -> Result<TaskView, Broken> {
    let fields = Fields::read(bytes)?;
    if fields.id(&["taskId", "task_id", "jobId", "job_id"]).as_deref() != Some(asked.as_str()) {
        return broken("the answer is about another task");
    }
    let items: Option<Vec<TaskItem>> = match fields.last(&["items"]) {
        None => None,
        Some(raw) => match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
            Ok(items) => Some(items.into_iter().map(|raw| item(raw, channel)).collect()),
            Err(_) => return broken("the items of the task are not an array"),
        },
    };
    // Even without a status of its own, a task may show the outcomes of its items.
    let status = match fields.text(&["taskStatus", "task_status", "status"]) {
        Some(word) => TaskStatus::from_word(&word),
        None if items.as_ref().is_some_and(|items| !items.is_empty()) => TaskStatus::Unknown,
        None => return broken("the answer does not say how the task stands"),
    };
    Ok(TaskView { status, items })
}

fn item(raw: &RawValue, channel: Channel) -> TaskItem {
    let fields = Fields::read(raw.get().as_bytes()).unwrap_or_default();
    // With two different ids, the owner of the value would be a guess.
    let id: Option<Id> = if_readable(fields.agreed(&["personnelId", "personnel_id"]));
    let status = fields.text(&["status"]);
    let value: Option<Held> = if_readable(match channel {
        Channel::Email => fields.last(&["email"]),
        Channel::Phone => fields.last(&["phone"]),
    });
    TaskItem {
        personnel_id: id.and_then(|id| PersonnelId::parse(&id.0)),
        status: status.map_or(ItemStatus::Unfinished, |word| ItemStatus::from_word(&word)),
        value: usable(value),
        error_code: fields.last(&["errorCode", "error_code"]).and_then(code),
    }
}

/// The longest error code that is stored, in characters; the vendor's have about twenty.
const LONGEST_CODE: usize = 200;

/// Documented as a string; a number is accepted, too.
fn code(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let code: String = if is_number { text.to_owned() } else { serde_json::from_str(text).ok()? };
    let plain = code.chars().map(|char| if char.is_control() { ' ' } else { char });
    Some(plain.take(LONGEST_CODE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ContactValue;

    fn task_id(text: &str) -> TaskId {
        TaskId::parse(text).expect("digits")
    }

    /// Items as the tests write them: id, status, value and error code.
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

    /// Items as text, and what is read from each.
    fn odd_items() -> [(&'static str, Row<'static>); 28] {
        use ItemStatus::{Failed, Unfinished, Unlocked};
        const NOBODY: Row = (None, Unfinished, None, None);
        [
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
            (r#"{"personnelId":"7","personnelId":"8","status":"failed"}"#, (None, Failed, None, None)),
            (r#"{"personnelId":"7","personnelId":"7","status":"failed"}"#, (Some("7"), Failed, None, None)),
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
            (
                r#"{"personnelId":"7","status":"unlocked","email":15551234567}"#,
                (Some("7"), Unlocked, Some("15551234567"), None),
            ),
            (
                r#"{"personnelId":"7","status":"unlocked","email":1.5551234567E10}"#,
                (Some("7"), Unlocked, Some("1.5551234567E10"), None),
            ),
            (r#"{"personnelId":"7","status":"unlocked","email":true}"#, (Some("7"), Unlocked, None, None)),
            (
                r#"{"personnelId":"7","status":"unlocked","email":"@x.example"}"#,
                (Some("7"), Unlocked, Some("@x.example"), None),
            ),
            (
                r#"{"personnelId":"7","status":"unlocked","email":["j@acme.example"]}"#,
                (Some("7"), Unlocked, Some("j@acme.example"), None),
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
        ]
    }

    #[test]
    fn one_odd_item_never_spoils_the_others() {
        let good = r#"{"personnelId":"789","status":"unlocked","email":"jane@acme.example"}"#;
        for (odd, expected) in odd_items() {
            let body = format!(r#"{{"taskId":"321","taskStatus":"completed","items":[{odd},{good}]}}"#);
            let view = read(body.as_bytes(), Channel::Email, &task_id("321")).expect(odd);
            let delivered = (Some("789"), ItemStatus::Unlocked, Some("jane@acme.example"), None);
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
    fn an_item_of_7_mb_spoils_no_other_and_nothing_of_it_is_kept() {
        let long = "x".repeat(7_000_000);
        let body = format!(
            r#"{{"taskId":"321","taskStatus":"completed","items":[
            {{"personnelId":"7","status":"unlocked","email":"{long}@acme.example"}},
            {{"personnelId":"8","status":"failed","errorCode":"\u001b{long}"}},
            {{"personnelId":"789","status":"unlocked","email":"jane@acme.example"}}]}}"#
        );
        let view = read(body.as_bytes(), Channel::Email, &task_id("321")).expect("readable");
        let items = view.items.expect("some");
        assert_eq!(row(&items[0]), (Some("7"), ItemStatus::Unlocked, None, None));
        let code = items[1].error_code.as_deref().expect("a code");
        assert_eq!((code.chars().count(), &code[..2]), (LONGEST_CODE, " x"));
        assert_eq!(row(&items[2]), (Some("789"), ItemStatus::Unlocked, Some("jane@acme.example"), None));
    }

    #[test]
    fn a_task_under_other_names_or_without_a_word_of_its_own_is_read() {
        let item = r#"[{"personnel_id":"789","status":"UNLOCKED","email":"jane@acme.example"}]"#;
        for (head, status) in [
            (r#""task_id":321,"task_status":"Completed""#, TaskStatus::Completed),
            (r#""job_id":"321","status":"CANCELLED""#, TaskStatus::Failed),
            (r#""taskId":"321","taskId":"321","taskStatus":"completed""#, TaskStatus::Completed),
            (r#""taskId":"321","taskStatus":null"#, TaskStatus::Unknown),
            (r#""taskId":"321""#, TaskStatus::Unknown),
        ] {
            let body = format!("\u{feff}{{{head},\"items\":{item}}}");
            let view = read(body.as_bytes(), Channel::Email, &task_id("321")).expect(head);
            assert_eq!(view.status, status, "{head}");
            let delivered = (Some("789"), ItemStatus::Unlocked, Some("jane@acme.example"), None);
            assert_eq!(rows(&view.items.expect(head)), [delivered], "{head}");
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
