//! Owners of keys: what they share, and which of their calls run one at a time.

use serde_json::{Value, json};
use unlockd::sandbox::Options;

use crate::{Town, quiet_town, read, town, town_with};

impl Town {
    fn with_key(
        &self,
        key: &str,
        method: reqwest::Method,
        path: &str,
        body: Value,
    ) -> reqwest::RequestBuilder {
        let url = format!("{}/external/{path}", self.sandbox.base_url());
        let request = self.client.request(method, url).bearer_auth(key);
        if body.is_null() { request } else { request.json(&body) }
    }

    /// Sends a call whose answer takes long, and returns when the call is running.
    async fn under_way(&self, request: reqwest::RequestBuilder) -> tokio::task::JoinHandle<()> {
        let before = self.sandbox.journal().len();
        let call = tokio::spawn(async move { drop(request.send().await) });
        while self.sandbox.journal().iter().filter(|call| call.carried_out).count() <= before {
            tokio::task::yield_now().await;
        }
        call
    }
}

#[tokio::test]
async fn two_keys_of_one_owner_share_pool_tasks_and_contacts_and_other_owners_do_not() {
    let town = quiet_town().await;
    let unlock = |key: &str| {
        town.with_key(key, reqwest::Method::POST, "contacts/unlock", json!({ "personnel_ids": ["1"] }))
    };
    let balance = async |key: &str| {
        let call = town.with_key(key, reqwest::Method::GET, "credits/balance", Value::Null);
        read(call, 200).await["totalBalance"].clone()
    };
    let task = read(unlock("sk_one@anna"), 201).await["task_id"].clone();
    let task = task.as_str().expect("a task");
    assert_eq!(balance("sk_two@anna").await, 9_985);
    assert_eq!(read(unlock("sk_two@anna"), 201).await["status"], "success", "it is being unlocked");
    let path = format!("contacts/unlock-tasks/{task}");
    read(town.with_key("sk_two@anna", reqwest::Method::GET, &path, Value::Null), 200).await;
    read(town.with_key("sk_three", reqwest::Method::GET, &path, Value::Null), 404).await;
    assert_eq!(balance("sk_three").await, 10_000);
    let other = read(unlock("sk_three"), 201).await;
    assert_eq!(other["status"], "accepted", "another owner buys it for himself");
    assert_ne!(other["task_id"], json!(task));
    assert_eq!(town.sandbox.accounting().charged_total, 30);
    assert_eq!(town.sandbox.accounting_of("anna").charged_total, 15);
}

#[tokio::test]
async fn one_credit_operation_of_an_owner_runs_at_a_time() {
    let town = town_with("slow=1h@unlock").await;
    let unlock = |key: &str, id: &str| {
        town.with_key(key, reqwest::Method::POST, "contacts/unlock", json!({ "personnel_ids": [id] }))
    };
    let event = |key: &str| town.with_key(key, reqwest::Method::POST, "events/7/unlock", Value::Null);
    let running = town.under_way(unlock("sk_one", "1")).await;
    for request in [unlock("sk_two", "2"), event("sk_two")] {
        let error = read(request, 409).await;
        assert_eq!(error["errorKey"], "CREDIT_OPERATION_IN_PROGRESS");
    }
    read(unlock("sk_one@anna", "2"), 201).await;
    assert_eq!(town.balance().await, 9_985, "a free call is not refused");
    running.abort();
    assert!(running.await.expect_err("it never had an answer").is_cancelled());
    // The connection is gone a moment later.
    while town.unlocking(&["2"]).send().await.expect("an answer").status() == 409 {
        tokio::task::yield_now().await;
        town.advance(60);
    }
    assert_eq!(town.balance().await, 9_970);
}

#[tokio::test]
async fn a_lost_answer_holds_nothing_up() {
    let town = town_with("lost-answer=timeout@unlock").await;
    let running = town.under_way(town.unlocking(&["1"])).await;
    town.unlock(&["2"]).await;
    running.abort();
}

#[tokio::test]
async fn one_search_of_events_runs_at_a_time_and_ten_by_name() {
    let town = town(Options {
        faults: ["slow=1h@search", "10x:slow=1h@by-name"].map(|fault| fault.parse().expect("a fault")).into(),
        ..Options::default()
    })
    .await;
    let by_name = || town.get("/external/personnel/events/by-name?person_name=Ada");
    let search =
        |path: &str| town.post(&format!("/external/exhibitors/{path}"), &json!({ "company_name": "Acme" }));
    let mut running = vec![town.under_way(search("search-events")).await];
    let busy = read(search("search-events"), 200).await;
    assert_eq!((&busy["code"], &busy["errorKey"]), (&json!(429), &json!("USER_CONCURRENCY_LIMIT_EXCEEDED")));
    assert_eq!((busy.get("data"), busy.get("details")), (Some(&Value::Null), Some(&Value::Null)));
    read(search("search-by-company-name"), 201).await;
    read(town.unlocking(&["1"]), 409).await;
    for _ in 0..10 {
        let carried_out = |town: &Town| town.sandbox.journal().iter().filter(|call| call.carried_out).count();
        let before = carried_out(&town);
        let request = by_name();
        running.push(tokio::spawn(async move { drop(request.send().await) }));
        while carried_out(&town) == before {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(read(by_name(), 200).await["errorKey"], "USER_CONCURRENCY_LIMIT_EXCEEDED");
    assert_eq!(town.sandbox.accounting().charged_total, 50 * 12);
    running.iter().for_each(tokio::task::JoinHandle::abort);
}
