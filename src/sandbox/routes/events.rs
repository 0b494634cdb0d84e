//! The unlock of an event.

use serde_json::{Value, json};

use crate::sandbox::state::credits::EVENT_PRICE;
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, invalid, refused};
use crate::sandbox::words::standing::Unlocked;

pub(in crate::sandbox) fn unlock_event(world: &mut World, id: &str, now_ms: i64) -> Result<Answer, Answer> {
    if id.is_empty() || id.chars().count() > 100 {
        return Err(invalid("An event id is text of 1 to 100 characters"));
    }
    let unlocked = world.unlock_event(id, now_ms).map_err(refused)?;
    let left = world.credits.held();
    let (credits_used, balance_after) = match unlocked {
        Unlocked::Before => (0, Value::Null),
        Unlocked::Now => {
            let after = json!({
                "subscriptionBalance": left.subscription,
                "permanentBalance": left.addon + left.gift,
                "totalBalance": left.total(),
                "unlimited": false,
            });
            (EVENT_PRICE, after)
        }
    };
    Ok(Answer::new(
        201,
        json!({
            "success": true,
            "alreadyUnlocked": unlocked == Unlocked::Before,
            "creditsUsed": credits_used,
            "balanceAfter": balance_after,
            "event": { "id": id, "eventId": id, "name": format!("Sandbox Event {id}") },
        }),
    ))
}
