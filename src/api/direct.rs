//! The JSON of the actions whose answer is their result, and of an event's list of people.
//!
//! As strict as [`wire`](super::wire): a missing or wrongly typed field makes the answer broken. A paid call
//! is then in doubt, which costs a few free reads; a guess could cost credits.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::json::{Broken, Id, broken, if_readable};
use super::wire::{credits, parse};
use crate::domain::credits::{Balance, Credits};
use crate::domain::direct::{EventAccess, EventUnlock, Person, PersonnelPage, SearchPage};
use crate::domain::granted::Granted;
use crate::domain::{EventId, PersonnelId};

/// The three unlocks of an event each have a name of their own for what they charged, and full access says which
/// layer it has opened.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventUnlockBody {
    success: bool,
    already_unlocked: bool,
    #[serde(alias = "creditsSpent", alias = "totalCreditsUsed")]
    credits_used: Value,
    balance_after: Option<Map<String, Value>>,
    event_unlocked: Option<bool>,
    visitor_unlocked: Option<bool>,
    visitor_skipped: Option<bool>,
    event: EventBody,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventBody {
    id: Id,
    event_id: Id,
    name: Option<String>,
}

/// The figures that a balance after an unlock may have, in either of its two forms.
const BALANCE_FIGURES: [&str; 11] = [
    "totalAmount",
    "totalBalance",
    "subscriptionAmount",
    "subscriptionBalance",
    "addonAmount",
    "addonBalance",
    "giftAmount",
    "giftBalance",
    "permanentBalance",
    "resetAt",
    "addonExpireAt",
];

/// Reads the balance after an unlock: the object of the balance endpoint (visitors), or one of its own, whose
/// `permanentBalance` is "gift/permanent" and whose add-on credits are in the total alone. `None`: without limit.
fn balance_after(after: &Map<String, Value>) -> Result<Option<Balance>, Broken> {
    if after.get("unlimited") == Some(&Value::Bool(true)) {
        return Ok(None);
    }
    let Some(total) = after.get("totalBalance") else { return broken("the balance has no total") };
    let part = |name: &str| after.get(name).filter(|value| !value.is_null()).map(credits).transpose();
    let total = credits(total)?;
    let subscription = part("subscriptionBalance")?.unwrap_or_default();
    let gift = match part("giftBalance")? {
        Some(gift) => gift,
        None => part("permanentBalance")?.unwrap_or_default(),
    };
    let rest = (total - subscription - gift).max(Credits::ZERO);
    let addon = part("addonBalance")?.unwrap_or(rest);
    Ok(Some(Balance { total, subscription, addon, gift, granted: Granted::default() }))
}

/// Reads the answer to an unlock of an event. An answer about another event is broken; by the documentation
/// it may name either of the event's two ids.
pub(super) fn event_unlock(bytes: &[u8], asked: &EventId) -> Result<EventUnlock, Broken> {
    let body: EventUnlockBody = parse(bytes)?;
    if !body.success {
        return broken("the answer does not say that the event was unlocked");
    }
    if ![&body.event.id.0, &body.event.event_id.0].contains(&&asked.as_str().to_owned()) {
        return broken("the answer is about another event");
    }
    let credits_used = credits(&body.credits_used)?;
    if credits_used < Credits::ZERO {
        return broken("the credits used are negative");
    }
    let after = body.balance_after.as_ref();
    let balance_after = after.map(balance_after).transpose()?.flatten();
    let figures = |after: &Map<String, Value>| {
        let known = |name: &str| (name == "unlimited") || BALANCE_FIGURES.contains(&name);
        let kept =
            after.iter().filter(|(name, value)| known(name) && !value.is_object() && !value.is_string());
        kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
    };
    let mut answer = json!({
        "event": { "id": body.event.id.0, "eventId": body.event.event_id.0, "name": body.event.name },
        "alreadyUnlocked": body.already_unlocked,
        "creditsUsed": credits_used,
        "balanceAfter": after.map(figures),
    });
    for (name, flag) in [
        ("eventUnlocked", body.event_unlocked),
        ("visitorUnlocked", body.visitor_unlocked),
        ("visitorSkipped", body.visitor_skipped),
    ] {
        if let Some(flag) = flag {
            answer[name] = Value::Bool(flag);
        }
    }
    Ok(EventUnlock {
        already_unlocked: body.already_unlocked,
        credits_used,
        balance_after,
        answer: answer.to_string(),
    })
}

/// Reads a page of a search; its items stay unchanged. `items` may be null if nothing was found, and
/// `hasMore` may be missing: the page that was paid for matters more than the next one.
pub(super) fn search_page(bytes: &[u8]) -> Result<SearchPage, Broken> {
    let fields = Fields::read(bytes)?;
    let number = |name| if_readable::<u64>(fields.last(&[name]));
    if says_error(&fields) && found_nothing(&fields) {
        return broken("an empty page that says an error is not an empty result");
    }
    let Some(raw) = fields.last(&["items"]) else {
        if number("total") == Some(0) {
            let items = RawValue::from_string("[]".to_owned()).expect("an empty array is JSON");
            return Ok(SearchPage { found: 0, has_more: false, items });
        }
        return broken("the page has no items");
    };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return broken("the items of the page are not an array");
    };
    let more_pages = number("page").zip(number("totalPages")).is_some_and(|(page, pages)| page < pages);
    let has_more = if_readable(fields.last(&["hasMore"])).unwrap_or(more_pages);
    Ok(SearchPage { found: items.len(), has_more, items: raw.to_owned() })
}

/// Whether a page has an error next to its items, or instead of them. The items are kept in both cases.
fn says_error(fields: &Fields<'_>) -> bool {
    let has = |name: &str| match if_readable::<Value>(fields.last(&[name])) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(errors)) => !errors.is_empty(),
        Some(Value::Object(errors)) => !errors.is_empty(),
        Some(Value::String(error)) => !error.is_empty(),
        Some(_) => true,
    };
    let failed = if_readable::<bool>(fields.last(&["success"])) == Some(false);
    let status = fields.text(&["status"]).unwrap_or_default().to_ascii_lowercase();
    failed || has("error") || has("errors") || ["error", "failed", "fail"].contains(&status.as_str())
}

fn found_nothing(fields: &Fields<'_>) -> bool {
    if_readable::<Vec<IgnoredAny>>(fields.last(&["items"])).is_none_or(|items| items.is_empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PersonnelBody {
    items: Vec<PersonBody>,
    total: u64,
    has_more: bool,
    semantics: Option<SemanticsBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SemanticsBody {
    access_mode: Option<String>,
    counts: Option<CountsBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CountsBody {
    actual_total: Option<u64>,
    visible_total: Option<u64>,
    remaining_locked_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PersonBody {
    id: Id,
    full_name: Option<String>,
    title: Option<String>,
    company_name: Option<String>,
    contact_unlock_status: Option<String>,
    phone_unlock_status: Option<String>,
}

/// Reads a page of an event's people. Emails and phones in the list are not read: delivered values come only
/// from tasks and profiles.
pub(super) fn personnel_page(bytes: &[u8]) -> Result<PersonnelPage, Broken> {
    let body: PersonnelBody = parse(bytes)?;
    let mut people = Vec::with_capacity(body.items.len());
    for person in body.items {
        let Some(personnel_id) = PersonnelId::parse(&person.id.0) else {
            return broken("a person's id is not digits");
        };
        people.push(Person {
            personnel_id,
            full_name: person.full_name,
            title: person.title,
            company_name: person.company_name,
            email_status: person.contact_unlock_status,
            phone_status: person.phone_unlock_status,
        });
    }
    Ok(PersonnelPage {
        people,
        total: body.total,
        has_more: body.has_more,
        access: body.semantics.and_then(access),
    })
}

fn access(semantics: SemanticsBody) -> Option<EventAccess> {
    let mode = semantics.access_mode?;
    let count = |of: fn(&CountsBody) -> Option<u64>| semantics.counts.as_ref().and_then(of);
    let (visible, there_are) = (count(|counts| counts.visible_total), count(|counts| counts.actual_total));
    let counts = semantics.counts.as_ref().map(|counts| {
        json!({
            "actualTotal": counts.actual_total,
            "visibleTotal": counts.visible_total,
            "remainingLockedCount": counts.remaining_locked_count,
        })
    });
    let (full, semantics) = (mode == "full", json!({ "accessMode": mode, "counts": counts }).to_string());
    Some(EventAccess { full, visible, there_are, semantics })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> EventId {
        EventId::parse("26855").expect("an event")
    }

    #[test]
    fn the_documented_unlock_of_an_event_is_read() {
        let body = br#"{"success":true,"alreadyUnlocked":false,"creditsUsed":2000,
            "balanceAfter":{"subscriptionBalance":0,"permanentBalance":451021,"totalBalance":451021,
            "unlimited":false},"event":{"id":"8458","eventId":"26855","name":"CES 2025"}}"#;
        let unlock = event_unlock(body, &event()).expect("documented");
        assert_eq!((unlock.already_unlocked, unlock.credits_used), (false, Credits(2_000)));
        let after = unlock.balance_after.expect("a balance");
        assert_eq!(
            (after.total, after.subscription, after.gift),
            (Credits(451_021), Credits(0), Credits(451_021))
        );
        assert!(unlock.answer.contains("CES 2025"));
        let again = br#"{"success":true,"alreadyUnlocked":true,"creditsUsed":0,"balanceAfter":null,
            "event":{"id":26855,"eventId":26855,"name":null}}"#;
        let unlock = event_unlock(again, &event()).expect("documented");
        assert_eq!((unlock.already_unlocked, unlock.balance_after), (true, None));
    }

    #[test]
    fn the_documented_unlocks_of_visitors_and_of_both_layers_are_read() {
        let visitors = br#"{"success":true,"alreadyUnlocked":false,"creditsSpent":3000,
            "balanceAfter":{"totalAmount":45050,"totalBalance":35050,"subscriptionAmount":35000,
            "subscriptionBalance":27000,"addonAmount":10000,"addonBalance":8000,"addonExpireAt":1784851200000,
            "giftAmount":50,"giftBalance":50,"resetAt":1785542400000},
            "event":{"id":"26855","eventId":"26855","name":"CES 2025"}}"#;
        let full_access =
            br#"{"success":true,"alreadyUnlocked":false,"eventUnlocked":true,"visitorUnlocked":true,
            "visitorSkipped":false,"totalCreditsUsed":5000,"balanceAfter":{"subscriptionBalance":25000,
            "permanentBalance":50,"totalBalance":33050,"unlimited":false},
            "event":{"id":"8458","eventId":"26855","name":"CES 2025"}}"#;
        for (body, used, total, subscription) in
            [(&visitors[..], 3_000, 35_050, 27_000), (&full_access[..], 5_000, 33_050, 25_000)]
        {
            let unlock = event_unlock(body, &event()).expect("documented");
            assert_eq!(unlock.credits_used, Credits(used));
            let [total, subscription, addon, gift] = [total, subscription, 8_000, 50].map(Credits);
            let granted = Granted::default();
            assert_eq!(unlock.balance_after, Some(Balance { total, subscription, addon, gift, granted }));
        }
        let answer = event_unlock(full_access, &event()).expect("documented").answer;
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!((&answer["visitorSkipped"], &answer["creditsUsed"]), (&json!(false), &json!(5_000)));
        assert_eq!(answer["balanceAfter"]["totalBalance"], 33_050);
        let again = br#"{"success":true,"alreadyUnlocked":true,"creditsSpent":0,"balanceAfter":null,
            "event":{"id":"26855","eventId":"26855","name":"CES 2025"}}"#;
        let unlock = event_unlock(again, &event()).expect("documented");
        assert_eq!((unlock.already_unlocked, unlock.credits_used), (true, Credits::ZERO));
    }

    #[test]
    fn an_unlock_that_is_not_clearly_one_is_broken() {
        let fine = r#"{"success":true,"alreadyUnlocked":false,"creditsUsed":2000,"balanceAfter":null,
            "event":{"id":"26855","eventId":"26855","name":null}}"#;
        assert!(event_unlock(fine.as_bytes(), &event()).is_ok());
        for (from, to) in [
            ("\"success\":true", "\"success\":false"),
            ("\"creditsUsed\":2000", "\"creditsUsed\":-1"),
            ("\"creditsUsed\":2000", "\"creditsUsed\":\"2000\""),
            ("\"alreadyUnlocked\":false,", ""),
            ("\"creditsUsed\":2000", "\"credits\":2000"),
            ("\"26855\"", "\"1\""),
            ("\"balanceAfter\":null", "\"balanceAfter\":{\"totalBalance\":\"x\"}"),
        ] {
            let body = fine.replace(from, to);
            assert!(event_unlock(body.as_bytes(), &event()).is_err(), "{body}");
        }
    }

    #[test]
    fn an_unlimited_pool_has_no_balance() {
        let body = br#"{"success":true,"alreadyUnlocked":false,"creditsUsed":0,
            "balanceAfter":{"subscriptionBalance":0,"permanentBalance":0,"totalBalance":0,"unlimited":true},
            "event":{"id":"26855","eventId":"26855","name":null}}"#;
        assert_eq!(event_unlock(body, &event()).expect("documented").balance_after, None);
    }

    #[test]
    fn a_page_of_a_search_is_kept_as_it_came() {
        let body = br#"{"items":[{"id":"456","companyName":"Acme","matched_event_ids":["139574"]}],
            "total":1,"page":1,"pageSize":20,"totalPages":1,"hasMore":false}"#;
        let page = search_page(body).expect("documented");
        assert_eq!((page.found, page.has_more), (1, false));
        assert!(page.items.get().contains("matched_event_ids"));
        for bad in [
            r#"{"items":{},"hasMore":false}"#,
            r#"{"items":"none","total":0}"#,
            r#"{"items":null,"total":3,"hasMore":false}"#,
            r#"{"items":null}"#,
            r#"{"hasMore":true}"#,
            "[]",
        ] {
            assert!(search_page(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_search_that_found_nothing_is_read_however_it_says_so() {
        for nothing in [
            r#"{"items":null,"total":0,"page":1,"pageSize":100,"totalPages":0,"hasMore":false}"#,
            r#"{"items":null,"total":0}"#,
            r#"{"total":0,"hasMore":false}"#,
            r#"{"items":[],"total":0}"#,
            r#"{"items":[]}"#,
        ] {
            let page = search_page(nothing.as_bytes()).expect(nothing);
            assert_eq!((page.found, page.has_more, page.items.get()), (0, false, "[]"), "{nothing}");
        }
    }

    #[test]
    fn an_empty_page_that_says_an_error_is_no_result_and_one_with_items_is() {
        for error in [
            r#""success":false"#,
            r#""errors":["shard 3"]"#,
            r#""error":{"errorCode":"4742"}"#,
            r#""error":"Session expired""#,
            r#""status":"error""#,
        ] {
            let empty = format!(r#"{{"items":[],"total":0,{error}}}"#);
            assert!(search_page(empty.as_bytes()).is_err(), "{empty}");
            let some = format!(r#"{{"items":[{{"id":"1"}}],"total":1,{error}}}"#);
            assert_eq!(search_page(some.as_bytes()).expect("it was paid for").found, 1, "{some}");
        }
        let fine = r#"{"items":[],"total":0,"success":true,"error":null,"errors":[],"status":"ok"}"#;
        assert_eq!(search_page(fine.as_bytes()).expect("nothing was found").found, 0);
    }

    #[test]
    fn a_page_that_does_not_say_whether_there_is_more_is_kept() {
        for (body, has_more) in [
            (r#"{"items":[{}],"page":1,"totalPages":2}"#, true),
            (r#"{"items":[{}],"page":2,"totalPages":2}"#, false),
            (r#"{"items":[{}],"hasMore":"no"}"#, false),
            (r#"{"items":[{}]}"#, false),
        ] {
            let page = search_page(body.as_bytes()).expect(body);
            assert_eq!((page.found, page.has_more), (1, has_more), "{body}");
        }
    }

    #[test]
    fn a_list_of_people_says_whether_it_is_complete() {
        let body = br#"{"items":[{"id":"789","fullName":"Jane Example","title":"VP","companyName":"Acme",
            "email":"jane@acme.example","phone":null,"contactUnlockStatus":"locked","phoneUnlockStatus":null}],
            "total":42,"page":1,"pageSize":50,"totalPages":1,"hasMore":false,
            "semantics":{"accessMode":"full","previewLimit":null,"counts":{"actualTotal":42}}}"#;
        let page = personnel_page(body).expect("documented");
        assert_eq!((page.people.len(), page.total, page.has_more), (1, 42, false));
        let access = page.access.expect("semantics");
        assert!(access.full && access.semantics.contains("42"));
        assert!(!format!("{:?}", page.people).contains("jane@acme"), "emails are not read from lists");
        let without = br#"{"items":[],"total":0,"hasMore":false}"#;
        assert_eq!(personnel_page(without).expect("readable").access, None);
    }
}
