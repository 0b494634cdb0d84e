//! The simple alternative that a user might write: for each contact a loop that submits, sleeps 3, 5, 10 s
//! between polls, and follows Retry-After.

use std::time::{Duration, Instant};

/// Runs the loops side by side; returns how long all of them took, or `None` at the time limit.
pub(crate) async fn run(
    base_url: &str,
    contacts: u64,
    every: Duration,
    at_most: Duration,
) -> Option<Duration> {
    // The builder needs one, although nothing here is encrypted. A second one does no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let since = Instant::now();
    let loops = async {
        let mut tasks = tokio::task::JoinSet::new();
        for id in 0..contacts {
            tasks.spawn(one(client.clone(), base_url.to_owned(), 5_000_000 + id * 100));
            tokio::time::sleep(every).await;
        }
        tasks.join_all().await
    };
    tokio::time::timeout(at_most, loops).await.ok().map(|_| since.elapsed())
}

async fn one(client: reqwest::Client, base_url: String, id: u64) {
    let body = serde_json::json!({"personnel_ids": [id.to_string()], "event_id": "139574"});
    let post =
        || client.post(format!("{base_url}/external/contacts/unlock")).bearer_auth("uak_naive").json(&body);
    let accepted = obeying(post).await;
    let task = accepted["task_id"].as_str().unwrap_or_default().to_owned();
    for wait in [3, 5].into_iter().chain(std::iter::repeat(10)) {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let url = format!("{base_url}/external/contacts/unlock-tasks/{task}");
        let view = obeying(|| client.get(&url).bearer_auth("uak_naive")).await;
        if matches!(view["taskStatus"].as_str(), Some("completed" | "failed")) {
            return;
        }
    }
}

/// Sends until the rate limit allows it.
async fn obeying(request: impl Fn() -> reqwest::RequestBuilder) -> serde_json::Value {
    loop {
        let Ok(answer) = request().send().await else { continue };
        if answer.status() != 429 {
            return answer.json().await.unwrap_or_default();
        }
        let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await;
    }
}
