//! What the tools answer: figures for programs, and one sentence that a model can pass on to a person.

use serde::Serialize;

use crate::domain::request_state::State;
use crate::http::Site;
use crate::http::api::lists::{Contact, Contacts};
use crate::http::api::plans;
use crate::store::report::requests::Request;
use crate::store::report::{OutcomeCount, Time};
use crate::worker::people::explain::Explanation;

/// What a request would do and cost. Nothing was written and nothing is spent.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Plan {
    /// The figures in a sentence.
    summary: String,
    /// What to do next.
    next: &'static str,
    account: String,
    action: String,
    event_id: Option<String>,
    /// Ids as given.
    given: i64,
    /// To buy, at most.
    new: i64,
    /// Of the new ones: paid for before, and no value came. Each costs its price again.
    paid_without_value: i64,
    /// Their value is there already: they cost nothing.
    already_had: i64,
    /// Being bought already for another request: they cost nothing.
    in_flight: i64,
    /// Given more than once.
    repeated: i64,
    /// Not valid as a contact's id.
    invalid: i64,
    batches: i64,
    /// Of one contact, call or page.
    price: i64,
    /// What it would cost, at most.
    credits_at_most: i64,
    /// The last balance read; null: none was read yet.
    balance: Option<i64>,
    balance_at: Option<Time>,
    /// At least, if all of it is bought.
    balance_after: Option<i64>,
    /// Nothing is bought until a person resumes the account.
    is_paused: bool,
    /// What the request would be: awaiting_approval, or rejected.
    status: &'static str,
    reason: Option<String>,
}

/// Clients know no unsigned formats.
fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl From<plans::Plan> for Plan {
    fn from(plan: plans::Plan) -> Plan {
        let plans::Plan { new, already_had, quoted_credits, balance, balance_after, .. } = plan;
        let again = plan.paid_without_value;
        let paid_before = match again {
            0 => String::new(),
            again => format!(" ({again} of them were paid for before and brought no value)"),
        };
        let known =
            |credits: Option<i64>| credits.map_or("not known".to_owned(), |credits| credits.to_string());
        Plan {
            summary: format!(
                "{new} new{paid_before} at {} credits each: {quoted_credits} credits at most; {already_had} are there already, {} are \
                 being bought for another request, {} given twice, {} invalid. Balance {}, after it at least {}. Nothing \
                 was written or spent",
                plan.price,
                plan.in_flight,
                plan.repeated,
                plan.invalid,
                known(balance),
                known(balance_after)
            ),
            next: match plan.status {
                "rejected" => "it would be rejected: raise max_credits, or ask for less",
                _ => {
                    "to ask for it, call request_unlock with these arguments, a purpose and an idempotency_key; a person decides"
                }
            },
            account: plan.account,
            action: plan.action,
            event_id: plan.event_id,
            given: count(plan.given),
            new: count(new),
            paid_without_value: count(again),
            already_had: count(already_had),
            in_flight: count(plan.in_flight),
            repeated: count(plan.repeated),
            invalid: count(plan.invalid),
            batches: count(plan.batches),
            price: plan.price,
            credits_at_most: quoted_credits,
            balance,
            balance_at: plan.balance_at,
            balance_after,
            is_paused: plan.is_paused,
            status: plan.status,
            reason: plan.reason,
        }
    }
}

/// What a person has to do, and where.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ForPerson {
    what: String,
    /// The page where it is done; null: it is not served.
    page: Option<String>,
    /// The same in a terminal.
    command: String,
}

/// `None`: nothing of this request waits for a decision.
fn for_person(site: &Site, request: &Request) -> Option<ForPerson> {
    let id = request.id;
    // A new row that needs approval is quoted in a moment.
    let waits = [State::New, State::AwaitingApproval].iter().any(|state| state.name() == request.status);
    waits.then(|| ForPerson {
        what: match request.quoted_credits {
            Some(credits) => format!("approve or cancel request {id}, which may cost {credits} credits"),
            None => format!("approve or cancel request {id}, once its cost is estimated"),
        },
        page: site.page_of(id),
        command: format!("unlockd approve {id}"),
    })
}

/// The request that was written.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Asked {
    /// What happened, and what comes next.
    summary: String,
    request_id: i64,
    /// False: it was written before with this idempotency_key, and nothing new was asked for.
    is_new: bool,
    status: String,
    /// What it may cost, at most; null: it is not estimated yet.
    credits_at_most: Option<i64>,
    /// Null: nothing waits for a person.
    for_person: Option<ForPerson>,
}

impl Asked {
    pub(super) fn of(site: &Site, request: Request, is_new: bool, at_most: Option<i64>) -> Asked {
        let id = request.id;
        let for_person = for_person(site, &request);
        let (done, credits) = match is_new {
            true => ("is written", at_most.or(request.quoted_credits)),
            false => {
                ("was written before with this key, and nothing new was asked for", request.quoted_credits)
            }
        };
        let then = match &for_person {
            Some(_) => {
                "it waits until a person approves or cancels it, and nothing is bought before".to_owned()
            }
            None => format!("it is {}", request.status),
        };
        Asked {
            summary: format!("request {id} {done}; {then}"),
            request_id: id,
            is_new,
            status: request.status,
            credits_at_most: credits,
            for_person,
        }
    }
}

/// A request, its counts, and a page of its contacts.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct OneRequest {
    summary: String,
    #[serde(flatten)]
    request: Request,
    /// Null: nothing of it waits for a decision.
    for_person: Option<ForPerson>,
    outcomes: Vec<OutcomeCount>,
    /// Emails and phones only if the operator allows it.
    contact_list: Vec<Contact>,
    /// For more contacts; null after the last one.
    next_cursor: Option<i64>,
}

impl OneRequest {
    pub(super) fn of(
        site: &Site,
        request: Request,
        outcomes: Vec<OutcomeCount>,
        contacts: Contacts,
    ) -> OneRequest {
        let summary = format!(
            "request {} is {}: {} of {} delivered, {} open; {} credits may have been spent on it",
            request.id,
            request.status,
            request.delivered,
            request.contacts,
            request.pending,
            request.committed_credits
        );
        OneRequest {
            summary,
            for_person: for_person(site, &request),
            request,
            outcomes,
            contact_list: contacts.contacts,
            next_cursor: contacts.next_cursor,
        }
    }
}

/// Requests, newest first.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct RequestList {
    pub(super) requests: Vec<Request>,
    /// For older ones; null after the last one.
    pub(super) next_cursor: Option<i64>,
}

/// Why a request is not finished, or how it ended.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct Explained {
    summary: String,
    #[serde(flatten)]
    explanation: Explanation,
    /// Null: nothing of it waits for a decision.
    for_person: Option<ForPerson>,
}

impl Explained {
    pub(super) fn of(site: &Site, request: &Request, explanation: Explanation) -> Explained {
        let first = explanation.waits.first().map(|wait| wait.what.as_str());
        let summary = match (explanation.finished, explanation.no_worker(), first) {
            (true, ..) => format!("request {} is finished: {}", request.id, request.status),
            (_, Some(said), _) => format!("{said} (a person does that)"),
            (_, _, Some(what)) => format!("request {} waits: {what}", request.id),
            (_, _, None) => format!("request {} is about to move", request.id),
        };
        Explained { summary, for_person: for_person(site, request), explanation }
    }
}
