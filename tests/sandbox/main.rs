//! The sandbox over real HTTP.
//!
//! The expected values are written by hand from the vendor's pages and from the rules that the sandbox
//! prints, so that a mistake in it is noticed. Time is moved by hand: nothing here waits.

mod billing;
mod contacts;
mod endpoints;
mod faults;
mod limits;
mod oddities;
mod owners;
mod tasks;
mod vendor;

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use unlockd::sandbox::{self, Channel, Options, Sandbox, Time};

struct Town {
    sandbox: Sandbox,
    client: Client,
}

fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
        .expect("these settings are valid")
}

async fn town(options: Options) -> Town {
    let options = Options { time: Time::Manual, ..options };
    Town { sandbox: sandbox::start(options).await.expect("a port is free"), client: client() }
}

async fn quiet_town() -> Town {
    town(Options::default()).await
}

/// A town with this fault.
async fn town_with(fault: &str) -> Town {
    let fault = fault.parse().expect("the grammar has this fault");
    town(Options { faults: vec![fault], ..Options::default() }).await
}

impl Town {
    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sandbox.base_url());
        self.client.get(url).bearer_auth("uak_test")
    }

    fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.sandbox.base_url());
        self.client.post(url).bearer_auth("uak_test").json(body)
    }

    fn unlocking(&self, ids: &[&str]) -> reqwest::RequestBuilder {
        self.post("/external/contacts/unlock", &json!({ "personnel_ids": ids }))
    }

    async fn unlock(&self, ids: &[&str]) -> Value {
        read(self.unlocking(ids), 201).await
    }

    async fn task(&self, id: &str) -> Value {
        read(self.get(&format!("/external/contacts/unlock-tasks/{id}")), 200).await
    }

    async fn balance(&self) -> i64 {
        let balance = read(self.get("/external/credits/balance"), 200).await;
        balance["totalBalance"].as_i64().expect("a whole number")
    }

    async fn profile(&self, id: &str) -> Value {
        let path = format!("/external/personnel/profile?personnel_id={id}");
        read(self.get(&path), 200).await
    }

    async fn precheck(&self, action: &str, params: Value) -> Value {
        let body = json!({ "action_type": action, "params": params });
        read(self.post("/external/actions/precheck", &body), 200).await
    }

    fn advance(&self, seconds: u64) {
        self.sandbox.advance(Duration::from_secs(seconds));
    }

    fn charged(&self, id: &str) -> u32 {
        self.sandbox.accounting().charge(id, Channel::Email).times
    }

    /// A client that gives up as soon as its call was received.
    async fn abandon(&self, request: reqwest::RequestBuilder) {
        let waiting = tokio::spawn(request.send());
        while self.sandbox.journal().is_empty() {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        let ended = waiting.await.expect_err("it never had an answer");
        assert!(ended.is_cancelled());
    }

    /// The result of one contact: its item when the task has ended, `Null` if it is not named.
    async fn fate(&self, id: &str) -> Value {
        let accepted = self.unlock(&[id]).await;
        self.advance(12);
        let task = self.task(accepted["task_id"].as_str().expect("a task")).await;
        assert_eq!(task["taskStatus"], "completed");
        task["items"][0].clone()
    }
}

async fn send(request: reqwest::RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn read(request: reqwest::RequestBuilder, status: u16) -> Value {
    let response = send(request).await;
    assert_eq!(response.status().as_u16(), status);
    response.json().await.expect("JSON")
}

fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(value.to_str().expect("text").to_owned())
}
