//! Why a finished request has nothing but rejections: the reason that its inbox row shows.

use std::collections::HashMap;

use crate::store::{StoreError, Tx, sql};
use serde_json::json;
use sqlx::FromRow;

use crate::domain::rejected::Rejected;
use crate::domain::{Action, Credits};

#[derive(FromRow)]
struct Row {
    id: i64,
    action: String,
    max_credits: Option<i64>,
    by_api: bool,
    error_codes: String,
    has_charge: bool,
}

impl Row {
    fn reason(&self) -> String {
        let rejected = Rejected {
            action: Action::parse(&self.action),
            by_api: self.by_api,
            // An array that the statement below has made.
            error_codes: serde_json::from_str(&self.error_codes).unwrap_or_default(),
            has_charge: self.has_charge,
            max_credits: self.max_credits.map(Credits),
        };
        rejected.reason()
    }
}

/// Why each of these requests, of which every item was rejected, brought nothing. Their jobs must be saved as
/// they ended.
pub(in crate::store) async fn reasons(
    connection: &mut Tx,
    ids: &[i64],
) -> Result<HashMap<i64, String>, StoreError> {
    let rejected: Vec<Row> = sql::query_as(
        "select r.id, r.action, r.max_credits, max(coalesce(j.state, '') = 'rejected') as by_api,
                json_group_array(distinct i.error_code) filter (where i.error_code is not null) as error_codes,
                max(exists (select 1 from ledger l where l.job_id = i.job_id and l.entry = 'charge')) as has_charge
         from requests r join items i on i.request_id = r.id left join jobs j on j.id = i.job_id
         where r.id in (select value from json_each($1)) and i.outcome = 'rejected'
         group by r.id",
    )
    .bind(json!(ids).to_string())
    .fetch_all(connection)
    .await?;
    Ok(rejected.iter().map(|row| (row.id, row.reason())).collect())
}
