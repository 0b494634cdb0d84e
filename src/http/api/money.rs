//! Balance, spend and claims: the same figures as the commands of these names, of the caller's accounts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::body::Asked;
use super::caller::Caller;
use super::lists::Part;
use super::problem::Problem;
use crate::config::Scope;
use crate::domain::moment::Moment;
use crate::domain::{Credits, Millis};
use crate::http::Site;
use crate::store::credits::warnings::{self, Told};
use crate::store::report::Time;
use crate::store::report::accounts::{self, Limits};
use crate::store::report::claims;
use crate::store::report::spend::{self, By, day};
use crate::worker::people::claims::Claim;
use crate::worker::people::needs;

/// The credits of an account.
#[derive(Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub(in crate::http) struct Balance {
    pub(in crate::http) account: String,
    /// Whose credits it spends.
    pub(in crate::http) owner: String,
    /// The last balance read; null: none was read yet.
    pub(in crate::http) balance: Option<i64>,
    pub(in crate::http) balance_at: Option<Time>,
    /// Held for submissions without an answer.
    pub(in crate::http) held: i64,
    /// Booked as charged since that balance was asked for: it does not show it yet.
    pub(in crate::http) booked_since: i64,
    /// Free to spend: without later charges, what is held, and credits.min_balance.
    pub(in crate::http) free: Option<i64>,
    /// Charged in this UTC day.
    pub(in crate::http) spent_today: i64,
    pub(in crate::http) daily_limit: Option<i64>,
    /// Possibly spent: the cost of submissions in doubt.
    pub(in crate::http) in_doubt: i64,
    pub(in crate::http) paused_at: Option<Time>,
}

#[derive(Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub(in crate::http) struct Balances {
    pub(in crate::http) accounts: Vec<Balance>,
    /// Parts of limits that are spent, and hours that cost more than usual: of the present day, month and hour.
    pub(in crate::http) warnings: Vec<Told>,
}

/// Shows the credits of each account
///
/// Makes no call: the balance is the last one that was read. Scope read.
#[utoipa::path(get, path = "/balance", responses((status = 200, body = Balances)))]
pub(super) async fn balance(
    State(site): State<Arc<Site>>,
    caller: Caller,
) -> Result<Json<Balances>, Problem> {
    Ok(Json(balances(&site, &caller).await?))
}

pub(in crate::http) async fn balances(site: &Site, caller: &Caller) -> Result<Balances, Problem> {
    caller.needs(&[Scope::Read])?;
    let config = site.config();
    let limits = Limits {
        per_minute: config.rate_limit.per_minute,
        min_balance: Credits(config.credits.min_balance),
        daily_limit: config.credits.daily_limit.map(Credits),
        monthly_limit: config.credits.monthly_limit.map(Credits),
    };
    let mut found = Vec::new();
    for work in needs::works(&site.store, &config).await? {
        if caller.may_use(work.account.as_str()) {
            let account = accounts::read(&site.store, &work, limits, site.clock.now()).await?;
            found.push(Balance {
                account: account.account,
                owner: account.owner,
                balance: account.balance,
                balance_at: account.balance_at,
                held: account.held,
                booked_since: account.booked_since,
                free: account.free,
                spent_today: account.spent_today,
                daily_limit: account.daily_limit,
                in_doubt: account.in_doubt,
                paused_at: account.paused_at,
            });
        }
    }
    let mut warnings = warnings::present(site.store.readers(), site.clock.now()).await?;
    warnings.retain(|told| match told.is_of_token() {
        true => told.subject == caller.name,
        false => found.iter().any(|account| account.owner == told.subject),
    });
    Ok(Balances { accounts: found, warnings })
}

/// Which time, and what to sum by.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Sum {
    /// Any of day, account, action, reference, with commas between them; day,account unless given
    #[param(example = "day,account")]
    pub(in crate::http) by: Option<String>,
    /// A UTC day (2026-11-21) or a time (2026-11-21T08:00:00Z)
    pub(in crate::http) since: Option<String>,
    /// The same; a day is counted whole
    pub(in crate::http) until: Option<String>,
}

/// Credits booked. A field that the sum does not use is null.
#[derive(Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub(in crate::http) struct Sums {
    pub(in crate::http) day: Option<String>,
    pub(in crate::http) account: Option<String>,
    pub(in crate::http) action: Option<String>,
    pub(in crate::http) reference: Option<String>,
    pub(in crate::http) jobs: i64,
    pub(in crate::http) contacts: i64,
    pub(in crate::http) credits: i64,
}

#[derive(Serialize, schemars::JsonSchema, utoipa::ToSchema)]
pub(in crate::http) struct Spend {
    pub(in crate::http) spend: Vec<Sums>,
    /// What jobs in doubt may have cost, at most: it is not booked, and in none of the sums.
    pub(in crate::http) in_doubt: i64,
}

/// Says where the credits went
///
/// Scope read.
#[utoipa::path(get, path = "/spend", params(Sum), responses((status = 200, body = Spend)))]
pub(super) async fn spend(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Asked(sum): Asked<Sum>,
) -> Result<Json<Spend>, Problem> {
    Ok(Json(spent(&site, &caller, &sum).await?))
}

pub(in crate::http) async fn spent(site: &Site, caller: &Caller, sum: &Sum) -> Result<Spend, Problem> {
    caller.needs(&[Scope::Read])?;
    let by = by(sum.by.as_deref().unwrap_or("day,account"))?;
    let period = period(sum.since.as_deref(), sum.until.as_deref())?;
    let accounts = caller.accounts_json();
    let summed = spend::spent(&site.store, accounts.as_deref(), by, period).await?;
    let doubt = spend::in_doubt(&site.store, accounts.as_deref(), period).await?;
    let spend = summed.into_iter().map(|sum| Sums {
        day: sum.day.map(day),
        account: sum.account,
        action: sum.action,
        reference: sum.reference,
        jobs: sum.jobs,
        contacts: sum.contacts,
        credits: sum.credits,
    });
    Ok(Spend { spend: spend.collect(), in_doubt: doubt.credits })
}

fn by(words: &str) -> Result<By, Problem> {
    let mut by = By::default();
    for word in words.split(',') {
        match word {
            "day" => by.day = true,
            "account" => by.account = true,
            "action" => by.action = true,
            "reference" => by.reference = true,
            _ => {
                let detail = "by must be any of day, account, action, reference, with commas between them";
                return Err(Problem::malformed(detail));
            }
        }
    }
    Ok(by)
}

fn period(since: Option<&str>, until: Option<&str>) -> Result<(Millis, Millis), Problem> {
    let since = since.map_or(Some(Millis(0)), |text| Some(moment(text)?.start()));
    let until = until.map_or(Some(Millis(i64::MAX)), |text| Some(moment(text)?.end()));
    since.zip(until).ok_or_else(|| {
        Problem::malformed("since and until must be a UTC day (2026-11-21) or a time (2026-11-21T08:00:00Z)")
    })
}

/// A day is written as a day: a time without a zone is none.
fn moment(text: &str) -> Option<Moment> {
    let is_day = text.len() == "2026-11-21".len();
    Moment::parse(text).filter(|moment| is_day || matches!(moment, Moment::At(_)))
}

/// Which time, and which part of the list.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Of {
    /// A UTC day (2026-11-21) or a time (2026-11-21T08:00:00Z)
    since: Option<String>,
    /// The same; a day is counted whole
    until: Option<String>,
    /// `next_cursor` of the page before
    #[param(minimum = 0)]
    cursor: Option<i64>,
    /// Rows in one page, at most; 100 unless given
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Claims {
    claims: Vec<Claim>,
    /// Of the next page; null after the last one.
    next_cursor: Option<i64>,
}

/// Lists what was paid for and brought no value
///
/// Scope read.
#[utoipa::path(get, path = "/claims", params(Of), responses((status = 200, body = Claims)))]
pub(super) async fn claims(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Asked(of): Asked<Of>,
) -> Result<Json<Claims>, Problem> {
    caller.needs(&[Scope::Read])?;
    let period = period(of.since.as_deref(), of.until.as_deref())?;
    let (cursor, limit) = Part { cursor: of.cursor, limit: of.limit }.checked()?;
    let skipped = cursor.unwrap_or(0);
    let accounts = caller.accounts_json();
    let found = claims::unfulfilled(&site.store, accounts.as_deref(), period, (skipped, limit)).await?;
    let claims: Vec<Claim> = found.into_iter().map(Claim::from).collect();
    let next_cursor = (claims.len() == limit as usize).then(|| skipped.saturating_add(i64::from(limit)));
    Ok(Json(Claims { claims, next_cursor }))
}
