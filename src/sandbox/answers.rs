//! What each endpoint answers, in the vendor's words.
//!
//! The JSON is written out here from the vendor's pages, field by field, and shares nothing with the
//! client that reads it: a misspelt name cannot agree with itself.

use serde_json::{Map, Value, json};

use super::contacts::{Channel, Fate, event_exists, people_of};
use super::precheck::precheck;
use super::routes::{Asked, Route};
use super::tasks::ItemView;
use super::world::{EVENT_PRICE, Refusal, Sorted, Standing, World};

/// How many contacts one call may name.
pub(super) const MOST_CONTACTS: usize = 2_000;
/// How many people of an event can be seen before it is unlocked.
const PREVIEW: usize = 5;
const SEARCH_TOTAL: i64 = 45;
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
        Self {
            status,
            body,
            headers: Vec::new(),
        }
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
    Answer::new(
        status,
        json!({ "code": code, "message": message, "errorKey": error_key }),
    )
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

fn invalid(message: &str) -> Answer {
    error(400, 400, "INVALID_REQUEST", message)
}

fn refused(refusal: Refusal) -> Answer {
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
        Route::SearchEvents if names_concurrency(asked) => Err(error(
            200,
            429,
            "USER_CONCURRENCY_LIMIT_EXCEEDED",
            "Too many searches at once",
        )),
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
        Some(_) => Err(invalid(&format!(
            "{name} is text of 1 to {most} characters"
        ))),
    }
}

pub(super) fn object(body: Option<&Value>) -> Result<&Map<String, Value>, Answer> {
    body.and_then(Value::as_object)
        .ok_or_else(|| invalid("The body is a JSON object, sent as application/json"))
}

pub(super) fn personnel_ids(object: &Map<String, Value>) -> Result<Vec<String>, Answer> {
    let wrong = || invalid("personnel_ids is a list of at least one text");
    let ids = object.get("personnel_ids").and_then(Value::as_array);
    let ids = ids.filter(|ids| !ids.is_empty()).ok_or_else(wrong)?;
    let texts = ids.iter().map(|id| id.as_str().map(str::to_owned));
    texts.collect::<Option<Vec<_>>>().ok_or_else(wrong)
}

fn unlock(
    world: &mut World,
    asked: &Asked,
    channel: Channel,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let body = object(asked.body.as_ref())?;
    let ids = personnel_ids(body)?;
    let event_id = text(body, "event_id", 100)?;
    if ids.len() > MOST_CONTACTS {
        return Err(refuse(422));
    }
    // The sandbox accepts a call only with a key, so there is one.
    let key = asked.key.as_deref().unwrap_or_default();
    let submitted = world.submit(key, channel, &ids, event_id, now_ms);
    let (task, sorted) = submitted.map_err(refused)?;
    let mut answer = json!({ "status": "success" });
    if let Some(number) = task {
        answer = json!({
            "status": "accepted",
            "task_id": number.to_string(),
            "job_id": number.to_string(),
        });
    }
    add_skipped(&mut answer, &sorted);
    Ok(Answer::new(201, answer))
}

fn add_skipped(answer: &mut Value, sorted: &Sorted) {
    let groups = [
        ("invalid_personnel_ids", &sorted.invalid),
        ("missing_personnel_ids", &sorted.missing),
        ("unlinked_personnel_ids", &sorted.unlinked),
        ("already_unlocked_personnel_ids", &sorted.already_unlocked),
        ("unlocking_personnel_ids", &sorted.unlocking),
    ];
    let skipped: Vec<&String> = groups.iter().flat_map(|(_, ids)| ids.iter()).collect();
    if skipped.is_empty() {
        return;
    }
    answer["skipped_personnel_ids"] = json!(skipped);
    for (name, ids) in groups.iter().filter(|(_, ids)| !ids.is_empty()) {
        answer["skipped_detail"][*name] = json!(ids);
    }
}

fn task(
    world: &World,
    asked: &Asked,
    channel: Channel,
    id: &str,
    now_ms: i64,
) -> Result<Answer, Answer> {
    let key = asked.key.as_deref().unwrap_or_default();
    let number = id.parse().map_err(|_| refuse(404))?;
    let task = world
        .task(number, channel, key)
        .ok_or_else(|| refuse(404))?;
    let items: Vec<Value> = task
        .items(now_ms)
        .into_iter()
        .map(|(id, view)| item_json(id, view, channel))
        .collect();
    Ok(Answer::new(
        200,
        json!({ "taskId": id, "taskStatus": task.phase(now_ms).as_str(), "items": items }),
    ))
}

fn item_json(id: &str, view: ItemView, channel: Channel) -> Value {
    match view {
        ItemView::Pending => json!({ "personnelId": id, "status": "pending" }),
        ItemView::Processing => json!({ "personnelId": id, "status": "processing" }),
        ItemView::Unlocked(None) => json!({ "personnelId": id, "status": "unlocked" }),
        ItemView::Unlocked(Some(value)) => {
            json!({ "personnelId": id, "status": "unlocked", channel.as_str(): value })
        }
        ItemView::Failed(code) => {
            json!({ "personnelId": id, "status": "failed", "errorCode": code })
        }
    }
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

fn query<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
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

fn contact(world: &mut World, id: &str, now_ms: i64) -> Value {
    let email = world.standing(id, Channel::Email, now_ms);
    let phone = world.standing(id, Channel::Phone, now_ms);
    let contact_status = match email {
        Standing::Unlocked(_) => "unlocked",
        Standing::Processing => "processing",
        Standing::Locked | Standing::Failed => "locked",
    };
    let phone_status = match phone {
        Standing::Unlocked(_) => Some("ready"),
        Standing::Processing => Some("processing"),
        Standing::Failed => Some("failed"),
        Standing::Locked => None,
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
    let (credits_used, balance_after) = if unlocked.already_unlocked {
        (0, Value::Null)
    } else {
        let after = json!({
            "subscriptionBalance": left.subscription,
            "permanentBalance": left.addon + left.gift,
            "totalBalance": left.total(),
            "unlimited": false,
        });
        (EVENT_PRICE, after)
    };
    Ok(Answer::new(
        201,
        json!({
            "success": true,
            "alreadyUnlocked": unlocked.already_unlocked,
            "creditsUsed": credits_used,
            "balanceAfter": balance_after,
            "event": { "id": id, "eventId": id, "name": format!("Sandbox Event {id}") },
        }),
    ))
}

/// Which page is asked for, and of what size.
#[derive(Clone, Copy)]
struct Paging {
    page: i64,
    size: i64,
}

impl Paging {
    fn new(page: Option<i64>, size: Option<i64>) -> Result<Self, Answer> {
        match (page, size) {
            (Some(page @ 1..=1_000_000), Some(size @ 1..=100)) => Ok(Self { page, size }),
            _ => Err(invalid("page is at least 1, pageSize 1 to 100")),
        }
    }

    /// From the first to before the last item of the page, of so many in all.
    fn range(self, total: i64) -> std::ops::Range<i64> {
        let start = ((self.page - 1) * self.size).min(total);
        start..(start + self.size).min(total)
    }

    fn page_of(self, items: Vec<Value>, total: i64) -> Value {
        let pages = (total + self.size - 1) / self.size;
        json!({
            "items": items,
            "total": total,
            "page": self.page,
            "pageSize": self.size,
            "totalPages": pages,
            "hasMore": self.page < pages,
        })
    }
}

fn list(world: &mut World, asked: &Asked, now_ms: i64) -> Result<Answer, Answer> {
    let event_id = query(asked, "event_id").unwrap_or_default();
    if event_id.is_empty() || event_id.chars().count() > 100 {
        return Err(invalid("event_id is text of 1 to 100 characters"));
    }
    if !event_exists(event_id) {
        return Err(refuse(404));
    }
    let number = |name, default| query(asked, name).map_or(Some(default), |text| text.parse().ok());
    let paging = Paging::new(number("page", 1), number("pageSize", 20))?;
    let people = people_of(event_id);
    let full = world.event_unlocked(event_id, now_ms);
    let visible = if full { people.len() } else { PREVIEW };
    let range = paging.range(visible as i64);
    let items = people[range.start as usize..range.end as usize]
        .iter()
        .map(|id| contact(world, id, now_ms))
        .collect();
    let mut answer = paging.page_of(items, visible as i64);
    answer["semantics"] = semantics(full, people.len(), visible, paging);
    Ok(Answer::new(200, answer))
}

fn semantics(full: bool, actual: usize, visible: usize, paging: Paging) -> Value {
    let last_page = (visible as i64 + paging.size - 1) / paging.size;
    let (code, message) = if full {
        ("full_access", "All results are visible")
    } else {
        ("unlock_event", "Unlock the event to see all results")
    };
    json!({
        "accessMode": if full { "full" } else { "preview" },
        "previewLimit": (!full).then_some(PREVIEW),
        "counts": {
            "actualTotal": actual,
            "visibleTotal": visible,
            "remainingLockedCount": actual - visible,
        },
        "pageState": {
            "requestedPage": paging.page,
            "accessible": paging.page <= last_page,
            "maxAccessiblePage": last_page,
        },
        "unlock": {
            "requiredForMoreResults": !full,
            "actionType": (!full).then_some("unlock_event_contacts"),
            "credits": (!full).then_some(EVENT_PRICE),
        },
        "guidance": { "code": code, "message": message },
    })
}

fn names_concurrency(asked: &Asked) -> bool {
    let body = asked.body.as_ref();
    let name = body.and_then(|body| body.get("company_name"));
    name.and_then(Value::as_str)
        .is_some_and(|name| name.contains("concurrent"))
}

fn search(
    world: &mut World,
    asked: &Asked,
    now_ms: i64,
    item: fn(&str, i64) -> Value,
) -> Result<Answer, Answer> {
    let body = object(asked.body.as_ref())?;
    let name = text(body, "company_name", 200)?;
    let name = name.ok_or_else(|| invalid("company_name is required"))?;
    let number = |field, default| body.get(field).map_or(Some(default), Value::as_i64);
    let paging = Paging::new(number("page", 1), number("pageSize", 20))?;
    let total = if name.contains("nobody") {
        0
    } else {
        SEARCH_TOTAL
    };
    let items: Vec<Value> = paging.range(total).map(|place| item(name, place)).collect();
    if !items.is_empty() {
        world.charge_search(now_ms).map_err(refused)?;
    }
    Ok(Answer::new(201, paging.page_of(items, total)))
}

fn company_item(name: &str, place: i64) -> Value {
    let number = place + 1;
    json!({
        "id": (4_000 + number).to_string(),
        "companyName": format!("{name} {number}"),
        "matched_event_ids": [(139_000 + number).to_string()],
    })
}

fn event_item(name: &str, place: i64) -> Value {
    let number = (139_000 + place + 1).to_string();
    json!({
        "id": number,
        "eventId": number,
        "name": format!("{name} at Sandbox Expo {}", place + 1),
    })
}
