//! The program that enqueues. Its connection is ended at random as well.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use unlockd::sandbox::Channel;

use super::ACCOUNTS;

pub(crate) struct Producer {
    url: String,
    connection: Option<PgConnection>,
    /// The statement that may have been carried out.
    unsure: Option<String>,
    random: Rng,
    pub(crate) rows: i64,
    /// By contact, with its account.
    pub(crate) asked: BTreeMap<(String, Channel), &'static str>,
}

impl Producer {
    pub(crate) fn new(database: &str, seed: u64) -> Producer {
        Producer {
            url: format!("{database}?application_name=producer"),
            connection: None,
            unsure: None,
            random: Rng::with_seed(seed),
            rows: 0,
            asked: BTreeMap::new(),
        }
    }

    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure.is_some()
    }

    /// Writes the next row, or again the one of which it does not know.
    pub(crate) async fn write(&mut self) {
        let insert = match self.unsure.take() {
            Some(insert) => insert,
            None => self.next_row(),
        };
        let connected = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => PgConnection::connect(&self.url).await,
        };
        let written = async {
            let mut connection = connected?;
            sqlx::raw_sql(AssertSqlSafe(insert.as_str())).execute(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match written.await {
            Ok(connection) => self.connection = Some(connection),
            Err(_) => self.unsure = Some(insert),
        }
    }

    /// Up to eight contacts of one account, most of them new; one that was asked for before must not be bought again.
    /// At times an event.
    fn next_row(&mut self) -> String {
        self.rows += 1;
        let (row, account) = (self.rows, ACCOUNTS[self.random.usize(..ACCOUNTS.len())]);
        if self.random.u32(0..20) == 0 {
            let columns = "account, action, event_id, dedupe_key";
            let values = format!("'{account}', 'unlock_event_contacts', '{row}01', 'row-{row}'");
            return insert(columns, &values);
        }
        let (action, channel) = match self.random.u32(0..5) {
            0 => ("unlock_contact_phones", Channel::Phone),
            _ => ("unlock_contact_emails", Channel::Email),
        };
        let mut ids: BTreeSet<String> = (0..self.random.u32(1..=8))
            .map(|at| format!("{}{at}{:02}", 100_000 + row, self.random.u32(0..90)))
            .collect();
        let before: Vec<&String> =
            self.asked.iter().filter(|(_, of)| **of == account).map(|((id, _), _)| id).collect();
        if self.random.u32(0..4) == 0 && !before.is_empty() {
            ids.insert(before[self.random.usize(..before.len())].clone());
        }
        let columns = "account, action, event_id, personnel_ids, dedupe_key";
        let list = serde_json::json!(ids);
        let values = format!("'{account}', '{action}', '139574', '{list}', 'row-{row}'");
        self.asked.extend(ids.into_iter().map(|id| ((id, channel), account)));
        insert(columns, &values)
    }
}

fn insert(columns: &str, values: &str) -> String {
    format!("insert into inbox ({columns}) values ({values}) on conflict do nothing")
}
