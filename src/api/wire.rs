//! The JSON of answers, and its conversion to domain types.
//!
//! Unknown fields and unknown words are accepted (the domain knows what an unknown word means). A missing or
//! wrongly typed field makes the answer [`Broken`], with an error, since a guess would become a wrong
//! outcome. Some exceptions keep what was paid for: ids may be numbers, a byte order mark and a repeated
//! field are ignored (`fields`), a submission that names a task is accepted even if the rest is odd, and an
//! odd item of a task affects no other (`task`).
//!
//! The reasons are our own texts: serde's may quote the value, which may be an email.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::{Fields, without_mark};
use super::json::{ABSURD, Broken, Held, Id, broken, describe, if_readable, is_object};
use crate::domain::credits::Balance;
use crate::domain::division::{Skipped, Submission};
use crate::domain::granted::Granted;
use crate::domain::outcome::{Access, ProfileView};
use crate::domain::{Channel, ContactValue, Credits, Millis, PersonnelId, TaskId};

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Broken> {
    let bytes = without_mark(bytes);
    if !is_object(bytes) {
        return broken("the answer is not a JSON object");
    }
    serde_json::from_slice(bytes).or_else(|error| {
        // A field that appears twice with the same value is no reason to lose an answer.
        let once = Fields::read(bytes).ok().and_then(|fields| fields.once_each());
        once.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| describe(&error))
    })
}

// ---- balance -------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BalanceBody {
    total_balance: Value,
    // Only the total decides; a part that the vendor no longer sends is zero.
    subscription_balance: Option<Value>,
    addon_balance: Option<Value>,
    gift_balance: Option<Value>,
    subscription_amount: Option<Value>,
    addon_amount: Option<Value>,
    gift_amount: Option<Value>,
    reset_at: Option<Value>,
    addon_expire_at: Option<Value>,
}

pub(super) fn balance(bytes: &[u8]) -> Result<Balance, Broken> {
    let body: BalanceBody = parse(bytes)?;
    let part = |value: Option<Value>| value.map_or(Ok(Credits::ZERO), |value| credits(&value));
    Ok(Balance {
        total: credits(&body.total_balance)?,
        subscription: part(body.subscription_balance)?,
        addon: part(body.addon_balance)?,
        gift: part(body.gift_balance)?,
        granted: Granted {
            // These explain a fall; one that cannot be read explains none, and spoils no balance.
            subscription: body.subscription_amount.and_then(|value| credits(&value).ok()),
            addon: body.addon_amount.and_then(|value| credits(&value).ok()),
            gift: body.gift_amount.and_then(|value| credits(&value).ok()),
            reset_at: moment(body.reset_at),
            addon_expire_at: moment(body.addon_expire_at),
        },
    })
}

/// A moment in milliseconds; one before the year 2001 or far in the future is in another unit.
fn moment(value: Option<Value>) -> Option<Millis> {
    let ms = value?.as_i64().filter(|ms| (1_000_000_000_000..100_000_000_000_000).contains(ms))?;
    Some(Millis(ms))
}

/// A balance is documented as a number; a fraction is rounded down, so that it never allows too much. An
/// impossible figure makes the answer broken.
pub(super) fn credits(value: &Value) -> Result<Credits, Broken> {
    /// Up to here a float holds every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let credits = match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => Credits(whole),
        (None, Some(number)) if number.abs() <= EXACT => Credits(number.floor() as i64),
        _ => return broken("a figure is not a number of credits"),
    };
    if credits.is_absurd() {
        return broken(ABSURD);
    }
    Ok(credits)
}

// ---- unlock --------------------------------------------------------------------------------

/// The names under which an answer may give the id of a task; `job_id` is documented as the same id.
const TASK_NAMES: [&str; 4] = ["task_id", "taskId", "job_id", "jobId"];

/// The id of the task that an answer names, if it can be used to poll. Everything else in the answer may be
/// odd: a task id that is not stored is a lost purchase.
pub(super) fn named_task(fields: &Fields<'_>) -> Option<TaskId> {
    TASK_NAMES.iter().find_map(|name| TaskId::parse(&fields.id(&[name])?))
}

/// Whether an answer names a task, even with an id that cannot be read.
pub(super) fn names_task(fields: &Fields<'_>) -> bool {
    fields.last(&TASK_NAMES).is_some()
}

/// Reads the answer to a submission that the API accepted.
pub(super) fn submission(bytes: &[u8]) -> Result<Submission, Broken> {
    let fields = Fields::read(bytes)?;
    let skipped = skipped(&fields);
    if let Some(task_id) = named_task(&fields) {
        return Ok(Submission::Accepted { task_id, skipped });
    }
    if names_task(&fields) {
        return broken("the task id cannot be an id");
    }
    match fields.text(&["status"]).as_deref() {
        Some("success") => Ok(Submission::NothingChargeable { skipped }),
        _ => broken("the answer names no task"),
    }
}

/// The groups of contacts that were not accepted. Contacts in a group with an undocumented name count as
/// skipped without a group.
fn skipped(fields: &Fields<'_>) -> Skipped {
    let mut skipped = Skipped { all: ids(fields.last(&["skipped_personnel_ids"])), ..Skipped::default() };
    let detail = fields.last(&["skipped_detail"]).map(|raw| Fields::read(raw.get().as_bytes()));
    let Some(Ok(groups)) = detail else { return skipped };
    for (name, raw) in groups.iter() {
        let group = match name.strip_suffix("_personnel_ids").unwrap_or(name) {
            "invalid" => &mut skipped.invalid,
            "missing" => &mut skipped.missing,
            "unlinked" => &mut skipped.unlinked,
            "already_unlocked" => &mut skipped.already_unlocked,
            "unlocking" => &mut skipped.unlocking,
            _ => &mut skipped.all,
        };
        group.extend(ids(Some(raw)));
    }
    skipped
}

/// The ids of a list whose items are ids, or objects with one.
fn ids(raw: Option<&RawValue>) -> Vec<String> {
    const NAMES: [&str; 3] = ["personnel_id", "personnelId", "id"];
    let items: Vec<Box<RawValue>> = if_readable(raw).unwrap_or_default();
    let id_of = |item: &RawValue| match if_readable::<Id>(Some(item)) {
        Some(id) => Some(id.0),
        None => Fields::read(item.get().as_bytes()).ok()?.id(&NAMES),
    };
    items.iter().filter_map(|item| id_of(item)).collect()
}

// ---- profile -------------------------------------------------------------------------------

/// A person, in a profile or in a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProfileBody {
    pub(super) id: Id,
    email: Option<Held>,
    phone: Option<Held>,
    company_name: Option<Value>,
    contact_unlock_status: Option<String>,
    // `Some(None)` is the documented null; `None` means that the field is missing.
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
    Ok(body.view(channel))
}

impl ProfileBody {
    /// The person's data for `channel`.
    pub(super) fn view(self, channel: Channel) -> ProfileView {
        // A missing word must not count as `locked`: that would be evidence that nothing was bought.
        let word = |text: String| Access::from_word(Some(&text.trim().to_ascii_lowercase()));
        let (access, text) = match channel {
            Channel::Email => (self.contact_unlock_status.map_or(Access::Missing, word), self.email),
            Channel::Phone => {
                let access = match self.phone_unlock_status {
                    None => Access::Missing,
                    Some(None) => Access::NotSaid,
                    Some(Some(text)) => word(text),
                };
                (access, self.phone)
            }
        };
        let company = self.company_name.as_ref().and_then(Value::as_str).map(str::to_owned);
        ProfileView { access, value: usable(text), company }
    }
}

/// A value that counts as delivered, if there is one.
pub(super) fn usable(held: Option<Held>) -> Option<ContactValue> {
    held.and_then(|held| ContactValue::parse(&held.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task_id(text: &str) -> TaskId {
        TaskId::parse(text).expect("digits")
    }

    fn contact(text: &str) -> PersonnelId {
        PersonnelId::parse(text).expect("digits")
    }

    #[test]
    fn the_documented_balance_is_read() {
        let body = br#"{"totalAmount":45050,"totalBalance":38050,"subscriptionAmount":35000,
            "subscriptionBalance":30000,"addonAmount":10000,"addonBalance":8000,
            "addonExpireAt":1784851200000,"giftAmount":50,"giftBalance":50,"resetAt":1714521600000}"#;
        let expected = Balance {
            total: Credits(38_050),
            subscription: Credits(30_000),
            addon: Credits(8_000),
            gift: Credits(50),
            granted: Granted {
                subscription: Some(Credits(35_000)),
                addon: Some(Credits(10_000)),
                gift: Some(Credits(50)),
                reset_at: Some(Millis(1_714_521_600_000)),
                addon_expire_at: Some(Millis(1_784_851_200_000)),
            },
        };
        assert_eq!(balance(body), Ok(expected));
    }

    #[test]
    fn a_balance_is_never_rounded_up_nor_guessed() {
        assert_eq!(balance(br#"{"totalBalance":99.9}"#).expect("a number").total, Credits(99));
        assert_eq!(balance(br#"{"totalBalance":1e3}"#).expect("a number").total, Credits(1_000));
        for bad in [
            r#"{}"#,
            r#"{"totalBalance":null}"#,
            r#"{"totalBalance":"38050"}"#,
            r#"{"totalBalance":1e300}"#,
            r#"{"totalBalance":1000000000001}"#,
            r#"{"totalBalance":9223372036854775807}"#,
            r#"{"totalBalance":99999999999999999999}"#,
            r#"{"totalBalance":1,"giftBalance":"x"}"#,
            "[]",
            "",
        ] {
            assert!(balance(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_granted_is_read_as_far_as_it_can_be_and_spoils_no_balance() {
        let odd = br#"{"totalBalance":9,"subscriptionAmount":"x","addonAmount":null,"giftAmount":-1,
            "resetAt":1714521600,"addonExpireAt":null}"#;
        let read = balance(odd).expect("a balance");
        let expected = Granted { gift: Some(Credits(-1)), ..Granted::default() };
        assert_eq!((read.total, read.granted), (Credits(9), expected));
    }

    #[test]
    fn the_documented_submission_is_read_with_its_groups() {
        let body = br#"{"status":"accepted","task_id":"321","job_id":"321",
            "skipped_personnel_ids":["1","2","3","4","5"],
            "skipped_detail":{"invalid_personnel_ids":["1"],"missing_personnel_ids":["2"],
            "unlinked_personnel_ids":["3"],"already_unlocked_personnel_ids":["4"],
            "unlocking_personnel_ids":[5],"brand_new_personnel_ids":["6"]},"extra":{"a":[1]}}"#;
        let one = |text: &str| vec![text.to_owned()];
        let skipped = Skipped {
            all: ["1", "2", "3", "4", "5", "6"].map(String::from).into(),
            invalid: one("1"),
            missing: one("2"),
            unlinked: one("3"),
            already_unlocked: one("4"),
            unlocking: one("5"),
        };
        assert_eq!(submission(body), Ok(Submission::Accepted { task_id: task_id("321"), skipped }));
    }

    #[test]
    fn a_success_without_a_task_had_nothing_to_charge() {
        let nothing = Ok(Submission::NothingChargeable { skipped: Skipped::default() });
        assert_eq!(submission(br#"{"status":"success"}"#), nothing);
        assert_eq!(submission(br#"{"status":"success","task_id":null,"skipped_detail":null}"#), nothing);
    }

    #[test]
    fn a_task_id_is_kept_whatever_else_is_odd() {
        for odd in [
            r#"{"status":"accepted","task_id":"321"}"#,
            r#"{"status":"accepted","task_id":321}"#,
            r#"{"status":"success","task_id":"321"}"#,
            r#"{"status":"brand_new","task_id":"321"}"#,
            r#"{"task_id":"321"}"#,
            r#"{"status":"accepted","task_id":"321","skipped_personnel_ids":"789"}"#,
            r#"{"status":"accepted","task_id":"321","skipped_detail":{"invalid_personnel_ids":{}}}"#,
            r#"{"status":"accepted","task_id":"321","skipped_detail":[7]}"#,
            r#"{"status":"accepted","taskId":"321"}"#,
            r#"{"status":"accepted","job_id":"321"}"#,
            r#"{"status":"accepted","jobId":321}"#,
            r#"{"status":"accepted","task_id":null,"job_id":"321"}"#,
            r#"{"status":"accepted","task_id":"../x","job_id":"321"}"#,
            r#"{"status":"accepted","task_id":"321","task_id":"321"}"#,
            r#"{"task_id":"320","status":"accepted","task_id":"321"}"#,
            "\u{feff}{\"status\":\"accepted\",\"task_id\":\"321\"}",
        ] {
            let read = submission(odd.as_bytes());
            let expected = Submission::Accepted { task_id: task_id("321"), skipped: Skipped::default() };
            assert_eq!(read, Ok(expected), "{odd}");
        }
        let long = submission(br#"{"status":"accepted","task_id":12345678901234567890123}"#);
        assert!(
            matches!(long, Ok(Submission::Accepted { task_id, .. }) if task_id.as_str() == "12345678901234567890123")
        );
        for id in ["2be6d7f4-3b2d-4d11-8e2d-7a2e4c3e9a10", "task_321", "T:321=="] {
            let body = format!(r#"{{"status":"accepted","task_id":"{id}"}}"#);
            let read = submission(body.as_bytes());
            assert!(
                matches!(read, Ok(Submission::Accepted { task_id, .. }) if task_id.as_str() == id),
                "{id}"
            );
        }
    }

    #[test]
    fn a_group_of_an_unknown_name_is_read_as_skipped_without_a_group() {
        let body = br#"{"status":"accepted","task_id":"321","skipped_detail":{"invalid":["1"],
            "already_unlocked":["4"],"brand_new_personnel_ids":["6"],"note":"x"}}"#;
        let Ok(Submission::Accepted { skipped, .. }) = submission(body) else { panic!("accepted") };
        let one = |text: &str| vec![text.to_owned()];
        let expected =
            Skipped { all: one("6"), invalid: one("1"), already_unlocked: one("4"), ..Skipped::default() };
        assert_eq!(skipped, expected);
    }

    #[test]
    fn an_answer_with_a_mark_before_it_or_a_field_twice_is_read() {
        let twice = br#"{"totalBalance":9,"totalBalance":9}"#;
        assert_eq!(balance(twice).expect("the same twice").total, Credits(9));
        assert!(balance(br#"{"totalBalance":9,"totalBalance":8}"#).is_err(), "a guess");
        assert_eq!(balance("\u{feff}{\"totalBalance\":9}".as_bytes()).expect("marked").total, Credits(9));
    }

    #[test]
    fn a_submission_without_a_well_formed_task_is_broken() {
        let mut bad: Vec<String> = [
            "",
            "<html>",
            "[]",
            "null",
            "{}",
            r#"["accepted","321",null,null]"#,
            r#"{"status":"accepted"}"#,
            r#"{"status":"accepted","task_id":""}"#,
            r#"{"status":"success","task_id":"../credits/balance"}"#,
            r#"{"status":"accepted","task_id":-1}"#,
            r#"{"status":"accepted","task_id":3.0}"#,
            r#"{"status":"accepted","task_id":{"id":"321"}}"#,
            r#"{"status":"success","task_id":"sk_live_1"}"#,
            r#"{"status":"accepted","task_id":"321""#,
        ]
        .map(String::from)
        .into();
        bad.push(format!(r#"{{"status":"accepted","task_id":"{}"}}"#, "1".repeat(1_000_000)));
        bad.push("[".repeat(1_000_000));
        bad.push(format!(r#"{{"status":"accepted","task_id":{}"#, "[".repeat(1_000_000)));
        for body in bad {
            let head: String = body.chars().take(60).collect();
            assert!(submission(body.as_bytes()).is_err(), "{head}");
        }
    }

    #[test]
    fn a_profile_is_read_for_one_channel() {
        let read = |body: &str, channel| profile(body.as_bytes(), channel, &contact("789"));
        let documented = r#"{"id":"789","fullName":"Jane Example","title":"VP","companyName":"Acme",
            "sourceType":["exhibitor"],"email":null,"phone":null,"contactUnlockStatus":"locked",
            "phoneUnlockStatus":null}"#;
        let company = Some("Acme".to_owned());
        let view = |access| Ok(ProfileView { access, value: None, company: company.clone() });
        assert_eq!(read(documented, Channel::Email), view(Access::Locked));
        assert_eq!(read(documented, Channel::Phone), view(Access::NotSaid));

        let open = r#"{"id":"789","email":"jane@acme.example","phone":"+1 415 555 0100",
            "contactUnlockStatus":"UNLOCKED","phoneUnlockStatus":"processing"}"#;
        let email = ContactValue::parse("jane@acme.example");
        assert_eq!(
            read(open, Channel::Email),
            Ok(ProfileView { access: Access::Unlocked, value: email, company: None })
        );
        assert_eq!(read(open, Channel::Phone).expect("documented").access, Access::InProgress);
    }

    #[test]
    fn a_profile_with_a_number_for_a_value_is_read_digit_by_digit() {
        let body = br#"{"id":"789","email":15,"phone":1.5551234567E10,"contactUnlockStatus":"unlocked",
            "phoneUnlockStatus":"ready"}"#;
        for (channel, digits) in [(Channel::Phone, "1.5551234567E10"), (Channel::Email, "15")] {
            let view = profile(body, channel, &contact("789")).expect("readable");
            assert_eq!(view.value, ContactValue::parse(digits), "{channel:?}");
            assert!(view.value.is_some());
        }
    }

    #[test]
    fn a_missing_word_is_no_proof_that_a_contact_is_locked() {
        for body in [r#"{"id":"789"}"#, r#"{"id":"789","contactUnlockStatus":null}"#] {
            let view = profile(body.as_bytes(), Channel::Email, &contact("789")).expect("readable");
            assert_eq!(view.access, Access::Missing);
        }
        let view = profile(br#"{"id":"789"}"#, Channel::Phone, &contact("789")).expect("readable");
        assert_eq!(view.access, Access::Missing);
        for bad in [r#"{"id":"790","contactUnlockStatus":"locked"}"#, r#"{"contactUnlockStatus":"locked"}"#] {
            assert!(profile(bad.as_bytes(), Channel::Email, &contact("789")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_broken_answer_is_described_without_its_values() {
        let body = br#"{"id":"789","email":{"jane@acme.example":1},"contactUnlockStatus":"locked"}"#;
        let Broken(reason) = profile(body, Channel::Email, &contact("789")).expect_err("wrong type");
        assert!(!reason.contains("jane"), "{reason}");
        let body = br#"{"id":"789","phone":"x","contactUnlockStatus":["jane@acme.example"]}"#;
        let Broken(reason) = profile(body, Channel::Email, &contact("789")).expect_err("wrong type");
        assert!(!reason.contains("jane"), "{reason}");
    }
}
