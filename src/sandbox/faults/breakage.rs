//! Bodies that are not what they should be.
//!
//! Each is sent with a status and headers that are quite right, since that is what makes it a trap.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::response::Parts;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use super::kinds::Breakage;
use crate::sandbox::words::answer::Answer;
use crate::sandbox::words::headers::set;

const HUGE_BYTES: usize = 200 << 20;
const HUGE_PIECE: usize = 64 << 10;
/// Deep enough to overflow the stack of a reader that recurses without a limit.
const DEPTH: usize = 500_000;
const PAGE: &str = "<html><head><title>Error</title></head><body><h1>Something went wrong</h1>\
                    <p>nginx</p></body></html>\n";

pub(in crate::sandbox) fn page(head: &mut Parts) -> Body {
    set(head, "content-type", "text/html");
    Body::from(PAGE)
}

pub(in crate::sandbox) fn damage(
    head: &mut Parts,
    bytes: Bytes,
    answer: &Answer,
    breakage: Breakage,
) -> Body {
    match breakage {
        Breakage::Html => page(head),
        Breakage::Empty => Body::empty(),
        Breakage::Truncated => Body::from(bytes.slice(..bytes.len() / 2)),
        Breakage::Types => altered(answer, |fields| fields.values_mut().for_each(mistype)),
        Breakage::Strangers => altered(answer, add_strangers),
        Breakage::Odd => altered(answer, add_odd_items),
        Breakage::Unlisted => altered(answer, |fields| drop(fields.remove("items"))),
        Breakage::Unknown => altered(answer, make_unknown),
        Breakage::Deep => Body::from("[".repeat(DEPTH)),
        Breakage::Huge => huge(),
    }
}

fn altered(answer: &Answer, alter: fn(&mut Map<String, Value>)) -> Body {
    let mut body = answer.body.clone();
    if let Some(fields) = body.as_object_mut() {
        alter(fields);
    }
    Body::from(body.to_string())
}

/// A list names its first item twice, and one that nobody asked for.
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

/// What is no item, and a first item of which no field can be read, come before the items.
fn add_odd_items(fields: &mut Map<String, Value>) {
    let Some(Value::Array(items)) = fields.get_mut("items") else {
        return;
    };
    let mut unreadable = items.first().cloned().unwrap_or_else(|| json!({}));
    unreadable.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(mistype);
    items.splice(..0, [json!(null), json!("text"), json!([]), json!({}), unreadable]);
}

/// Words that no page has, and a field besides, as from a later version of the API.
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

/// The same fields, and in each a value of a type that does not belong there.
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

/// A JSON text that never comes to its end within any sensible limit.
fn huge() -> Body {
    let piece = Bytes::from(vec![b'x'; HUGE_PIECE]);
    let start = stream::iter([Bytes::from_static(b"{\"status\":\"")]);
    let rest = stream::iter((0..HUGE_BYTES / HUGE_PIECE).map(move |_| piece.clone()));
    Body::from_stream(start.chain(rest).map(Ok::<_, Infallible>))
}

/// The first byte at once, then one a second.
pub(in crate::sandbox) fn drip(bytes: Bytes) -> Body {
    let length = bytes.len();
    let pieces = stream::unfold(0, move |at| {
        let bytes = bytes.clone();
        async move {
            if at >= length {
                return None;
            }
            if at > 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Some((Ok::<_, Infallible>(bytes.slice(at..=at)), at + 1))
        }
    });
    Body::from_stream(pieces)
}
