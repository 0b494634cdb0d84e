//! What the tools take. Unknown arguments are errors; one that is left out has the default of the HTTP API.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::to_raw_value;

use crate::domain::Action;
use crate::http::api::{NewRequest, Problem, whole};

/// What to unlock. A plan takes the arguments of the request, so that both are called alike.
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Unlock {
    /// Ids of contacts at the vendor, as texts: "789". At most 100,000. Needed for emails and phones.
    #[schemars(with = "Option<Vec<ContactId>>", length(max = 100_000))]
    personnel_ids: Option<Vec<Value>>,
    /// What to buy; unlock_contact_emails unless given.
    #[schemars(extend("enum" = actions()))]
    action: Option<String>,
    /// The trade fair, for what is bought of one; else optional.
    #[schemars(length(max = 100))]
    event_id: Option<String>,
    /// For a search: the name of the company or person.
    #[schemars(length(max = 200))]
    query: Option<String>,
    /// For a search: pages to buy, at most; 1 unless given.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(deserialize_with = "whole")]
    max_pages: Option<u32>,
    /// Never spend more than this on the request.
    #[schemars(range(min = 0))]
    #[serde(deserialize_with = "whole")]
    max_credits: Option<i64>,
    /// Which account pays; "default" unless given.
    #[schemars(length(max = 64))]
    account: Option<String>,
    /// What it is for, in a sentence: the person who decides reads it. Put no personal data there.
    #[schemars(length(max = 1000))]
    purpose: Option<String>,
    /// Your own words, copied to every result: for example the name of a campaign.
    #[schemars(length(max = 1000))]
    reference: Option<String>,
    /// A text of your own for this request: asking again with it returns the first request and asks for nothing new.
    #[schemars(length(max = 200))]
    idempotency_key: Option<String>,
}

/// The schema's words for an id; the rules of a row read it.
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code)]
enum ContactId {
    Text(String),
    Number(i64),
}

fn actions() -> Vec<Value> {
    // Null too: a client may send what it leaves out.
    Action::ALL.iter().map(|action| action.as_str().into()).chain([Value::Null]).collect()
}

impl Unlock {
    pub(super) fn has_purpose(&self) -> bool {
        self.purpose.as_ref().is_some_and(|purpose| !purpose.trim().is_empty())
    }

    /// The row, and the key that makes asking twice harmless.
    pub(super) fn into_row(self) -> Result<(NewRequest, Option<String>), Problem> {
        if self.personnel_ids.iter().flatten().any(has_lost_digits) {
            let detail = "personnel_ids has a number of so many digits that it is not exact: send ids as texts, \"789\"";
            return Err(Problem::invalid(detail));
        }
        let ids = self.personnel_ids.map(|ids| to_raw_value(&ids)).transpose();
        let personnel_ids = ids.map_err(|_| Problem::invalid("personnel_ids is not a list of ids"))?;
        let key = self.idempotency_key.filter(|key| !key.trim().is_empty());
        let mut row = NewRequest::default();
        (row.account, row.action, row.event_id) = (self.account, self.action, self.event_id);
        (row.personnel_ids, row.query, row.max_pages) = (personnel_ids, self.query, self.max_pages);
        (row.reference, row.max_credits, row.purpose) = (self.reference, self.max_credits, self.purpose);
        Ok((row, key))
    }
}

/// The library has read the number before us: above 2^64 as a float.
fn has_lost_digits(id: &Value) -> bool {
    const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
    id.is_f64() && id.as_f64().is_some_and(|number| number.abs() >= EXACT_BELOW)
}

/// One request, and which of its contacts.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    /// The request's id.
    #[schemars(range(min = 1))]
    pub(super) request_id: i64,
    /// next_cursor of the answer before, for more contacts.
    #[schemars(range(min = 0))]
    pub(super) cursor: Option<i64>,
    /// Contacts in one answer, at most; 50 unless given.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<u32>,
}

/// One request.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Id {
    /// The request's id.
    #[schemars(range(min = 1))]
    pub(super) request_id: i64,
}

/// Which part of a list.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// next_cursor of the answer before.
    #[schemars(range(min = 0))]
    pub(super) cursor: Option<i64>,
    /// Rows in one answer, at most; 20 unless given.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<u32>,
}

/// From where on.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    /// next_after of the answer before; 0 or nothing for all.
    #[schemars(range(min = 0))]
    pub(super) after: Option<i64>,
    /// Changes in one answer, at most; 50 unless given.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<u32>,
}

/// Which time, and what to sum by.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Period {
    /// Any of day, account, action, reference, with commas between them; day,account unless given.
    #[schemars(length(max = 100))]
    pub(super) by: Option<String>,
    /// A UTC day (2026-11-21) or a time (2026-11-21T08:00:00Z).
    #[schemars(length(max = 40))]
    pub(super) since: Option<String>,
    /// The same; a day is counted whole.
    #[schemars(length(max = 40))]
    pub(super) until: Option<String>,
}

/// Nothing.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}
