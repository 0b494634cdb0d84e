//! The body that says what is wanted: for a plan, and for a request. It becomes an inbox row, and is read by the
//! rules of one.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::caller::Caller;
use super::problem::Problem;
use super::unread::whole;
use crate::config::{Config, Scope};
use crate::domain::request::{self, RawRow, UnlockRequest};
use crate::domain::{AccountId, Action};
use crate::store::inbox::Enqueue;

/// Characters allowed in a purpose.
const LONGEST_PURPOSE: usize = 1_000;

/// An id of a contact: text, or a whole number.
// For the description only: a row's own rules read the list.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum ContactId {
    Text(String),
    Number(f64),
}

/// A request: the columns of the inbox table. What an action does not need is left out.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::http) struct NewRequest {
    /// Who pays; `default` unless named.
    #[schema(max_length = 64, examples("default"))]
    pub(in crate::http) account: Option<String>,
    /// `unlock_contact_emails` unless named.
    #[schema(examples("unlock_contact_emails"))]
    pub(in crate::http) action: Option<String>,
    #[schema(max_length = 100, examples("139574"))]
    pub(in crate::http) event_id: Option<String>,
    /// Ids of contacts: texts, or whole numbers. 100,000 at most.
    // Raw: an id of 20 digits must not pass through a float.
    #[schema(value_type = Option<Vec<ContactId>>, max_items = 100_000)]
    pub(in crate::http) personnel_ids: Option<Box<RawValue>>,
    /// Follow this task instead of buying anything.
    #[schema(max_length = 128)]
    task_id: Option<String>,
    /// The name that a search looks for.
    #[schema(max_length = 200)]
    pub(in crate::http) query: Option<String>,
    /// Pages of a search to buy, at most; 1 unless given.
    #[schema(minimum = 1, maximum = 1000)]
    #[serde(deserialize_with = "whole")]
    pub(in crate::http) max_pages: Option<u32>,
    /// Your own words, copied to every result.
    #[schema(max_length = 1000)]
    pub(in crate::http) reference: Option<String>,
    /// What it is for: the person who decides sees it.
    #[schema(max_length = 1000)]
    pub(in crate::http) purpose: Option<String>,
    /// The same as the header Idempotency-Key.
    #[schema(max_length = 200)]
    pub(in crate::http) dedupe_key: Option<String>,
    /// Never spend more than this on the request.
    #[schema(minimum = 0)]
    #[serde(deserialize_with = "whole")]
    pub(in crate::http) max_credits: Option<i64>,
    /// A person has confirmed the cost. Needs the scope approve.
    approved: Option<bool>,
}

/// A valid row of a caller, and the request parsed from it.
pub(super) struct Understood {
    pub(super) row: Enqueue,
    pub(super) request: UnlockRequest,
    /// Ids as they were given, repeats included.
    pub(super) given: usize,
}

impl NewRequest {
    /// Checks the row as the worker will. `key` is the Idempotency-Key.
    pub(super) fn understand(
        self,
        caller: &Caller,
        key: Option<String>,
        config: &Config,
    ) -> Result<Understood, Problem> {
        let account = self.account.unwrap_or_else(|| "default".to_owned());
        if !caller.may_use(&account) {
            let detail = format!("the token {} may not use this account", caller.name);
            return Err(Problem::forbidden(detail));
        }
        let approved = self.approved.unwrap_or(false);
        if approved {
            caller.needs(&[Scope::Approve])?;
        }
        if approved && !config.credits.approve_from_inbox {
            let detail = "the configuration ignores approvals in rows (credits.approve_from_inbox = false): leave \
                          `approved` out, and POST /requests/{id}/approve";
            return Err(Problem::forbidden(detail));
        }
        let dedupe_key = match (self.dedupe_key, key) {
            (Some(one), Some(other)) if one != other => {
                return Err(Problem::invalid(
                    "dedupe_key and the header Idempotency-Key differ: send one of them",
                ));
            }
            (one, other) => one.or(other),
        };
        let personnel_ids = self.personnel_ids.map(|ids| ids.get().to_owned());
        let given = personnel_ids
            .as_ref()
            .and_then(|ids| serde_json::from_str::<Vec<&RawValue>>(ids).ok())
            .map_or(0, |ids| ids.len());
        let purpose = self.purpose.filter(|text| !text.trim().is_empty());
        if purpose.as_ref().is_some_and(|text| text.chars().nth(LONGEST_PURPOSE).is_some()) {
            return Err(Problem::invalid(format!("purpose has more than {LONGEST_PURPOSE} characters")));
        }
        let mut row = Enqueue {
            account,
            action: self.action.unwrap_or_else(|| Action::UnlockContactEmails.to_string()),
            event_id: self.event_id,
            personnel_ids,
            task_id: self.task_id,
            query: self.query,
            max_pages: self.max_pages,
            reference: self.reference,
            dedupe_key,
            max_credits: self.max_credits,
            approved,
            // Of who may only propose, everything waits for a person.
            needs_approval: !caller.has(Scope::Enqueue),
            caller: Some(caller.name.clone()),
            agent: caller.agent.clone(),
            purpose,
        };
        if row.needs_approval && row.task_id.is_some() {
            caller.needs(&[Scope::Enqueue])?;
        }
        let own = config.accounts.keys().filter(|account| caller.may_use(account));
        let accounts: Vec<AccountId> = own.map(AccountId::trusted).collect();
        let request = request::parse(&RawRow::from(&row), &accounts)
            .map_err(|rejection| Problem::invalid(rejection.to_string()))?;
        row.event_id = request.event_id.as_ref().map(ToString::to_string);
        Ok(Understood { row, request, given })
    }
}
