//! What an action would cost: the advisory answer of `/external/actions/precheck`.
//!
//! It reads the state that readers see, charge lag included, and tells the truth about it even where
//! the billing does not keep to it: a contact that is unlocked has credits 0 here, though a hostile
//! sandbox would charge it again.

use serde_json::{Map, Value, json};

use crate::sandbox::state::credits::{EVENT_PRICE, SEARCH_PRICE};
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, refuse};
use crate::sandbox::words::asked::{MOST_CONTACTS, object, personnel_ids, text};
use crate::sandbox::words::contacts::{Channel, event_exists};
use crate::sandbox::words::standing::Sorted;

/// Every field that the schema allows, with the length it allows; it allows no other.
const TEXTS: [(&str, usize); 6] = [
    ("action_type", 100),
    ("call_source", 100),
    ("locale", 20),
    ("trace_id", 200),
    ("conversation_id", 200),
    ("channel_message_id", 200),
];

/// What is found before the balance is looked at.
struct Finding {
    reason: &'static str,
    /// What would be charged; 0 also where nothing can be done.
    credits: i64,
    allowed: bool,
    detail: Value,
}

impl Finding {
    fn costs(credits: i64) -> Self {
        Self { reason: "ok", credits, allowed: true, detail: json!({}) }
    }

    fn free(reason: &'static str) -> Self {
        Self { reason, ..Self::costs(0) }
    }

    fn refused(reason: &'static str) -> Self {
        Self { allowed: false, ..Self::free(reason) }
    }
}

pub(in crate::sandbox) fn precheck(
    world: &mut World,
    body: Option<&Value>,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let body = object(body)?;
    for (name, most) in TEXTS {
        text(body, name, most)?;
    }
    let allowed_name = |name: &String| name == "params" || TEXTS.iter().any(|(known, _)| known == name);
    if !body.keys().all(allowed_name) {
        return Err(refuse(400));
    }
    let params = body.get("params").and_then(Value::as_object);
    let (Some(action), Some(params)) = (text(body, "action_type", 100)?, params) else {
        return Err(refuse(400));
    };
    let mut finding = find(world, action, params, now_ms);
    if finding.credits > world.credits.seen_at(now_ms).total() {
        finding.allowed = false;
        finding.reason = "insufficient_balance";
    }
    Ok(Answer::new(
        200,
        json!({
            "ok": true,
            "action_type": action,
            "allowed": finding.allowed,
            "should_charge": finding.credits > 0,
            "credits": finding.credits,
            "reason_code": finding.reason,
            "biz_code": "",
            "detail": finding.detail,
        }),
    ))
}

fn find(world: &mut World, action: &str, params: &Map<String, Value>, now_ms: i64) -> Finding {
    match action {
        "unlock_contact_emails" => contacts(world, Channel::Email, params, now_ms),
        "unlock_contact_phones" => contacts(world, Channel::Phone, params, now_ms),
        "unlock_event_contacts" | "unlock_event_visitors" | "unlock_event_full_access" => {
            event(world, params, now_ms)
        }
        "search_exhibitor_events" | "search_exhibitor_companies" => Finding::costs(SEARCH_PRICE),
        "query_event_personnel" => match text(params, "event_id", 100) {
            Ok(Some(id)) if !event_exists(id) => Finding::refused("not_found"),
            _ => Finding::free("ok"),
        },
        "search_personnel_events_by_name" | "integration_status" | "others" => Finding::free("ok"),
        _ => Finding::refused("unsupported_action"),
    }
}

fn event(world: &World, params: &Map<String, Value>, now_ms: i64) -> Finding {
    match text(params, "event_id", 100) {
        Ok(Some(id)) if !event_exists(id) => Finding::refused("not_found"),
        Ok(Some(id)) if world.event_unlocked(id, now_ms) => Finding::free("already_unlocked"),
        Ok(Some(_)) => Finding::costs(EVENT_PRICE),
        _ => Finding::refused("invalid_subject"),
    }
}

fn contacts(world: &mut World, channel: Channel, params: &Map<String, Value>, now_ms: i64) -> Finding {
    let (Ok(ids), Ok(event_id)) = (personnel_ids(params), text(params, "event_id", 100)) else {
        return Finding::refused("invalid_subject");
    };
    if event_id.is_some_and(|id| !event_exists(id)) {
        return Finding::refused("not_found");
    }
    if ids.len() > MOST_CONTACTS {
        return Finding::refused("exceed_max_unlock_limit");
    }
    let sorted = world.sort(&ids, channel, event_id, now_ms);
    Finding {
        detail: json!({
            "chargeable_count": sorted.chargeable.len(),
            "already_unlocked_count": sorted.already_unlocked.len(),
            "unlocking_count": sorted.unlocking.len(),
        }),
        ..judge(&sorted, world.price(channel))
    }
}

fn judge(sorted: &Sorted, price: i64) -> Finding {
    if !sorted.chargeable.is_empty() {
        Finding::costs(price * sorted.chargeable.len() as i64)
    } else if !sorted.unlocking.is_empty() {
        Finding::refused("unlock_in_progress")
    } else if !sorted.already_unlocked.is_empty() {
        Finding::free("already_unlocked")
    } else if !sorted.missing.is_empty() {
        Finding::refused("not_found")
    } else if !sorted.unlinked.is_empty() {
        Finding::refused("no_contacts_available")
    } else {
        Finding::refused("invalid_subject")
    }
}
