//! The balance.

use serde_json::{Value, json};

use crate::sandbox::state::world::World;

pub(in crate::sandbox) fn balance(world: &World, now_ms: i64) -> Value {
    let credits = &world.credits;
    let (left, granted) = (credits.seen_at(now_ms), credits.granted());
    json!({
        "totalAmount": granted.total(),
        "totalBalance": left.total(),
        "subscriptionAmount": granted.subscription,
        "subscriptionBalance": left.subscription,
        "addonAmount": granted.addon,
        "addonBalance": left.addon,
        "addonExpireAt": credits.addon_lapses_ms(),
        "giftAmount": granted.gift,
        "giftBalance": left.gift,
        "resetAt": credits.reset_ms(),
    })
}
