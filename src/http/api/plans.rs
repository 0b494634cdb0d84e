//! `POST /plans`: what a request would do and cost, and a quote id that an approval may name.
//!
//! A quote id says which figure was shown for which contents. It is sealed and not stored: it ends after 15 minutes,
//! or with the process.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::body::Body;
use super::caller::Caller;
use super::problem::Problem;
use super::wanted::{NewRequest, Understood};
use crate::config::Scope;
use crate::domain::credits::Approval;
use crate::domain::request::RawRow;
use crate::domain::same_request;
use crate::domain::{Credits, Millis};
use crate::http::Site;
use crate::store::accounts;
use crate::store::credits::balances;
use crate::store::report::Time;
use crate::worker::people::plan;

/// How long a quote id is good, in milliseconds.
const QUOTE_MS: i64 = 15 * 60_000;

const SEALED_FOR: &[u8] = b"quote";

/// What a request would do and cost. Nothing was written and nothing is spent.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Plan {
    pub(in crate::http) account: String,
    pub(in crate::http) action: String,
    pub(in crate::http) event_id: Option<String>,
    /// Ids as given.
    pub(in crate::http) given: usize,
    /// To buy, at most.
    pub(in crate::http) new: usize,
    /// Of the new ones: paid for before, and no value came. Each costs its price again.
    pub(in crate::http) paid_without_value: usize,
    /// This database has their value.
    pub(in crate::http) already_had: usize,
    /// Being bought already in another request's task.
    pub(in crate::http) in_flight: usize,
    /// Given more than once.
    pub(in crate::http) repeated: usize,
    /// Not valid as a contact's id.
    pub(in crate::http) invalid: usize,
    /// Ids that a spreadsheet or a program with floats may have rounded: they may be other contacts.
    pub(in crate::http) looks_rounded: usize,
    pub(in crate::http) batches: usize,
    /// Of one contact, call or page.
    pub(in crate::http) price: i64,
    /// What it would cost, at most.
    pub(in crate::http) quoted_credits: i64,
    /// What the request would be: `accepted`, `awaiting_approval` or `rejected`.
    pub(in crate::http) status: &'static str,
    pub(in crate::http) reason: Option<String>,
    /// Nothing is sent until a person resumes the account.
    pub(in crate::http) is_paused: bool,
    /// The last balance read.
    pub(in crate::http) balance: Option<i64>,
    pub(in crate::http) balance_at: Option<Time>,
    pub(in crate::http) balance_after: Option<i64>,
    /// What credits.daily_limit leaves today; null: there is no such limit.
    pub(in crate::http) left_today: Option<i64>,
    /// What credits.monthly_limit leaves this month; null: there is no such limit.
    pub(in crate::http) left_this_month: Option<i64>,
    /// UTC days that the daily limit takes, today included, if nothing else is bought; null: there is no such limit, or one
    /// contact costs more.
    pub(in crate::http) days: Option<u64>,
    /// Names this figure for these contents: `POST /requests/{id}/approve` takes it.
    pub(in crate::http) quote: String,
    pub(in crate::http) quote_expires_at: Time,
}

#[derive(Serialize, Deserialize)]
struct Quote {
    credits: i64,
    content: String,
    expires_at: i64,
}

/// Says what a request would do and cost
///
/// Writes no request and spends nothing. Scope read, propose or enqueue.
#[utoipa::path(post, path = "/plans", request_body = NewRequest, responses((status = 200, body = Plan)))]
pub(super) async fn plan(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Body(wanted): Body<NewRequest>,
) -> Result<Json<impl Serialize>, Problem> {
    Ok(Json(planned(&site, &caller, wanted).await?))
}

/// The same for every caller.
pub(in crate::http) async fn planned(
    site: &Site,
    caller: &Caller,
    wanted: NewRequest,
) -> Result<Plan, Problem> {
    caller.needs(&[Scope::Read, Scope::Propose, Scope::Enqueue])?;
    let config = site.config();
    let understood = wanted.understand(caller, None, &config)?;
    let Understood { row, request, given } = &understood;
    let figures = plan::figures(&config, &site.store, request).await?;
    let contacts = request.contacts();
    let (status, reason) = match figures.approval {
        Approval::NotNeeded => ("accepted", None),
        Approval::OverMaxCredits => {
            ("rejected", Some("more than max_credits; nothing would be bought".to_owned()))
        }
        Approval::Needed => {
            ("awaiting_approval", Some(why(&understood, figures.quote, config.credits.approve_above)))
        }
    };
    let balance = balances::last_balance(site.store.readers(), &request.account).await?;
    let now = site.clock.now();
    let order = (figures.new, figures.price);
    let pace = plan::pace(&config, &site.store, &request.account, order, now).await?;
    let expires_at = now.plus(QUOTE_MS);
    Ok(Plan {
        account: request.account.to_string(),
        action: request.action.to_string(),
        event_id: row.event_id.clone(),
        given: *given,
        new: figures.new,
        paid_without_value: figures.paid_without_value,
        already_had: figures.already_had,
        in_flight: figures.in_flight,
        repeated: given.saturating_sub(contacts.valid.len() + contacts.invalid.len()),
        invalid: contacts.invalid.len(),
        looks_rounded: contacts.rounded.ids(),
        batches: figures.batches,
        price: figures.price.0,
        quoted_credits: figures.quote.0,
        status,
        reason,
        is_paused: accounts::read(site.store.readers(), &request.account).await?.paused_at.is_some(),
        balance: balance.as_ref().map(|(_, balance)| balance.total.0),
        balance_at: balance.as_ref().map(|(at, _)| Time::from(*at)),
        balance_after: balance.map(|(_, balance)| (balance.total - figures.quote).0),
        left_today: pace.day.map(|(_, left)| left.0),
        left_this_month: pace.month.map(|(_, left)| left.0),
        days: pace.days,
        quote: issue(site, &RawRow::from(row), figures.quote, expires_at),
        quote_expires_at: expires_at.into(),
    })
}

fn why(Understood { row, .. }: &Understood, quote: Credits, approve_above: i64) -> String {
    match row.needs_approval && quote.0 <= approve_above {
        true if row.agent.is_some() => "an agent proposes, and a person decides".to_owned(),
        true => "the token may only propose".to_owned(),
        false => format!("more than credits.approve_above = {approve_above}"),
    }
}

fn issue(site: &Site, row: &RawRow, credits: Credits, expires_at: Millis) -> String {
    let quote = Quote { credits: credits.0, content: digest(row), expires_at: expires_at.0 };
    site.quotes.seal(SEALED_FOR, &serde_json::to_string(&quote).unwrap_or_default())
}

fn digest(row: &RawRow) -> String {
    hex::encode(Sha256::digest(same_request::content(row)))
}

/// The figure of a quote id, if it is good for this row now.
pub(super) fn quoted(site: &Site, quote: &str, row: &RawRow) -> Result<Credits, Problem> {
    let quote = site.quotes.open(SEALED_FOR, quote);
    let quote: Option<Quote> = quote.and_then(|text| serde_json::from_str(&text).ok());
    let quote = quote.ok_or_else(|| {
        Problem::conflict("no-quote", "No such quote", "this process gave no such quote: ask for a new plan")
    })?;
    if site.clock.now() >= Millis(quote.expires_at) {
        let detail = "the quote is older than 15 minutes: ask for a new plan";
        return Err(Problem::conflict("quote-expired", "The quote has expired", detail));
    }
    if quote.content != digest(row) {
        let detail = "the quote is for other contents than those of the request";
        return Err(Problem::conflict("another-content", "Another content", detail));
    }
    Ok(Credits(quote.credits))
}
