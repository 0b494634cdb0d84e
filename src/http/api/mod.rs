//! The HTTP API, `/api/v1`: for callers on other machines, with the tokens of `http.tokens`.
//!
//! The same rows and the same rules as everywhere: a request is an inbox row, an approval is `unlockd approve`. Each
//! error is a [`Problem`] that says what it means for the credits. The description at `/api/v1/openapi.json` is made
//! from the same handlers that are served.

mod body;
mod caller;
pub(super) mod changes;
mod decide;
mod etag;
pub(super) mod lists;
pub(super) mod money;
pub(super) mod plans;
mod problem;
pub(super) mod submit;
mod token_files;
mod unread;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Site;
pub(super) use body::LARGEST_BODY;
pub(super) use caller::{Caller, Tokens};
pub(super) use problem::Problem;
pub(super) use unread::{Noun, read, whole};
pub(super) use wanted::NewRequest;

/// How long a call waits for a place before it is refused.
const PLACE_WITHIN: Duration = Duration::from_secs(5);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "unlockd",
        description = "Enqueues requests, follows them and decides on them. Every error is a problem (RFC 9457) whose member \
                       `credits` says what it means for the credits."
    ),
    servers((url = "/api/v1")),
    components(schemas(Problem)),
    security(("token" = [])),
    modifiers(&Shared)
)]
struct Description;

/// What all calls share: the token, and problems.
struct Shared;

impl Modify for Shared {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token of http.tokens.NAME"))
            .build();
        api.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// Any answer that an operation does not list is a problem.
fn with_problems(mut api: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let problem = || {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        ResponseBuilder::new()
            .description("What is wrong")
            .content("application/problem+json", content)
            .build()
    };
    for item in api.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem()));
        }
        if let Some(read) = &mut item.get {
            let unchanged =
                ResponseBuilder::new().description("Nothing has changed since the ETag in If-None-Match");
            read.responses.responses.insert("304".to_owned(), RefOr::T(unchanged.build()));
        }
    }
    api
}

pub(super) fn router(site: &Arc<Site>) -> axum::Router<Arc<Site>> {
    let (calls, api) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(plans::plan))
        .routes(routes!(lists::requests, submit::request))
        .routes(routes!(lists::request))
        .routes(routes!(lists::contacts))
        .routes(routes!(lists::events))
        .routes(routes!(lists::result))
        .routes(routes!(decide::approve))
        .routes(routes!(decide::cancel))
        .routes(routes!(money::balance))
        .routes(routes!(money::spend))
        .routes(routes!(money::claims))
        .split_for_parts();
    let (waiting, with_changes) =
        OpenApiRouter::with_openapi(api).routes(routes!(changes::changes)).split_for_parts();
    let api = Arc::new(with_problems(with_changes));
    calls
        .layer(axum::middleware::from_fn(etag::etag))
        .layer(axum::middleware::from_fn_with_state(site.clone(), place))
        .merge(waiting)
        .route("/openapi.json", get(async move || Json(api)))
        .fallback(nowhere)
        .method_not_allowed_fallback(async || Problem::method())
}

/// There is nothing at the address.
pub(super) async fn nowhere() -> Problem {
    Problem::not_found("there is nothing at this address; see /api/v1/openapi.json")
}

/// Answers a call when there is a place for it, which takes a moment at most: callers queue.
pub(super) async fn place(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(PLACE_WITHIN, site.calls.acquire()).await {
        Ok(Ok(_place)) => next.run(request).await,
        _ => Problem::busy().into_response(),
    }
}
