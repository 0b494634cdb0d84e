//! Why a finished request has nothing but rejections: the reason that its inbox row shows.

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

/// Gives those of the finished requests (ids as JSON) a reason of which every item was rejected. Their
/// jobs must be saved as they ended.
pub(in crate::store) async fn give_reasons(connection: &mut Tx, request_ids: &str) -> Result<(), StoreError> {
    let rejected: Vec<Row> = sql::query_as(
        "select r.id, r.action, r.max_credits, max(coalesce(j.state, '') = 'rejected') as by_api,
                json_group_array(distinct i.error_code) filter (where i.error_code is not null) as error_codes,
                max(exists (select 1 from ledger l where l.job_id = i.job_id and l.entry = 'charge')) as has_charge
         from requests r join items i on i.request_id = r.id left join jobs j on j.id = i.job_id
         where r.id in (select value from json_each($1)) and i.outcome = 'rejected'
           and not exists (select 1 from items o where o.request_id = r.id
                             and o.outcome not in ('rejected', 'invalid'))
         group by r.id",
    )
    .bind(request_ids)
    .fetch_all(&mut *connection)
    .await?;
    let reasons: Vec<_> = rejected.iter().map(|row| json!([row.id, row.reason()])).collect();
    sql::query(
        "update requests set reason = given.reason
         from (select value->>0 as id, value->>1 as reason from json_each($1)) as given
         where requests.id = given.id",
    )
    .bind(json!(reasons).to_string())
    .execute(connection)
    .await?;
    Ok(())
}
