//! Reading the results: rows, the sandbox's journal, and a dump for when a test fails.

use std::collections::BTreeMap;

use unlockd::sandbox::{Call, Fault};
use unlockd::store::report::requests;
use unlockd::worker::people::explain::{self, Explanation};

use super::{Town, invariants};
use crate::db::Cells;

impl Town {
    pub(crate) async fn all<T: Cells>(&mut self, sql: &str) -> Vec<T> {
        self.state.all(sql).await
    }

    pub(crate) async fn one<T: Cells>(&mut self, sql: &str) -> T {
        self.state.one(sql).await
    }

    pub(crate) async fn number(&mut self, sql: &str) -> i64 {
        self.one::<(i64,)>(sql).await.0
    }

    /// Outcomes of a request by contact.
    pub(crate) async fn outcomes(&mut self, request_id: i64) -> BTreeMap<String, String> {
        let sql =
            format!("select personnel_id, outcome from contact_outcomes where request_id = {request_id}");
        self.all::<(String, String)>(&sql).await.into_iter().collect()
    }

    /// Outcome and source of one contact of a request.
    pub(crate) async fn outcome(&mut self, request_id: i64, id: &str) -> (String, Option<String>) {
        self.one(&format!(
            "select outcome, source from contact_outcomes where request_id = {request_id} and personnel_id = '{id}'"
        ))
        .await
    }

    /// Status and reason of an inbox row.
    pub(crate) async fn inbox(&mut self, id: i64) -> (String, Option<String>) {
        self.user.one(&format!("select status, reason from inbox where id = {id}")).await
    }

    pub(crate) async fn status(&mut self, id: i64) -> String {
        self.inbox(id).await.0
    }

    /// State and reason of a job.
    pub(crate) async fn job(&mut self, id: i64) -> (String, Option<String>) {
        self.one(&format!("select state, state_reason from jobs where id = {id}")).await
    }

    pub(crate) async fn job_state(&mut self, id: i64) -> String {
        let (state, reason) = self.job(id).await;
        reason.map_or(state.clone(), |reason| format!("{state} ({reason})"))
    }

    /// The answer of `unlockd explain` about a request.
    pub(crate) async fn explained(&self, id: i64) -> Explanation {
        let request = requests::read(self.store(), id).await.expect("readable").expect("the request");
        explain::of(self.store(), &self.deps().config(), &request, self.clock.now()).await.expect("readable")
    }

    /// The events of a job's timeline.
    pub(crate) async fn timeline(&mut self, job_id: i64) -> Vec<String> {
        let sql = format!("select event from request_events where job_id = {job_id} order by id");
        self.all::<(String,)>(&sql).await.into_iter().map(|(event,)| event).collect()
    }

    pub(crate) async fn verdicts(&mut self) -> Vec<(i64, String)> {
        self.all("select coalesce(spent, -1), verdict from credit_audit order by closed_at").await
    }

    /// Adds a fault, as `--fault` does.
    pub(crate) fn fault(&self, text: &str) {
        self.sandbox.inject(text.parse::<Fault>().expect("a fault"));
    }

    pub(crate) fn calls(&self, part_of_path: &str) -> Vec<Call> {
        self.sandbox.journal().into_iter().filter(|call| call.path.contains(part_of_path)).collect()
    }

    /// The paid POSTs for contacts.
    pub(crate) fn posts(&self) -> Vec<Call> {
        let mut posts = self.calls("/contacts/unlock");
        posts.retain(|call| call.method == "POST");
        posts
    }

    /// The contacts that a POST named.
    pub(crate) fn sent(call: &Call) -> Vec<String> {
        invariants::sent(call)
    }

    /// Polls, in milliseconds since the first accepted POST.
    pub(crate) fn polls(&self) -> Vec<i64> {
        let start = self.posts().iter().find(|call| call.carried_out).map(|call| call.at_ms);
        let start = start.expect("something was accepted");
        self.calls("-tasks/").iter().map(|call| call.at_ms - start).collect()
    }

    pub(crate) async fn dump(&mut self) -> String {
        type Job = (i64, String, String, i64, Option<i64>, Option<String>);
        let jobs: Vec<Job> = self
            .all("select id, state, coalesce(state_reason, ''), contacts, coalesce(next_poll_at, due_at), evidence from jobs")
            .await;
        let items: Vec<(i64, String, String, i64)> = self
            .all("select request_id, state, outcome, count(*) from items group by 1, 2, 3 order by 1, 2, 3")
            .await;
        let inbox: Vec<(i64, String, Option<String>)> =
            self.user.all("select id, status, reason from inbox").await;
        let calls = self.sandbox.journal();
        let last: Vec<_> = calls
            .iter()
            .rev()
            .take(12)
            .map(|call| format!("{} {} -> {:?} {:?}", call.method, call.path, call.status, call.fault))
            .collect();
        format!(
            "now {}\ninbox {inbox:?}\njobs {jobs:?}\nitems {items:?}\n{} calls, newest first:\n{}",
            self.clock.now().0,
            calls.len(),
            last.join("\n")
        )
    }
}
