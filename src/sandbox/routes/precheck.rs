//! The cost of an action: the advisory answer of `/external/actions/precheck`.
//!
//! It reads the state that readers see, charge lag included, and reports it truthfully, even if the billing
//! differs: an unlocked contact costs 0 credits here, though a hostile sandbox would charge it again.

use serde_json::{Map, Value, json};

use super::people::PREVIEW;
use crate::sandbox::state::credits::{EVENT_PRICE, SEARCH_PRICE, VISITORS_PRICE};
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, refuse};
use crate::sandbox::words::asked::{MOST_CONTACTS, listed_ids, object, text};
use crate::sandbox::words::contact::Channel;
use crate::sandbox::words::event::Event;
use crate::sandbox::words::results::Sorted;

/// Every field that the schema allows, with its maximum length; no other field is allowed.
const TEXTS: [(&str, usize); 6] = [
    ("action_type", 100),
    ("call_source", 100),
    ("locale", 20),
    ("trace_id", 200),
    ("conversation_id", 200),
    ("channel_message_id", 200),
];

/// The result before the balance is checked.
struct Finding {
    reason: &'static str,
    /// What would be charged; also 0 if nothing can be done.
    credits: i64,
    allowed: bool,
    /// The vendor's accounting word, if it has one.
    biz_code: &'static str,
    detail: Value,
}

impl Finding {
    fn costs(credits: i64) -> Self {
        Self { reason: "ok", credits, allowed: true, biz_code: "", detail: json!({}) }
    }

    fn free(reason: &'static str) -> Self {
        Self { reason, ..Self::costs(0) }
    }

    fn refused(reason: &'static str) -> Self {
        Self { allowed: false, ..Self::free(reason) }
    }

    fn with(self, detail: Value) -> Self {
        Self { detail, ..self }
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
            "biz_code": finding.biz_code,
            "detail": finding.detail,
        }),
    ))
}

/// The vendor handles twelve actions; the search of companies by name is not one of them.
fn find(world: &mut World, action: &str, params: &Map<String, Value>, now_ms: i64) -> Finding {
    match action {
        "unlock_contact_emails" => contacts(world, Channel::Email, params, now_ms),
        "unlock_contact_phones" => contacts(world, Channel::Phone, params, now_ms),
        "query_event_personnel"
        | "unlock_event_contacts"
        | "unlock_event_visitors"
        | "unlock_event_full_access" => match text(params, "event_id", 100) {
            Ok(Some(id)) if Event::named(id).exists() => event(world, action, &Event::named(id), now_ms),
            Ok(Some(_)) => Finding::refused("not_found"),
            _ => Finding::refused("invalid_subject"),
        },
        "search_exhibitor_events" => Finding::costs(SEARCH_PRICE),
        "search_personnel_events_by_name" => match text(params, "person_name", 200) {
            _ if !world.subscribed => Finding::refused("forbidden"),
            // The precheck does not search, so it cannot know that nothing will be found.
            Ok(Some(_)) => Finding::costs(SEARCH_PRICE),
            _ => Finding::refused("invalid_subject"),
        },
        "integration_status" | "integration_export_contacts" | "integration_export_exhibitors" | "others" => {
            Finding::free("ok")
        }
        _ => Finding::refused("unsupported_action"),
    }
}

/// The answer about an existing event.
fn event(world: &World, action: &str, event: &Event, now_ms: i64) -> Finding {
    let base = world.access.base.is_seen_open(event, now_ms);
    let visitors = world.access.visitors.is_seen_open(event, now_ms);
    let (has_people, has_visitors) = (event.has_people(), event.has_visitors());
    let price = |open: bool, price: i64| if open { 0 } else { price };
    match action {
        "query_event_personnel" => Finding::free("ok").with(json!({
            "event_id": event.event_id(),
            "access_mode": if base { "full" } else { "preview" },
            "preview_limit": (!base).then_some(PREVIEW),
            "unlock_action_type": (!base).then_some("unlock_event_contacts"),
            "unlock_credits": (!base).then_some(EVENT_PRICE),
        })),
        "unlock_event_contacts" => match () {
            () if base => Finding::free("already_unlocked"),
            () if !has_people => Finding::refused("no_contacts_available"),
            () => Finding::costs(EVENT_PRICE),
        },
        "unlock_event_visitors" => {
            let finding = match () {
                () if !world.subscribed => Finding::refused("forbidden"),
                () if visitors => Finding::free("already_unlocked"),
                () if !base => Finding::refused("state_conflict"),
                () if !has_visitors => Finding::refused("no_contacts_available"),
                () => Finding::costs(VISITORS_PRICE),
            };
            let detail = json!({
                "event_id": event.event_id(),
                "event_unlocked": base,
                "visitor_unlocked": visitors,
                "visitor_data_available": has_visitors,
                "visitor_access_credits": VISITORS_PRICE,
                "available_balance": world.credits.seen_at(now_ms).total(),
            });
            Finding { biz_code: "Visitor Unlock - API", ..finding.with(detail) }
        }
        _ => {
            let missing = price(base, EVENT_PRICE) + price(visitors, VISITORS_PRICE);
            let finding = match () {
                () if !world.subscribed => Finding::refused("forbidden"),
                // The call itself would open the event without the visitors.
                () if !has_visitors => Finding::refused("no_contacts_available"),
                () if missing == 0 => Finding::free("already_unlocked"),
                () => Finding::costs(missing),
            };
            finding.with(json!({
                "event_unlocked": base,
                "visitor_unlocked": visitors,
                "visitor_data_available": has_visitors,
                "event_access_credits": price(base, EVENT_PRICE),
                "visitor_access_credits": price(visitors, VISITORS_PRICE),
                "full_access_credits": missing,
            }))
        }
    }
}

fn contacts(world: &mut World, channel: Channel, params: &Map<String, Value>, now_ms: i64) -> Finding {
    let (Ok(ids), Ok(event_id)) = (listed_ids(params), text(params, "event_id", 100)) else {
        return Finding::refused("invalid_subject");
    };
    let event = event_id.map(Event::named);
    if event.as_ref().is_some_and(|event| !event.exists()) {
        return Finding::refused("not_found");
    }
    if ids.len() > MOST_CONTACTS {
        return Finding::refused("exceed_max_unlock_limit");
    }
    let sorted = world.sort(&ids, channel, event.as_ref(), now_ms);
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
