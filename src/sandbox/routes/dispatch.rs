//! Which function answers which call.

use super::account::balance;
use super::events::unlock_event;
use super::people::{list, profile};
use super::precheck::precheck;
use super::searches::{company_item, event_item, names_concurrency, search};
use super::unlocks::{task, unlock};
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::{Answer, error, invalid, refuse};
use crate::sandbox::words::asked::Asked;
use crate::sandbox::words::route::Route;

/// Carries out one call and says what the vendor would.
pub(in crate::sandbox) fn answer(world: &mut World, asked: &Asked, now_ms: i64) -> Answer {
    let Some(route) = &asked.route else {
        return refuse(404);
    };
    if !matches!(asked.call_source.as_deref(), None | Some("api" | "agent")) {
        return invalid("x-call-source is api or agent");
    }
    let result = match route {
        Route::Unlock(channel) => unlock(world, asked, *channel, now_ms),
        Route::Task(channel, id) => task(world, asked, *channel, id, now_ms),
        Route::Balance => Ok(balance(world, now_ms)),
        Route::Precheck => precheck(world, asked.body.as_ref(), now_ms),
        Route::Profile => profile(world, asked, now_ms),
        Route::UnlockEvent(id) => unlock_event(world, id, now_ms),
        Route::List => list(world, asked, now_ms),
        Route::SearchCompanies => search(world, asked, now_ms, company_item),
        Route::SearchEvents if names_concurrency(asked) => {
            Err(error(200, 429, "USER_CONCURRENCY_LIMIT_EXCEEDED", "Too many searches at once"))
        }
        Route::SearchEvents => search(world, asked, now_ms, event_item),
    };
    result.unwrap_or_else(|refusal| refusal)
}
