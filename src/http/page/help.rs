//! The handbook, as pages.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{PreEscaped, html};

use super::{Look, Page, Spot, answer, whole};
use crate::handbook::{self, TOPICS};
use crate::http::Site;

/// The list of topics.
pub(in crate::http) async fn contents(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let body = html! {
        h1 { "Handbook" }
        dl .facts {
            @for topic in TOPICS {
                dt { a href={ "/help/" (topic.name) } { (topic.title()) } }
                dd { (topic.about) }
            }
        }
        p .hint { "The same in a terminal: " code { "unlockd help TOPIC" } }
    };
    whole(&Look::new(&site, &headers), StatusCode::OK, still("Handbook", body))
}

/// One topic.
pub(in crate::http) async fn topic(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let look = Look::new(&site, &headers);
    let page = handbook::topic(&name).map(|topic| {
        let body = html! {
            p .hint { a href="/help" { "Handbook" } }
            // Compiled in, so no text of others is in it.
            article .handbook { (PreEscaped(topic.html())) }
        };
        still(topic.title(), body)
    });
    answer(&look, Ok(page))
}

fn still(title: &str, body: maud::Markup) -> Page {
    Page { title: title.to_owned(), body, is_live: false, spot: Spot::Elsewhere }
}
