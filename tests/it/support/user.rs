//! Actions of users and their programs: plain SQL in the inbox, decisions, and changes to rows of the worker.

use unlockd::domain::{Credits, JobId, RequestId};
use unlockd::store::jobs::Job;
use unlockd::store::requests::unsent;
use unlockd::store::{accounts, jobs};
use unlockd::worker::people::{decide, pause};

use super::Town;

impl Town {
    /// Plain SQL in the inbox, as a user's program would write it.
    pub(crate) async fn user(&mut self, sql: impl Into<String>) {
        self.user.run(&sql.into()).await.expect("the inbox takes it");
    }

    /// A request for emails; returns its id.
    pub(crate) async fn insert(&mut self, event_id: Option<&str>, ids: &[&str]) -> i64 {
        let ids = serde_json::json!(ids).to_string().replace('\'', "''");
        let event_id = event_id.map_or("null".to_owned(), |id| format!("'{id}'"));
        self.insert_row("event_id, personnel_ids", &format!("{event_id}, '{ids}'")).await
    }

    /// A request with these columns and values (SQL); returns its id.
    pub(crate) async fn insert_row(&mut self, columns: &str, values: &str) -> i64 {
        let sql = format!("insert into inbox ({columns}) values ({values}) returning id");
        self.user.one::<(i64,)>(&sql).await.0
    }

    /// Changes the state directly.
    pub(crate) async fn meddle(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        self.state.run(sql).await
    }

    /// A person approves the quote of a request.
    pub(crate) async fn approve(&mut self, id: i64) {
        let quote = self.number(&format!("select quoted_credits from requests where id = {id}")).await;
        let now = self.clock.now();
        decide::approve(self.store(), RequestId(id), Credits(quote), now).await.expect("approved");
    }

    /// A person pauses or continues the account.
    pub(crate) async fn pause(&mut self, paused: bool) {
        let (account, now) = (self.deps().accounts().remove(0), self.clock.now());
        let at = paused.then_some(now);
        self.store()
            .write(move |connection| {
                Box::pin(async move { accounts::set_paused(connection, &account, at).await })
            })
            .await
            .expect("noted");
    }

    /// A person says that a job in doubt had no effect.
    pub(crate) async fn resubmit(&mut self, job: i64) {
        let job = self.read_job(job).await;
        let cost = job.cost.unwrap_or_default();
        decide::resubmit(self.store(), job, cost, self.clock.now()).await.expect("decided");
    }

    /// A person gives a job in doubt up.
    pub(crate) async fn write_off(&mut self, job: i64) {
        let job = self.read_job(job).await;
        decide::write_off(self.store(), job, self.clock.now()).await.expect("decided");
    }

    async fn read_job(&mut self, id: i64) -> Job {
        jobs::read(self.store().readers(), JobId(id)).await.expect("readable").expect("the job")
    }

    /// An older copy of the database was found.
    pub(crate) async fn distrust(&mut self) {
        let accounts = self.deps().accounts();
        pause::distrust_restored(self.store(), accounts, self.clock.now()).await.expect("noted");
    }

    /// A person cancels a request.
    pub(crate) async fn cancel(&mut self, id: i64) {
        let now = self.clock.now();
        self.store()
            .write(move |connection| {
                Box::pin(async move { unsent::cancel(connection, RequestId(id), now).await })
            })
            .await
            .expect("cancelled");
    }
}
