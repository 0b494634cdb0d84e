//! The JSON exactly as it is sent.
//!
//! The body of a paid POST is made once and digested, so that what is recorded before the call is
//! what goes out, byte for byte.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::{Channel, EventId, PersonnelId};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(text: &str) -> PersonnelId {
        PersonnelId::parse(text).expect("digits")
    }

    #[test]
    fn a_precheck_asks_for_the_contacts_and_their_event() {
        let event = EventId::parse("26855").expect("an event");
        let body = precheck_body(Channel::Email, "api", &[contact("789")], Some(&event));
        let expected = r#"{"action_type":"unlock_contact_emails","call_source":"api","params":{"personnel_ids":["789"],"event_id":"26855"}}"#;
        assert_eq!(String::from_utf8(body).expect("utf-8"), expected);
        let body = precheck_body(Channel::Phone, "agent", &[contact("789")], None);
        let expected = r#"{"action_type":"unlock_contact_phones","call_source":"agent","params":{"personnel_ids":["789"]}}"#;
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
