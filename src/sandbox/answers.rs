//! What each endpoint answers, in the vendor's words.
//!
//! The JSON is written out from the vendor's pages, field by field, and shares nothing with the
//! client that reads it: a misspelt name cannot agree with itself. Here are the way to each endpoint,
//! errors, and the short answers; `unlocks.rs`, `pages.rs` and `precheck.rs` have the longer ones.

use serde_json::{Map, Value, json};

use super::contacts::{Channel, Fate};
use super::credits::EVENT_PRICE;
use super::pages::{company_item, event_item, list, names_concurrency, search};
use super::precheck::precheck;
use super::routes::{Asked, Route};
use super::unlocks::{task, unlock};
use super::world::{Refusal, Standing, Unlocked, World};

const DAY_MS: i64 = 86_400_000;

/// An answer before it is put on the wire.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Also true of an error that is answered with HTTP 200.
    pub(super) fn is_error(&self) -> bool {
        self.body.get("errorKey").is_some()
    }
}

/// The documented error shape; `traceId` is added on the way out, when it is known.
pub(super) fn error(status: u16, code: i64, error_key: &str, message: &str) -> Answer {
    Answer::new(status, json!({ "code": code, "message": message, "errorKey": error_key }))
}

/// The error that the vendor documents for a status, or a plausible one.
pub(super) fn refuse(status: u16) -> Answer {
    let (error_key, message) = match status {
        400 => ("INVALID_REQUEST", "Invalid request"),
        401 => ("INVALID_API_KEY", "Invalid API key"),
        402 => ("INSUFFICIENT_CREDITS", "Insufficient credits"),
        404 => ("NOT_FOUND", "Resource not found"),
        409 => ("STATE_CONFLICT", "Conflict"),
        422 => ("LEAD_SELECTION_LIMIT_EXCEEDED", "Limit exceeded"),
        429 => ("RATE_LIMIT_EXCEEDED", "Rate limit exceeded"),
        500..=599 => ("INTERNAL_ERROR", "Internal server error"),
        _ => ("REQUEST_REFUSED", "The request was refused"),
    };
    error(status, i64::from(status), error_key, message)
}

pub(super) fn invalid(message: &str) -> Answer {
    error(400, 400, "INVALID_REQUEST", message)
}

pub(super) fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::EventNotFound => refuse(404),
        Refusal::InsufficientCredits => refuse(402),
    }
}

/// Carries out one call and says what the vendor would.
pub(super) fn answer(world: &mut World, asked: &Asked, now_ms: i64) -> Answer {
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

/// An optional text of 1 to `most` characters.
pub(super) fn text<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    most: usize,
) -> Result<Option<&'a str>, Answer> {
    match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if (1..=most).contains(&text.chars().count()) => Ok(Some(text)),
        Some(_) => Err(invalid(&format!("{name} is text of 1 to {most} characters"))),
    }
}

pub(super) fn object(body: Option<&Value>) -> Result<&Map<String, Value>, Answer> {
    body.and_then(Value::as_object)
        .ok_or_else(|| invalid("The body is a JSON object, sent as application/json"))
}

fn balance(world: &World, now_ms: i64) -> Answer {
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

pub(super) fn query<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let found = asked.query.iter().find(|(known, _)| known == name)?;
    Some(found.1.as_str())
}

fn profile(world: &mut World, asked: &Asked, now_ms: i64) -> Result<Answer, Answer> {
    let id = query(asked, "personnel_id").unwrap_or_default();
    if id.is_empty() || id.len() > 20 {
        return Err(invalid("personnel_id is text of 1 to 20 characters"));
    }
    match Fate::of(id) {
        Fate::Invalid | Fate::Missing => Err(refuse(404)),
        _ => Ok(Answer::new(200, contact(world, id, now_ms))),
    }
}

pub(super) fn contact(world: &mut World, id: &str, now_ms: i64) -> Value {
    let email = world.standing(id, Channel::Email, now_ms);
    let phone = world.standing(id, Channel::Phone, now_ms);
    let contact_status = match email {
        Standing::Unlocked(_) => "unlocked",
        Standing::Processing if !world.terse_profiles => "processing",
        Standing::Processing | Standing::Locked | Standing::Failed => "locked",
    };
    let phone_status = match phone {
        Standing::Unlocked(_) => Some("ready"),
        Standing::Processing if !world.terse_profiles => Some("processing"),
        Standing::Failed => Some("failed"),
        Standing::Processing | Standing::Locked => None,
    };
    let value = |standing| match standing {
        Standing::Unlocked(value) => value,
        _ => None,
    };
    json!({
        "id": id,
        "fullName": format!("Sandbox Person {id}"),
        "title": "Head of Examples",
        "companyName": "Example Works",
        "sourceType": ["exhibitor"],
        "email": value(email),
        "phone": value(phone),
        "contactUnlockStatus": contact_status,
        "phoneUnlockStatus": phone_status,
    })
}

fn unlock_event(world: &mut World, id: &str, now_ms: i64) -> Result<Answer, Answer> {
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
