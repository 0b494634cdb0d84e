//! Which parts of which limits were told: the table `budget_warnings`. Its trigger writes the message for `notify.url` in
//! the same transaction, so each is told once, whatever crashes.

use serde::Serialize;
use sqlx::FromRow;

use crate::domain::budget::{Limit, Warning};
use crate::domain::{AccountId, Credits, Millis};
use crate::store::time::Time;
use crate::store::{Reads, StoreError, Tx, sql};

/// How long a warning stays, in milliseconds: longer than any month.
const KEPT_FOR_MS: i64 = 40 * 24 * 3_600_000;

/// A warning as people read it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, utoipa::ToSchema, schemars::JsonSchema)]
pub struct Told {
    /// The owner, or the name of the token.
    pub subject: String,
    /// `daily_limit`, `monthly_limit`, `token_daily_credits`, or `usual_hour` (three times what an hour usually costs).
    pub limit_name: String,
    /// The start of the day, month or hour.
    pub period: Time,
    pub percent: i64,
    pub spent: i64,
    /// The limit, in credits.
    pub credits: i64,
    pub at: Time,
}

impl Told {
    pub fn is_of_token(&self) -> bool {
        Limit::parse(&self.limit_name) == Some(Limit::Token)
    }

    /// In a sentence: the same words in every place.
    pub fn what(&self) -> String {
        let Told { subject, percent, spent, credits, .. } = self;
        match Limit::parse(&self.limit_name) {
            Some(Limit::Hour) => format!(
                "owner {subject} spent {spent} credits in this hour, three times the usual or more (from {credits} on)"
            ),
            Some(Limit::Token) => {
                format!("token {subject}: {percent} % of its daily_credits ({spent} of {credits})")
            }
            _ => {
                let name = &self.limit_name;
                format!("owner {subject}: {percent} % of credits.{name} is spent ({spent} of {credits})")
            }
        }
    }
}

/// Records a warning. False: this percentage of the limit, or a higher one, was recorded in this period already.
pub async fn tell(connection: &mut Tx, warning: &Warning, now: Millis) -> Result<bool, StoreError> {
    sql::query("delete from budget_warnings where at < $1")
        .bind(now.plus(-KEPT_FOR_MS).0)
        .execute(&mut *connection)
        .await?;
    let told = sql::query(
        "insert into budget_warnings (subject, limit_name, period, percent, spent, credits, at)
         select $1, $2, $3, $4, $5, $6, $7
         where not exists (select 1 from budget_warnings where subject = $1 and limit_name = $2 and period = $3
                             and credits = $6 and percent >= $4)",
    )
    .bind(warning.subject.as_str())
    .bind(warning.limit.as_str())
    .bind(warning.period.0)
    .bind(i64::from(warning.percent))
    .bind(warning.spent.0)
    .bind(warning.of.0)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(told.rows_affected() > 0)
}

/// Whether as much of this limit was told in this period.
pub async fn is_told(readers: &Reads, warning: &Warning) -> Result<bool, StoreError> {
    Ok(sql::query_scalar(
        "select exists (select 1 from budget_warnings where subject = $1 and limit_name = $2 and period = $3
                          and credits = $4 and percent >= $5)",
    )
    .bind(warning.subject.as_str())
    .bind(warning.limit.as_str())
    .bind(warning.period.0)
    .bind(warning.of.0)
    .bind(i64::from(warning.percent))
    .fetch_one(readers)
    .await?)
}

/// The highest warning of each limit in the present day, month and hour.
pub async fn present(readers: &Reads, now: Millis) -> Result<Vec<Told>, StoreError> {
    Ok(sql::query_as(
        "select subject, limit_name, period, percent, spent, credits, at from budget_warnings as told
         where period in ($1, $2, $3)
           and not exists (select 1 from budget_warnings later where later.subject = told.subject
                             and later.limit_name = told.limit_name and later.period = told.period
                             and later.id > told.id)
         order by percent desc, subject, limit_name limit 100",
    )
    .bind(now.start_of_day().0)
    .bind(now.start_of_month().0)
    .bind(now.start_of_hour().0)
    .fetch_all(readers)
    .await?)
}

/// What an account's pool was charged in this hour, and in each hour of the week before in which something was.
pub async fn hours(
    readers: &Reads,
    account: &AccountId,
    (week, hour): (Millis, Millis),
) -> Result<(Credits, Vec<Credits>), StoreError> {
    let rows: Vec<(i64, i64)> = sql::query_as(
        "select at / 3600000 as hour, cast(coalesce(sum(credits), 0) as bigint) from ledger
         where entry = 'charge' and at >= $2 and account in (select member from pools where account = $1)
         group by 1",
    )
    .bind(account.as_str())
    .bind(week.0)
    .fetch_all(readers)
    .await?;
    let is_present = |(at, _): &&(i64, i64)| *at == hour.0 / 3_600_000;
    let present = rows.iter().find(is_present).map_or(Credits::ZERO, |(_, credits)| Credits(*credits));
    let before = rows.iter().filter(|row| !is_present(row)).map(|(_, credits)| Credits(*credits)).collect();
    Ok((present, before))
}
