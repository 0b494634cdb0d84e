//! Lists of people with the values that are unlocked: an event's people, and the contacts of a company.
//!
//! Each person is read separately. One that cannot be read is left out here, and read from its profile later. Values are
//! kept only for contacts that are waited for; `unlockd personnel` reads the same list without values.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::json::{Broken, broken, if_readable};
use super::wire::ProfileBody;
use crate::domain::bulk::{ListPage, Listed};
use crate::domain::{Channel, PersonnelId};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Semantics {
    access_mode: Option<String>,
    counts: Option<Counts>,
    page_state: Option<PageState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    visible_total: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageState {
    max_accessible_page: Option<u64>,
}

/// Reads a page of either list, with the values of `channel`.
pub(super) fn page(bytes: &[u8], channel: Channel) -> Result<ListPage, Broken> {
    let fields = Fields::read(bytes)?;
    let number = |name| if_readable::<u64>(fields.last(&[name]));
    let people = match fields.last(&["items"]) {
        None if number("total").is_none() => return broken("the page has no items"),
        None => Vec::new(),
        Some(raw) => match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
            Ok(items) => items.into_iter().filter_map(|item| person(item, channel)).collect(),
            Err(_) => return broken("the items of the page are not an array"),
        },
    };
    let semantics: Option<Semantics> = if_readable(fields.last(&["semantics"]));
    let preview = semantics.filter(|semantics| semantics.access_mode.as_deref() != Some("full"));
    let (counts, state) = preview.map_or((None, None), |preview| (preview.counts, preview.page_state));
    Ok(ListPage {
        people,
        total: number("total"),
        has_more: if_readable(fields.last(&["hasMore"])),
        visible: counts.and_then(|counts| counts.visible_total),
        last_page: state.and_then(|state| state.max_accessible_page),
    })
}

fn person(item: &RawValue, channel: Channel) -> Option<Listed> {
    let body: ProfileBody = serde_json::from_str(item.get()).ok()?;
    Some(Listed { personnel_id: PersonnelId::parse(&body.id.0)?, view: body.view(channel) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Access;

    #[test]
    fn values_are_read_for_one_channel_and_person_by_person() {
        let body = br#"{"items":[
            {"id":"789","fullName":"Jane","companyName":"Acme","email":"jane@acme.example","phone":null,
             "contactUnlockStatus":"unlocked","phoneUnlockStatus":"processing","sourceType":["exhibitor"]},
            {"id":"not digits","email":"x@acme.example"},
            {"id":791,"email":{"odd":true}},
            {"id":792,"email":null,"phone":null,"contactUnlockStatus":"locked","phoneUnlockStatus":null}],
            "total":320,"page":1,"pageSize":50,"totalPages":7,"hasMore":true,
            "semantics":{"accessMode":"preview","previewLimit":50,
            "counts":{"actualTotal":320,"visibleTotal":50,"remainingLockedCount":270},
            "pageState":{"requestedPage":1,"accessible":true,"maxAccessiblePage":1}}}"#;
        let emails = page(body, Channel::Email).expect("documented");
        let ids: Vec<&str> = emails.people.iter().map(|person| person.personnel_id.as_str()).collect();
        assert_eq!(ids, ["789", "792"]);
        let jane = &emails.people[0].view;
        assert_eq!((jane.access, jane.company.as_deref()), (Access::Unlocked, Some("Acme")));
        assert!(jane.value.is_some() && emails.people[1].view.value.is_none());
        assert_eq!((emails.total, emails.has_more), (Some(320), Some(true)));
        assert_eq!((emails.visible, emails.last_page), (Some(50), Some(1)));
        let phones = page(body, Channel::Phone).expect("documented");
        assert_eq!(phones.people[0].view.access, Access::InProgress);
    }

    #[test]
    fn a_full_list_has_no_preview_and_nothing_found_is_a_page() {
        let full = br#"{"items":[],"total":0,"hasMore":false,"semantics":{"accessMode":"full",
            "counts":{"visibleTotal":5},"pageState":{"maxAccessiblePage":9}}}"#;
        let read = page(full, Channel::Email).expect("documented");
        assert_eq!((read.visible, read.last_page, read.people.len()), (None, None, 0));
        for nothing in [r#"{"items":null,"total":0}"#, r#"{"items":[]}"#, r#"{"total":0,"semantics":7}"#] {
            assert_eq!(page(nothing.as_bytes(), Channel::Email).expect(nothing).people, []);
        }
        for bad in ["", "[]", "{}", r#"{"items":{}}"#, r#"{"items":"none"}"#] {
            assert!(page(bad.as_bytes(), Channel::Email).is_err(), "{bad}");
        }
    }
}
