//! The JSON exactly as it is sent.
//!
//! The body of a paid POST is built once and hashed, so that the recorded digest belongs to exactly the bytes
//! that are sent.

use reqwest::Url;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::direct::{Direct, PAGE_SIZE};
use crate::domain::{Action, Channel, EventId, JobId, PersonnelId};

#[derive(Serialize)]
struct PrecheckRequest<'a> {
    action_type: &'static str,
    call_source: &'static str,
    params: Params<'a>,
    /// Our job, so that the vendor's support finds what was asked about it. No paid call takes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Params<'a> {
    Contacts(ContactsRequest<'a>),
    Event { event_id: &'a EventId },
    Search(SearchRequest<'a>),
    Person { person_name: &'a str },
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
    (job_id, event_id): (Option<JobId>, Option<&EventId>),
) -> Vec<u8> {
    let (action, params) = match subject {
        Subject::Contacts(channel, personnel_ids) => {
            (channel.action(), Params::Contacts(ContactsRequest { personnel_ids, event_id }))
        }
        Subject::Direct(Direct::Event { layers, event_id }) => (layers.action(), Params::Event { event_id }),
        Subject::Direct(Direct::Search { action: action @ Action::SearchPersonnelEvents, query, .. }) => {
            (*action, Params::Person { person_name: query })
        }
        Subject::Direct(Direct::Search { action, query, page }) => {
            (*action, Params::Search(search_request(query, *page)))
        }
    };
    let trace_id = job_id.map(|id| id.to_string());
    encode(&PrecheckRequest { action_type: precheck_word(action), call_source, params, trace_id })
}

/// The vendor's word for an action in a precheck, which is ours but for one.
fn precheck_word(action: Action) -> &'static str {
    match action {
        Action::SearchPersonnelEvents => "search_personnel_events_by_name",
        action => action.as_str(),
    }
}

/// The query of a paid GET: a page of the search for a person's events.
fn person_query(person_name: &str, page: u32) -> String {
    let mut url = Url::parse("https://platform.lensmor.com").expect("a URL");
    url.query_pairs_mut()
        .append_pair("person_name", person_name)
        .append_pair("page", &page.to_string())
        .append_pair("pageSize", &PAGE_SIZE.to_string());
    // A blank is `%20` in the vendor's examples; a plus sign is `%2B` by now.
    url.query().unwrap_or_default().replace('+', "%20")
}

fn search_request(company_name: &str, page: u32) -> SearchRequest<'_> {
    SearchRequest { company_name, page, page_size: PAGE_SIZE }
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("structs of strings are always JSON")
}

/// What a paid call sends, its body or the query of a GET: built once, hashed, and sent unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlockBody {
    bytes: Vec<u8>,
    digest: String,
}

impl UnlockBody {
    /// The JSON, or the query, that is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of [`UnlockBody::bytes`], in lower-case hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Builds the body of a direct action. The unlocks of an event have none, so their digest is that of an empty
/// text; a paid GET has its query instead.
pub fn direct_body(direct: &Direct) -> UnlockBody {
    digested(match direct {
        Direct::Event { .. } => Vec::new(),
        Direct::Search { action: Action::SearchPersonnelEvents, query, page } => {
            person_query(query, *page).into_bytes()
        }
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
    use crate::domain::Layers;

    fn contact(text: &str) -> PersonnelId {
        PersonnelId::parse(text).expect("digits")
    }

    #[test]
    fn a_precheck_asks_for_the_contacts_and_their_event() {
        let event = EventId::parse("26855").expect("an event");
        let body = precheck_body(
            Subject::Contacts(Channel::Email, &[contact("789")]),
            "api",
            (Some(JobId(41)), Some(&event)),
        );
        let expected = r#"{"action_type":"unlock_contact_emails","call_source":"api","params":{"personnel_ids":["789"],"event_id":"26855"},"trace_id":"41"}"#;
        assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
        let body = precheck_body(Subject::Contacts(Channel::Phone, &[contact("789")]), "agent", (None, None));
        let expected = r#"{"action_type":"unlock_contact_phones","call_source":"agent","params":{"personnel_ids":["789"]}}"#;
        assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
    }

    #[test]
    fn a_search_names_its_page_and_the_page_size() {
        let action = Action::SearchExhibitorCompanies;
        let search = Direct::Search { action, query: "Acme \"Ltd\"".to_owned(), page: 2 };
        let expected = br#"{"company_name":"Acme \"Ltd\"","page":2,"pageSize":100}"#;
        assert_eq!(direct_body(&search).bytes(), expected);
        let body = precheck_body(Subject::Direct(&search), "api", (None, None));
        let expected = r#"{"action_type":"search_exhibitor_companies","call_source":"api","params":{"company_name":"Acme \"Ltd\"","page":2,"pageSize":100}}"#;
        assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
        for (layers, word) in [
            (Layers::Base, "unlock_event_contacts"),
            (Layers::Visitors, "unlock_event_visitors"),
            (Layers::Both, "unlock_event_full_access"),
        ] {
            let event = Direct::Event { layers, event_id: EventId::parse("26855").expect("an event") };
            assert!(direct_body(&event).bytes().is_empty());
            let body = precheck_body(Subject::Direct(&event), "api", (None, None));
            let expected =
                format!(r#"{{"action_type":"{word}","call_source":"api","params":{{"event_id":"26855"}}}}"#);
            assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
        }
    }

    #[test]
    fn the_query_of_a_paid_get_is_digested_as_it_is_sent() {
        let search = |page| Direct::Search {
            action: Action::SearchPersonnelEvents,
            query: "Zoë O'Neil+Smith & co".to_owned(),
            page,
        };
        let first = direct_body(&search(1));
        let expected = "person_name=Zo%C3%AB%20O%27Neil%2BSmith%20%26%20co&page=1&pageSize=100";
        assert_eq!(std::str::from_utf8(first.bytes()).expect("ASCII"), expected);
        assert_ne!(first.digest(), direct_body(&search(2)).digest(), "each page is a call of its own");
        let body = precheck_body(Subject::Direct(&search(1)), "api", (None, None));
        let expected = r#"{"action_type":"search_personnel_events_by_name","call_source":"api","params":{"person_name":"Zoë O'Neil+Smith & co"}}"#;
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
