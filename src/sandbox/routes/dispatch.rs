//! Which function answers which call.

use super::account::balance;
use super::events::{unlock_event, unlock_full_access, unlock_visitors};
use super::people::{list, profile, search_contacts};
use super::precheck::precheck;
use super::searches::{events_by_name, search_companies, search_events};
use super::unlocks::{task, unlock};
use super::work::{unlock_linkedin, write_outreach};
use crate::sandbox::state::world::World;
use crate::sandbox::words::answer::Answer;
use crate::sandbox::words::asked::Asked;
use crate::sandbox::words::route::Route;

/// Carries out one call and returns the vendor's answer.
pub(in crate::sandbox) fn answer(world: &mut World, route: &Route, asked: &Asked, now_ms: i64) -> Answer {
    let result = match route {
        Route::Unlock(channel) => unlock(world, asked, *channel, now_ms),
        Route::Task(channel, id) => task(world, *channel, id, now_ms),
        Route::Balance => Ok(Answer::new(200, balance(world, now_ms))),
        Route::Precheck => precheck(world, asked.body.as_ref(), now_ms),
        Route::Profile => profile(world, asked, now_ms),
        Route::UnlockEvent(id) => unlock_event(world, id, now_ms),
        Route::UnlockVisitors(id) => unlock_visitors(world, id, now_ms),
        Route::UnlockFullAccess(id) => unlock_full_access(world, id, now_ms),
        Route::List => list(world, asked, now_ms),
        Route::SearchContacts => search_contacts(world, asked, now_ms),
        Route::SearchCompanies => search_companies(world, asked, now_ms),
        Route::SearchEvents => search_events(world, asked, now_ms),
        Route::EventsByName => events_by_name(world, asked, now_ms),
        Route::UnlockLinkedin => unlock_linkedin(world, asked, now_ms),
        Route::WriteOutreach => write_outreach(world, asked, now_ms),
    };
    result.unwrap_or_else(|refusal| refusal)
}
