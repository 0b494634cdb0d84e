//! The JSON exactly as it is sent.
//!
//! The body of a paid POST is built once and hashed, so that the recorded digest belongs to exactly the bytes
//! that are sent.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::direct::{Direct, PAGE_SIZE};
use crate::domain::{Action, Channel, EventId, PersonnelId};

#[derive(Serialize)]
struct PrecheckRequest<'a> {
    action_type: &'static str,
    call_source: &'static str,
    params: Params<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Params<'a> {
    Contacts(ContactsRequest<'a>),
    Event { event_id: &'a EventId },
    Search(SearchRequest<'a>),
}

#[derive(Serialize)]
struct SearchRequest<'a> {
    company_name: &'a str,
    page: u32,
    #[serde(rename = "pageSize")]
    page_size: u32,
}

#[derive(Serialize)]
struct ContactsRequest<'a> {
    personnel_ids: &'a [PersonnelId],
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a EventId>,
}

/// The subject of a precheck.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Contacts, with the caller's event if there is one.
    Contacts(Channel, &'a [PersonnelId]),
    Direct(&'a Direct),
}

pub(super) fn precheck_body(
    subject: Subject<'_>,
    call_source: &'static str,
    event_id: Option<&EventId>,
) -> Vec<u8> {
    let (action, params) = match subject {
        Subject::Contacts(channel, personnel_ids) => {
            (channel.action(), Params::Contacts(ContactsRequest { personnel_ids, event_id }))
        }
        Subject::Direct(Direct::Event(event_id)) => (Action::UnlockEventContacts, Params::Event { event_id }),
        Subject::Direct(Direct::Search { action, query, page }) => {
            (*action, Params::Search(search_request(query, *page)))
        }
    };
    encode(&PrecheckRequest { action_type: action.as_str(), call_source, params })
}

fn search_request(company_name: &str, page: u32) -> SearchRequest<'_> {
    SearchRequest { company_name, page, page_size: PAGE_SIZE }
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("structs of strings are always JSON")
}

/// The body of a paid POST: built once, hashed, and sent unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlockBody {
    bytes: Vec<u8>,
    digest: String,
}

impl UnlockBody {
    /// The JSON that is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of [`UnlockBody::bytes`], in lower-case hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Builds the body of a direct action. The unlock of an event has none, so its digest is that of an empty
/// text.
pub fn direct_body(direct: &Direct) -> UnlockBody {
    digested(match direct {
        Direct::Event(_) => Vec::new(),
        Direct::Search { query, page, .. } => encode(&search_request(query, *page)),
    })
}

/// Builds the body that unlocks these contacts (1 to 2000; the same for emails and phones).
pub fn unlock_body(personnel_ids: &[PersonnelId], event_id: Option<&EventId>) -> UnlockBody {
    digested(encode(&ContactsRequest { personnel_ids, event_id }))
}

fn digested(bytes: Vec<u8>) -> UnlockBody {
    let digest = hex::encode(Sha256::digest(&bytes));
    UnlockBody { bytes, digest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(text: &str) -> PersonnelId {
        PersonnelId::parse(text).expect("digits")
    }

    #[test]
    fn a_precheck_asks_for_the_contacts_and_their_event() {
        let event = EventId::parse("26855").expect("an event");
        let body = precheck_body(Subject::Contacts(Channel::Email, &[contact("789")]), "api", Some(&event));
        let expected = r#"{"action_type":"unlock_contact_emails","call_source":"api","params":{"personnel_ids":["789"],"event_id":"26855"}}"#;
        assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
        let body = precheck_body(Subject::Contacts(Channel::Phone, &[contact("789")]), "agent", None);
        let expected = r#"{"action_type":"unlock_contact_phones","call_source":"agent","params":{"personnel_ids":["789"]}}"#;
        assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
    }

    #[test]
    fn a_search_names_its_page_and_the_page_size() {
        let action = Action::SearchExhibitorCompanies;
        let search = Direct::Search { action, query: "Acme \"Ltd\"".to_owned(), page: 2 };
        let expected = br#"{"company_name":"Acme \"Ltd\"","page":2,"pageSize":100}"#;
        assert_eq!(direct_body(&search).bytes(), expected);
        let body = precheck_body(Subject::Direct(&search), "api", None);
        let expected = r#"{"action_type":"search_exhibitor_companies","call_source":"api","params":{"company_name":"Acme \"Ltd\"","page":2,"pageSize":100}}"#;
        assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
        let event = Direct::Event(EventId::parse("26855").expect("an event"));
        assert!(direct_body(&event).bytes().is_empty());
        let body = precheck_body(Subject::Direct(&event), "api", None);
        let expected =
            r#"{"action_type":"unlock_event_contacts","call_source":"api","params":{"event_id":"26855"}}"#;
        assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
    }

    #[test]
    fn the_body_of_a_paid_post_is_digested_as_it_is_sent() {
        let event = EventId::parse("139574").expect("an event");
        let body = unlock_body(&[contact("789"), contact("790")], Some(&event));
        assert_eq!(body.bytes(), br#"{"personnel_ids":["789","790"],"event_id":"139574"}"#);
        assert_eq!(unlock_body(&[contact("789")], None).bytes(), br#"{"personnel_ids":["789"]}"#);
        // printf '%s' '{"personnel_ids":["789","790"],"event_id":"139574"}' | sha256sum
        assert_eq!(body.digest(), "387450d0801b1458bfb2aee1d09e4d7737044c381fbf6b0adb5a05d38ff08438");
    }
}
