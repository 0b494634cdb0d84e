//! The HTTP API, with a token for each kind of caller.

mod callers;
mod calls;
mod feed;
mod limits;
mod problems;
mod scopes;

use reqwest::Method;
use serde_json::{Value, json};

use crate::place::{Answer, Place, TOKEN, read, write_token};
use crate::support::Setup;

/// A caller with these scopes; `more` are other keys of its table.
pub(crate) struct Holder {
    name: &'static str,
    scopes: &'static str,
    more: &'static [(&'static str, &'static str)],
}

const fn holder(name: &'static str, scopes: &'static str) -> Holder {
    Holder { name, scopes, more: &[] }
}

const HOLDERS: [Holder; 9] = [
    holder("read", r#"["read"]"#),
    holder("values", r#"["values"]"#),
    holder("propose", r#"["propose"]"#),
    holder("enqueue", r#"["enqueue"]"#),
    holder("approve", r#"["approve"]"#),
    holder("all", r#"["read", "values", "propose", "enqueue", "approve"]"#),
    holder("proposer", r#"["read", "propose"]"#),
    Holder {
        name: "elsewhere",
        scopes: r#"["read", "values", "propose", "enqueue", "approve"]"#,
        more: &[("ACCOUNTS", r#"["other"]"#)],
    },
    Holder { name: "capped", scopes: r#"["read", "enqueue", "approve"]"#, more: &[("DAILY_CREDITS", "60")] },
];

/// The token of a holder.
pub(crate) fn token(name: &str) -> String {
    format!("canary-token-of-{name}-0815")
}

pub(crate) struct Api {
    pub(crate) place: Place,
    folder: tempfile::TempDir,
}

impl Api {
    pub(crate) async fn new() -> Api {
        Api::of(Setup::default()).await
    }

    pub(crate) async fn of(mut setup: Setup) -> Api {
        let folder = tempfile::tempdir().expect("a temporary directory");
        for Holder { name, scopes, more } in HOLDERS {
            let file = folder.path().join(name);
            write_token(&file, &token(name));
            let key = |key: &str| format!("HTTP__TOKENS__{}__{key}", name.to_uppercase());
            setup =
                setup.config(&key("TOKEN_FILE"), &file.display().to_string()).config(&key("SCOPES"), scopes);
            for (name, value) in more {
                setup = setup.config(&key(name), value);
            }
        }
        let page = folder.path().join("page");
        write_token(&page, TOKEN);
        setup = setup.config("HTTP__TOKEN_FILE", &page.display().to_string());
        Api { place: Place::of(setup).await, folder }
    }

    /// With a person who has signed in to the page.
    pub(crate) async fn signed_in() -> Api {
        let mut api = Api::new().await;
        api.place.sign_in().await;
        api
    }

    /// Lets the worker show what is decided, and checks the invariants.
    pub(crate) async fn end(mut self) {
        self.place.town.settle().await;
        self.place.end().await;
    }

    pub(crate) async fn get(&self, name: &str, path: &str) -> Answer {
        let path = format!("/api/v1{path}");
        read(self.place.request(Method::GET, &path).bearer_auth(token(name))).await
    }

    pub(crate) async fn post(&self, name: &str, path: &str, body: &Value) -> Answer {
        let path = format!("/api/v1{path}");
        read(self.place.request(Method::POST, &path).bearer_auth(token(name)).json(body)).await
    }

    pub(crate) async fn post_once(&self, name: &str, key: &str, body: &Value) -> Answer {
        let request = self.place.request(Method::POST, "/api/v1/requests").bearer_auth(token(name));
        read(request.header("Idempotency-Key", key).json(body)).await
    }
}

/// A request for these contacts.
pub(crate) fn wanted(ids: &[&str]) -> Value {
    json!({"personnel_ids": ids, "reference": "crm-17"})
}

pub(crate) fn parsed(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{error}: {}", answer.text))
}

/// A body of an answer with this status.
#[track_caller]
pub(crate) fn ok(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/json");
    parsed(answer)
}

/// An RFC 9457 problem of this kind; returns its detail.
#[track_caller]
pub(crate) fn problem(answer: &Answer, status: u16, kind: &str) -> String {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = parsed(answer);
    assert_eq!(problem["type"], format!("urn:unlockd:problem:{kind}"), "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    for member in ["title", "detail", "credits"] {
        assert!(problem[member].as_str().is_some_and(|text| text.len() > 3), "{member}: {problem}");
    }
    assert!(!answer.text.contains("canary"), "{problem}");
    problem["detail"].as_str().expect("text").to_owned()
}
