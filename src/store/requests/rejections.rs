//! The reason that the inbox row shows when all contacts of a finished request were rejected.

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
    has_charge: bool,
}

impl Row {
    fn reason(&self, codes: &[(i64, String)]) -> String {
        let own = codes.iter().filter(|(id, _)| *id == self.id);
        let rejected = Rejected {
            action: Action::parse(&self.action),
            by_api: self.by_api,
            error_codes: own.map(|(_, code)| code.clone()).collect(),
            has_charge: self.has_charge,
            max_credits: self.max_credits.map(Credits),
        };
        rejected.reason()
    }
}

/// The reason for each of these requests, whose items were all rejected. Their jobs must already be saved in
/// their final state.
pub(in crate::store) async fn reasons(
    connection: &mut Tx,
    ids: &[i64],
) -> Result<HashMap<i64, String>, StoreError> {
    let rejected: Vec<Row> = sql::query_as(
        "select r.id, r.action, r.max_credits, count(*) filter (where j.state = 'rejected') > 0 as by_api,
                count(*) filter (where exists (select 1 from ledger l
                                               where l.job_id = i.job_id and l.entry = 'charge')) > 0 as has_charge
         from requests r join items i on i.request_id = r.id left join jobs j on j.id = i.job_id
         where r.id in (select value from json_ids($1)) and i.outcome = 'rejected'
         group by r.id",
    )
    .bind(json!(ids).to_string())
    .fetch_all(&mut *connection)
    .await?;
    if rejected.is_empty() {
        return Ok(HashMap::new());
    }
    let codes: Vec<(i64, String)> = sql::query_as(
        "select distinct request_id, error_code from items
         where request_id in (select value from json_ids($1)) and outcome = 'rejected' and error_code is not null
         order by request_id, error_code",
    )
    .bind(json!(ids).to_string())
    .fetch_all(connection)
    .await?;
    Ok(rejected.iter().map(|row| (row.id, row.reason(&codes))).collect())
}
