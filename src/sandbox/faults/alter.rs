//! Faults that change the content of an answer but keep it valid JSON.

use serde_json::{Map, Value, json};

use super::kinds::{Breakage, FaultKind};
use crate::sandbox::words::answer::{Answer, refuse};

/// Applies a fault to an answer. An answer without the part in question stays unchanged.
pub(in crate::sandbox) fn alter(mut answer: Answer, fault: Option<&FaultKind>) -> Answer {
    match fault {
        Some(FaultKind::Accepted { status, name }) => accepted(answer, *status, name),
        Some(FaultKind::NamesTask(status)) => names_task(answer, *status),
        Some(FaultKind::TaskWord(word)) => {
            if let Some(status) = answer.body.get_mut("taskStatus").filter(|word| is_end(word)) {
                *status = json!(word);
            }
            answer
        }
        Some(FaultKind::Broken(breakage)) => {
            if let Some(fields) = answer.body.as_object_mut() {
                break_fields(fields, *breakage);
            }
            answer
        }
        _ => answer,
    }
}

fn is_end(word: &Value) -> bool {
    word == "completed" || word == "failed"
}

fn task_id(answer: &Answer) -> Option<Value> {
    answer.body.get("task_id").cloned()
}

fn accepted(mut answer: Answer, status: u16, name: &str) -> Answer {
    let (Some(task_id), Some(fields)) = (task_id(&answer), answer.body.as_object_mut()) else {
        return answer;
    };
    fields.remove("task_id");
    fields.remove("job_id");
    fields.insert(name.to_owned(), task_id);
    answer.status = status;
    answer
}

fn names_task(answer: Answer, status: u16) -> Answer {
    let Some(task_id) = task_id(&answer) else {
        return answer;
    };
    if status >= 500 {
        let body = json!({ "message": "The upstream server did not answer in time", "task_id": task_id });
        return Answer { foreign: true, ..Answer::new(status, body) };
    }
    let mut error = refuse(status);
    error.body["task_id"] = task_id;
    error
}

fn break_fields(fields: &mut Map<String, Value>, breakage: Breakage) {
    match breakage {
        Breakage::Types => fields.values_mut().for_each(mistype),
        Breakage::Strangers => add_strangers(fields),
        Breakage::Odd => add_odd_items(fields),
        Breakage::Unlisted => drop(fields.remove("items")),
        Breakage::NullItems => {
            if let Some(items) = fields.get_mut("items") {
                *items = Value::Null;
            }
        }
        Breakage::Unknown => make_unknown(fields),
        Breakage::Groups => rename_groups(fields),
        Breakage::WordId => {
            for name in ["task_id", "job_id"] {
                if let Some(Value::String(id)) = fields.get_mut(name) {
                    id.insert_str(0, "task-");
                }
            }
        }
        // These change the bytes, not the fields.
        Breakage::Html
        | Breakage::Empty
        | Breakage::Truncated
        | Breakage::Twice
        | Breakage::Bom
        | Breakage::Gzip
        | Breakage::Deflate
        | Breakage::Deep
        | Breakage::Huge => {}
    }
}

/// Renames each group of skipped contacts to the shorter name that one of the vendor's pages uses.
fn rename_groups(fields: &mut Map<String, Value>) {
    if let Some(Value::Object(groups)) = fields.get_mut("skipped_detail") {
        let renamed = std::mem::take(groups).into_iter();
        *groups = renamed.map(|(name, ids)| (name.replace("_personnel_ids", ""), ids)).collect();
    }
}

/// Makes a list name its first item twice, and add one that was not asked for.
fn add_strangers(fields: &mut Map<String, Value>) {
    let Some(Value::Array(items)) = fields.get_mut("items") else {
        return;
    };
    let Some(first) = items.first().cloned() else {
        return;
    };
    let mut stranger = first.clone();
    for name in ["personnelId", "id"] {
        if let Some(id) = stranger.get_mut(name) {
            *id = json!("777777777777");
        }
    }
    items.extend([first, stranger]);
}

/// Puts elements that are no items, and an item with unreadable fields, before the other items.
fn add_odd_items(fields: &mut Map<String, Value>) {
    let Some(Value::Array(items)) = fields.get_mut("items") else {
        return;
    };
    let mut unreadable = items.first().cloned().unwrap_or_else(|| json!({}));
    unreadable.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(mistype);
    items.splice(..0, [json!(null), json!("text"), json!([]), json!({}), unreadable]);
}

/// Uses undocumented words, and an additional field, as a later version of the API might.
fn make_unknown(fields: &mut Map<String, Value>) {
    for name in ["status", "taskStatus", "reason_code", "contactUnlockStatus"] {
        if let Some(word) = fields.get_mut(name) {
            *word = json!("unheard_of");
        }
    }
    if let Some(Value::Array(items)) = fields.get_mut("items") {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(make_unknown);
    }
    fields.insert("unheardOf".to_owned(), json!({ "of": [1, 2, 3] }));
}

/// Keeps the fields, but gives each a value of a wrong type.
fn mistype(value: &mut Value) {
    *value = match value {
        Value::Null => json!(0),
        Value::Bool(_) => json!("yes"),
        Value::Number(_) => json!("many"),
        Value::String(_) => json!({}),
        Value::Array(_) => json!("list"),
        Value::Object(_) => json!([]),
    };
}
