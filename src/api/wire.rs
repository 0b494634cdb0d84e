//! The JSON exactly as it is sent and received, and its conversion to domain types.
//!
//! Unknown fields and unknown words are let through (the domain knows what an unknown word means);
//! a missing or wrongly typed field makes the answer [`Broken`], loudly, since a guess here would
//! become a false outcome. Two leniencies, so that nothing that was paid for is lost: ids may come
//! as numbers, and a submission that names a task is accepted whatever else is odd about it.
//!
//! Reasons are in our own words: serde's may quote the value, which may be an email.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Balance;
use crate::domain::outcome::{Access, ItemStatus, ProfileView, Skipped, Submission};
use crate::domain::outcome::{TaskItem, TaskStatus, TaskView};
use crate::domain::sorting::Quote;
use crate::domain::{Channel, ContactValue, Credits, EventId, PersonnelId, TaskId};

/// An answer that is not what the documentation promises; in our words, for the error message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

fn broken<T>(reason: &str) -> Result<T, Broken> {
    Err(Broken(reason.to_owned()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Broken> {
    serde_json::from_slice(bytes).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Data => "the answer has another shape than documented",
            _ => "the answer is not JSON",
        };
        Broken(format!("{kind} (line {}, column {})", error.line(), error.column()))
    })
}

// ---- errors --------------------------------------------------------------------------------

/// The parts of an error body; each is whatever JSON it is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) code: Option<Value>,
    pub(super) message: Option<Value>,
    #[serde(rename = "errorKey")]
    pub(super) error_key: Option<Value>,
    #[serde(rename = "traceId")]
    pub(super) trace_id: Option<Value>,
    error: Option<Value>,
    #[serde(rename = "statusCode")]
    status_code: Option<Value>,
    task_id: Option<Value>,
}

impl ErrorBody {
    /// The error body of an error status; `None` unless it is a JSON object that says at least
    /// something about the error.
    pub(super) fn of_error_status(bytes: &[u8]) -> Option<ErrorBody> {
        let body: ErrorBody = object(bytes)?;
        let parts = [&body.code, &body.message, &body.error_key, &body.error, &body.status_code];
        let says_something = parts.iter().any(|part| part.is_some());
        says_something.then_some(body)
    }

    /// The error body behind a success status (the vendor's guarded endpoints do that); `None` when
    /// the body is no error body.
    pub(super) fn behind_success(bytes: &[u8]) -> Option<ErrorBody> {
        let body: ErrorBody = object(bytes)?;
        let has_key = body.error_key.as_ref().is_some_and(|key| *key != Value::String(String::new()));
        let has_code = body.code_number().is_some_and(|code| code >= 400) && body.message.is_some();
        (has_key || has_code).then_some(body)
    }

    /// `code`, when it can be a status. A body that names a task is never read as a refusal: the
    /// task may have been charged.
    pub(super) fn status(&self) -> Option<u16> {
        if self.task_id.is_some() {
            return None;
        }
        u16::try_from(self.code_number()?).ok()
    }

    fn code_number(&self) -> Option<u64> {
        self.code.as_ref().and_then(Value::as_u64)
    }
}

/// Reads an object's fields; serde would also take an array for a struct.
fn object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    is_object.then(|| serde_json::from_slice(bytes).ok()).flatten()
}

// ---- ids -----------------------------------------------------------------------------------

/// An id: documented as a string, taken as a whole number too, digit by digit (20 digits must not
/// pass through a float).
#[derive(Debug)]
struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Id(text.to_owned()));
        }
        serde_json::from_str(text).map(Id).map_err(|_| D::Error::custom("not an id"))
    }
}

// ---- balance -------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BalanceBody {
    total_balance: Value,
    // Only the total decides anything; a part that the vendor no longer has is zero.
    subscription_balance: Option<Value>,
    addon_balance: Option<Value>,
    gift_balance: Option<Value>,
}

pub(super) fn balance(bytes: &[u8]) -> Result<Balance, Broken> {
    let body: BalanceBody = parse(bytes)?;
    let part = |value: Option<Value>| value.map_or(Ok(Credits::ZERO), |value| credits(&value));
    Ok(Balance {
        total: credits(&body.total_balance)?,
        subscription: part(body.subscription_balance)?,
        addon: part(body.addon_balance)?,
        gift: part(body.gift_balance)?,
    })
}

/// A balance is documented as a number; a fraction is cut off downwards, so that it never allows
/// what it does not cover.
fn credits(value: &Value) -> Result<Credits, Broken> {
    /// Up to here a float holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(whole) = value.as_i64() {
        return Ok(Credits(whole));
    }
    match value.as_f64() {
        Some(number) if number.abs() <= EXACT => Ok(Credits(number.floor() as i64)),
        _ => broken("a balance is not a number of credits"),
    }
}

// ---- precheck ------------------------------------------------------------------------------

#[derive(Serialize)]
struct PrecheckRequest<'a> {
    action_type: &'static str,
    call_source: &'static str,
    params: ContactsRequest<'a>,
}

#[derive(Serialize)]
struct ContactsRequest<'a> {
    personnel_ids: &'a [PersonnelId],
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a EventId>,
}

pub(super) fn precheck_body(
    channel: Channel,
    call_source: &'static str,
    personnel_ids: &[PersonnelId],
    event_id: Option<&EventId>,
) -> Vec<u8> {
    let action_type = channel.action().as_str();
    encode(&PrecheckRequest { action_type, call_source, params: ContactsRequest { personnel_ids, event_id } })
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("structs of strings are always JSON")
}

/// Each part is whatever JSON it is: what does not help is no answer, rather than an error.
#[derive(Deserialize)]
struct PrecheckBody {
    allowed: Option<Value>,
    should_charge: Option<Value>,
    credits: Option<Value>,
    reason_code: Option<Value>,
}

pub(super) fn quote(bytes: &[u8]) -> Result<Quote, Broken> {
    if object::<serde::de::IgnoredAny>(bytes).is_none() {
        return broken("the answer is not a JSON object");
    }
    let body: PrecheckBody = parse(bytes)?;
    let flag = |value: &Option<Value>| value.as_ref().and_then(Value::as_bool);
    let reason = body.reason_code.as_ref().and_then(Value::as_str).unwrap_or_default();
    let credits = body.credits.as_ref().and_then(Value::as_i64).filter(|credits| *credits > 0);
    // Refused for another reason than money, the figure is not one that would be charged.
    let payable = flag(&body.allowed) != Some(false) || reason == "insufficient_balance";
    Ok(match (flag(&body.should_charge), reason, credits) {
        (Some(false), "already_unlocked" | "unlock_in_progress", _) => Quote::NothingToPay,
        (Some(true) | None, _, Some(credits)) if payable => Quote::Costs(Credits(credits)),
        _ => Quote::Unhelpful,
    })
}

// ---- unlock --------------------------------------------------------------------------------

/// The body of a paid POST: made once, digested, and sent exactly as digested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlockBody {
    bytes: Vec<u8>,
    digest: String,
}

impl UnlockBody {
    /// The JSON as it is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of [`UnlockBody::bytes`], in lower-case hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Makes the body that unlocks these contacts (1 to 2000; the same for emails and phones).
pub fn unlock_body(personnel_ids: &[PersonnelId], event_id: Option<&EventId>) -> UnlockBody {
    let bytes = encode(&ContactsRequest { personnel_ids, event_id });
    let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    UnlockBody { bytes, digest }
}

/// Everything is optional and of any type, so that an oddity elsewhere never costs a task id.
#[derive(Deserialize)]
struct SubmissionBody {
    status: Option<Value>,
    task_id: Option<Box<RawValue>>,
    skipped_personnel_ids: Option<Box<RawValue>>,
    skipped_detail: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SkippedGroups {
    invalid_personnel_ids: Option<Box<RawValue>>,
    missing_personnel_ids: Option<Box<RawValue>>,
    unlinked_personnel_ids: Option<Box<RawValue>>,
    already_unlocked_personnel_ids: Option<Box<RawValue>>,
    unlocking_personnel_ids: Option<Box<RawValue>>,
}

pub(super) fn submission(bytes: &[u8]) -> Result<Submission, Broken> {
    let body: SubmissionBody = parse(bytes)?;
    let groups: SkippedGroups =
        body.skipped_detail.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let skipped = Skipped {
        all: ids(body.skipped_personnel_ids),
        invalid: ids(groups.invalid_personnel_ids),
        missing: ids(groups.missing_personnel_ids),
        unlinked: ids(groups.unlinked_personnel_ids),
        already_unlocked: ids(groups.already_unlocked_personnel_ids),
        unlocking: ids(groups.unlocking_personnel_ids),
    };
    match (body.task_id, body.status.as_ref().and_then(Value::as_str)) {
        (Some(raw), _) => {
            let id: Option<Id> = serde_json::from_str(raw.get()).ok();
            match id.and_then(|id| TaskId::parse(&id.0)) {
                Some(task_id) => Ok(Submission::Accepted { task_id, skipped }),
                None => broken("the task id is not digits"),
            }
        }
        (None, Some("success")) => Ok(Submission::NothingChargeable { skipped }),
        (None, _) => broken("the answer names no task"),
    }
}

fn ids(raw: Option<Box<RawValue>>) -> Vec<String> {
    let ids: Vec<Id> = raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    ids.into_iter().map(|id| id.0).collect()
}

// ---- task ----------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskBody {
    task_id: Id,
    task_status: String,
    items: Option<Vec<ItemBody>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemBody {
    personnel_id: Id,
    status: String,
    email: Option<String>,
    phone: Option<String>,
    error_code: Option<String>,
}

pub(super) fn task(bytes: &[u8], channel: Channel, asked: &TaskId) -> Result<TaskView, Broken> {
    let body: TaskBody = parse(bytes)?;
    if body.task_id.0 != asked.as_str() {
        return broken("the answer is about another task");
    }
    let status = TaskStatus::from_word(&body.task_status);
    let items = match body.items {
        None if status != TaskStatus::Running => return broken("the task has ended without items"),
        items => items.unwrap_or_default(),
    };
    Ok(TaskView { status, items: items.into_iter().map(|item| item.into_domain(channel)).collect() })
}

impl ItemBody {
    fn into_domain(self, channel: Channel) -> TaskItem {
        let text = match channel {
            Channel::Email => self.email,
            Channel::Phone => self.phone,
        };
        TaskItem {
            personnel_id: self.personnel_id.0,
            status: ItemStatus::from_word(&self.status),
            value: text.and_then(|text| ContactValue::parse(channel, &text)),
            error_code: self.error_code,
        }
    }
}

// ---- profile -------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileBody {
    id: Id,
    email: Option<String>,
    phone: Option<String>,
    contact_unlock_status: Option<String>,
    // `Some(None)` is the documented null; `None` is a field that is not there.
    #[serde(default, deserialize_with = "present")]
    phone_unlock_status: Option<Option<String>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

pub(super) fn profile(bytes: &[u8], channel: Channel, asked: &PersonnelId) -> Result<ProfileView, Broken> {
    let body: ProfileBody = parse(bytes)?;
    if body.id.0 != asked.as_str() {
        return broken("the answer is about another contact");
    }
    // A missing word must not read as `locked`: that would be evidence that nothing was bought.
    let word = |text: String| Access::from_word(Some(&text.trim().to_ascii_lowercase()));
    let (access, text) = match channel {
        Channel::Email => (body.contact_unlock_status.map_or(Access::Unclear, word), body.email),
        Channel::Phone => {
            let access = match body.phone_unlock_status {
                None => Access::Unclear,
                Some(None) => Access::from_word(None),
                Some(Some(text)) => word(text),
            };
            (access, body.phone)
        }
    };
    Ok(ProfileView { access, value: text.and_then(|text| ContactValue::parse(channel, &text)) })
}
