//! The status page: its content, and who may see which part.
//!
//! The server renders it; the small script only fetches a page again and replaces its main part. Without
//! signing in, counts and credits are visible, but no contact's id or value, and no reference, since
//! references are callers' own texts. All text is escaped, and nothing depends on colour alone.

mod askers;
mod contacts;
mod doubt;
mod drawings;
mod fleet;
mod forms;
pub(super) mod help;
mod job;
mod lists;
mod members;
mod money;
mod needs;
mod overview;
mod request;
mod session;
mod status;
mod words;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;

use super::Site;
use super::session::Visitor;
use crate::domain::{Action, Millis};
use crate::store::StoreError;
use crate::store::report::Time;
use crate::store::report::requests::Request;

pub(super) use session::sign_in as sign_in_page;
pub(super) use words::number;

/// The reader of the page, and the time.
pub(super) struct Look<'a> {
    pub(super) site: &'a Site,
    pub(super) visitor: Visitor,
    pub(super) now: Millis,
}

impl<'a> Look<'a> {
    pub(super) fn new(site: &'a Site, headers: &HeaderMap) -> Look<'a> {
        let now = site.clock.now();
        Look { site, visitor: site.sessions.visitor(headers, site.port(), now), now }
    }

    /// Whether references and contacts may be shown.
    fn is_trusted(&self) -> bool {
        self.visitor.is_signed_in()
    }

    /// An account's name. A name that is not configured may be text that another program wrote into a row.
    fn account(&self, name: &str) -> String {
        let known = self.is_trusted() || self.site.config().accounts.contains_key(name);
        if known { words::visible(name) } else { "another one".to_owned() }
    }

    /// What an action buys. An unknown action may be text that another program wrote into a row.
    fn action(&self, action: &str) -> String {
        match words::action(action) {
            Some(words) => words.to_owned(),
            None if self.is_trusted() => words::visible(action),
            None => "something else".to_owned(),
        }
    }

    /// What a request asks for, and how much. The event is the caller's own text.
    fn wish(&self, request: &Request) -> String {
        let pages = || words::plural(request.max_pages, "page");
        match request.action.as_str() {
            "unlock_contact_emails" => {
                format!("the emails of {}", words::plural(request.contacts, "contact"))
            }
            "unlock_contact_phones" => {
                format!("the phones of {}", words::plural(request.contacts, "contact"))
            }
            other => match (Action::parse(other), &request.event_id, words::action(other)) {
                (Some(action), _, Some(search)) if action.is_search() => {
                    format!("at most {} of {search}", pages())
                }
                (Some(action), Some(event), Some(access))
                    if action.layers().is_some() && self.is_trusted() =>
                {
                    access.replace("an event", &format!("event {}", words::visible(event)))
                }
                _ => self.action(other),
            },
        }
    }
}

/// The parts of a page.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) body: Markup,
    /// Whether the script refreshes it.
    pub(super) is_live: bool,
    pub(super) spot: Spot,
}

/// The place of a page among the links of the header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// The page of a link.
    At(&'static str),
    /// A page below the page of a link.
    Under(&'static str),
    Elsewhere,
}

impl Spot {
    /// The value of `aria-current` for a link, if any.
    fn mark(self, link: &str) -> Option<&'static str> {
        match self {
            Spot::At(here) if here == link => Some("page"),
            Spot::Under(list) if list == link => Some("true"),
            _ => None,
        }
    }
}

/// The parameters that a reader may send.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    pub(super) status: Option<String>,
    pub(super) state: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) span: Option<String>,
    /// Start after this id.
    pub(super) after: Option<i64>,
}

type Asked = Result<Query<Wanted>, axum::extract::rejection::QueryRejection>;

/// The query without its invalid parts: a mistyped link still shows a page.
fn wanted(asked: Asked) -> Wanted {
    asked.map(|Query(wanted)| wanted).unwrap_or_default()
}

pub(super) async fn overview(State(site): State<Arc<Site>>, headers: HeaderMap, asked: Asked) -> Response {
    let look = Look::new(&site, &headers);
    answer(&look, overview::page(&look, &wanted(asked)).await.map(Some))
}

pub(super) async fn requests(State(site): State<Arc<Site>>, headers: HeaderMap, asked: Asked) -> Response {
    let look = Look::new(&site, &headers);
    answer(&look, lists::requests(&look, &wanted(asked)).await.map(Some))
}

pub(super) async fn jobs(State(site): State<Arc<Site>>, headers: HeaderMap, asked: Asked) -> Response {
    let look = Look::new(&site, &headers);
    answer(&look, lists::jobs(&look, &wanted(asked)).await.map(Some))
}

pub(super) async fn request(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: Asked,
) -> Response {
    let look = Look::new(&site, &headers);
    match id.parse() {
        Ok(id) => answer(&look, request::page(&look, id, &wanted(asked), None).await),
        Err(_) => answer(&look, Ok(None)),
    }
}

/// The page of a request with one contact's value unmasked.
pub(super) async fn revealed(look: &Look<'_>, request: i64, item: i64) -> Response {
    let wanted = Wanted { after: Some(item - 1), ..Wanted::default() };
    answer(look, request::page(look, request, &wanted, Some(item)).await)
}

pub(super) async fn job(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let look = Look::new(&site, &headers);
    match id.parse() {
        Ok(id) => answer(&look, job::page(&look, id).await),
        Err(_) => answer(&look, Ok(None)),
    }
}

pub(super) async fn not_found(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    answer(&Look::new(&site, &headers), Ok(None))
}

/// The page, or an error page if it does not exist or cannot be read.
fn answer(look: &Look<'_>, page: Result<Option<Page>, StoreError>) -> Response {
    match page {
        Ok(Some(page)) => whole(look, StatusCode::OK, page),
        Ok(None) => says(
            look,
            StatusCode::NOT_FOUND,
            "This page does not exist",
            "The request, job or page is not in this database.",
        ),
        Err(error) => super::unreadable(&error),
    }
}

/// A page with one message.
pub(super) fn says(look: &Look<'_>, status: StatusCode, title: &str, text: &str) -> Response {
    let body = html! {
        h1 { (title) }
        p { (text) }
        p { a href="/" { "To the overview" } }
    };
    whole(look, status, Page { title: title.to_owned(), body, is_live: false, spot: Spot::Elsewhere })
}

/// The page with everything around its main part.
pub(super) fn whole(look: &Look<'_>, status: StatusCode, page: Page) -> Response {
    let notice = look.visitor.session().and_then(|id| look.site.sessions.told(id));
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · unlockd" }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/page.js" defer {}
            }
            body {
                a .skip href="#main" { "Skip to content" }
                (header(look, &page))
                main #main tabindex="-1" data-live[page.is_live] {
                    p .updated {
                        "As of " (words::moment(Time::from(look.now), look.now)) " UTC"
                    }
                    @if let Some(notice) = notice {
                        p #notice .notice role="status" { (notice) }
                    }
                    (page.body)
                }
                footer {
                    "unlockd " (env!("CARGO_PKG_VERSION")) ". All times are UTC, all amounts credits. "
                    a href="/help" { "Handbook" }
                }
            }
        }
    };
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response()
}

fn header(look: &Look<'_>, page: &Page) -> Markup {
    html! {
        header {
            a .brand href="/" { "unlockd" }
            nav aria-label="Pages" {
                @for (link, name) in [("/", "Overview"), ("/requests", "Requests"), ("/jobs", "Jobs")] {
                    a href=(link) aria-current=[page.spot.mark(link)] { (name) }
                }
            }
            @if page.is_live {
                // Shown by the script: without it there is nothing to pause.
                span #live hidden {
                    span #live-status role="status" {}
                    button #live-toggle type="button" aria-pressed="false" { "Pause refresh" }
                }
            }
            (session::corner(look))
        }
    }
}
