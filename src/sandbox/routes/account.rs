//! The balance.

use serde_json::json;

use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::Answer;

const DAY_MS: i64 = 86_400_000;

pub(in crate::sandbox) fn balance(world: &World, now_ms: i64) -> Answer {
    let left = world.credits.seen_at(now_ms);
    let granted = world.credits.granted;
    let addon_expires = (granted.addon > 0).then_some(world.started_ms + 180 * DAY_MS);
    Answer::new(
        200,
        json!({
            "totalAmount": granted.total(),
            "totalBalance": left.total(),
            "subscriptionAmount": granted.subscription,
            "subscriptionBalance": left.subscription,
            "addonAmount": granted.addon,
            "addonBalance": left.addon,
            "addonExpireAt": addon_expires,
            "giftAmount": granted.gift,
            "giftBalance": left.gift,
            "resetAt": world.started_ms + 30 * DAY_MS,
        }),
    )
}
