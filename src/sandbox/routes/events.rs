//! The three unlocks of an event. Each has its own field for its price, as at the vendor.

use serde_json::{Value, json};

use super::account::balance;
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, invalid, refused};
use crate::sandbox::words::event::Event;
use crate::sandbox::words::results::{Opened, Refusal};

fn event(id: &str) -> Result<Event, Answer> {
    if id.is_empty() || id.chars().count() > 100 {
        return Err(invalid("An event id is text of 1 to 100 characters"));
    }
    Ok(Event::named(id))
}

/// Both of its ids, whichever one was sent.
fn identity(event: &Event) -> Value {
    json!({ "id": event.id(), "eventId": event.event_id(), "name": event.name() })
}

/// Add-on credits are in the total and in neither part.
fn balance_after(world: &World, opened: Opened) -> Value {
    let left = world.credits.held();
    match opened.credits {
        0 => Value::Null,
        _ => json!({
            "subscriptionBalance": left.subscription,
            "permanentBalance": left.gift,
            "totalBalance": left.total(),
            "unlimited": false,
        }),
    }
}

pub(in crate::sandbox) fn unlock_event(world: &mut World, id: &str, now_ms: i64) -> Result<Answer, Answer> {
    let event = event(id)?;
    let opened = world.open(&event, (true, false), now_ms).map_err(refused)?;
    let body = json!({
        "success": true,
        "alreadyUnlocked": !opened.base,
        "creditsUsed": opened.credits,
        "balanceAfter": balance_after(world, opened),
        "event": identity(&event),
    });
    Ok(Answer::new(201, body))
}

pub(in crate::sandbox) fn unlock_visitors(
    world: &mut World,
    id: &str,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let event = event(id)?;
    let refusal = match &event {
        _ if !world.subscribed => Some(Refusal::NoSubscription),
        event if !event.exists() => Some(Refusal::EventNotFound),
        event if !world.access.base.is_open(event) => Some(Refusal::EventNotUnlocked),
        event if !event.has_visitors() => Some(Refusal::NoVisitorData),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Err(refused(refusal));
    }
    let opened = world.open(&event, (false, true), now_ms).map_err(refused)?;
    let after = if opened.credits == 0 { Value::Null } else { balance_now(world) };
    let body = json!({
        "success": true,
        "alreadyUnlocked": !opened.visitors,
        "creditsSpent": opened.credits,
        "balanceAfter": after,
        "event": identity(&event),
    });
    Ok(Answer::new(201, body))
}

/// The real balance, not the one that a lagging reader sees: this answer does not lag.
fn balance_now(world: &World) -> Value {
    balance(world, i64::MAX)
}

pub(in crate::sandbox) fn unlock_full_access(
    world: &mut World,
    id: &str,
    now_ms: i64,
) -> Result<Answer, Answer> {
    if !world.subscribed {
        return Err(refused(Refusal::NoSubscription));
    }
    let event = event(id)?;
    let visitors = event.has_visitors();
    let opened = world.open(&event, (true, visitors), now_ms).map_err(refused)?;
    let body = json!({
        "success": true,
        "alreadyUnlocked": !opened.base && !opened.visitors && visitors,
        "eventUnlocked": opened.base,
        "visitorUnlocked": opened.visitors,
        "visitorSkipped": !visitors,
        "totalCreditsUsed": opened.credits,
        "balanceAfter": balance_after(world, opened),
        "event": identity(&event),
    });
    Ok(Answer::new(201, body))
}
