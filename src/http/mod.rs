//! The HTTP server at `http.listen`: health, metrics, the status page, and the HTTP API (`api`).
//!
//! It reads through its own connections, and showing a page never calls the API, so visitors never delay paid
//! work. Only "Read now" calls it, for a signed-in person and through the gate. Every request passes one
//! guard, which refuses a foreign `Host` and sets the security headers, even on errors. A port that is taken
//! does not stop the worker: it is logged once and tried again, so a standby worker on the same host gets the
//! port when it takes over.

mod api;
mod assets;
mod budget;
mod connections;
mod decide;
mod guard;
mod health;
pub mod mcp;
pub mod metrics;
mod page;
mod refused;
mod seal;
mod session;
mod sign_in;
mod ticket;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Millis;
use crate::store::postgres::members;
use crate::store::{Store, StoreError, inbox};
use crate::worker::Deps;
use crate::worker::run::signals::Signals;
use connections::BoundedListener;
use session::Sessions;
use ticket::Tickets;

/// How long to wait before a taken port is tried again.
const BIND_AGAIN_AFTER: Duration = Duration::from_secs(3);

/// How long answers in flight may take once the worker stops; well within the 10 s it has.
const STOP_WAITS_FOR: Duration = Duration::from_secs(2);

/// Larger than any form of ours.
const LARGEST_BODY: usize = 16 * 1024;

/// Everything that the handlers need.
pub struct Site {
    /// With its own connections.
    store: Store,
    clock: Clock,
    /// The configuration of the start; the worker has the present one.
    config: Arc<Config>,
    /// The address of the listener; it differs from the configured one if that has port 0.
    address: OnceLock<SocketAddr>,
    /// Not set until this process has the database.
    worker: RwLock<Option<Arc<Deps>>>,
    /// Wakes the worker after a decision, and says when to stop.
    signals: Signals,
    sessions: Sessions,
    tickets: Tickets,
    tokens: api::Tokens,
    quotes: seal::Seal,
    /// The rows of callers, which are written together.
    inserts: inbox::Together,
    /// Places for requests other than those for health and metrics.
    pages: Semaphore,
    /// Places for calls of the HTTP API, and for those that wait for a change.
    calls: Semaphore,
    waiting: Semaphore,
    started_at: Millis,
}

impl Site {
    /// Opens the connections of the handlers.
    pub async fn open(
        store: &Store,
        clock: Clock,
        config: Arc<Config>,
        signals: Signals,
    ) -> Result<Arc<Site>, StoreError> {
        Ok(Arc::new(Site {
            store: store.with_own_readers().await?,
            started_at: clock.now(),
            clock,
            sessions: Sessions::new(config.http.token_file.clone()),
            tickets: Tickets::new(),
            tokens: api::Tokens::default(),
            quotes: seal::Seal::new(),
            inserts: inbox::Together::default(),
            calls: Semaphore::new(connections::MOST_CALLS),
            waiting: Semaphore::new(connections::MOST_WAITING),
            pages: Semaphore::new(connections::MOST_PAGES),
            config,
            address: OnceLock::new(),
            worker: RwLock::default(),
            signals,
        }))
    }

    /// From now on this process has the database.
    pub fn set_worker(&self, deps: Arc<Deps>) {
        *self.worker.write().unwrap_or_else(PoisonError::into_inner) = Some(deps);
    }

    /// The address where it listens, once it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
    }

    fn worker(&self) -> Option<Arc<Deps>> {
        self.worker.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets every pass look at what was written here: those of this process, which do not notice its own writes, and those
    /// of other workers.
    async fn wake(&self) {
        self.signals.wake();
        if self.worker().is_some_and(|deps| deps.shares.has_others())
            && let Err(problem) = members::announce(&self.store).await
        {
            tracing::debug!(%problem, "other workers see this at their next look");
        }
    }

    /// The present configuration.
    fn config(&self) -> Arc<Config> {
        self.worker().map_or_else(|| self.config.clone(), |deps| deps.config())
    }

    /// The page of a request, for a person on this machine; `None`: no page is served.
    fn page_of(&self, request: i64) -> Option<String> {
        let mut address = self.address().or_else(|| self.config.http.address())?;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        Some(format!("http://{address}/requests/{request}"))
    }

    fn port(&self) -> u16 {
        self.address().map_or(0, |address| address.port())
    }
}

/// Serves until the signal to stop, and then until the answers in flight are sent, at most two seconds.
pub async fn serve(site: Arc<Site>, listen: SocketAddr) {
    let signals = site.signals.clone();
    let bound = tokio::select! {
        bound = bind(listen) => bound,
        () = signals.stopping() => return,
    };
    let address = bound.local_addr().unwrap_or(listen);
    let _ = site.address.set(address);
    tracing::info!(url = format!("http://{address}/"), "the status page is served");
    let stop = {
        let signals = signals.clone();
        async move { signals.stopping().await }
    };
    let service = router(site).into_make_service_with_connect_info::<connections::Peer>();
    let server = axum::serve(BoundedListener::new(bound), service).with_graceful_shutdown(stop);
    let too_long = async {
        signals.stopping().await;
        tokio::time::sleep(STOP_WAITS_FOR).await;
    };
    tokio::select! {
        // Never an error: the listener tries again by itself.
        _ = server => {}
        () = too_long => tracing::debug!("connections to the status page were cut off at the stop"),
    }
}

async fn bind(listen: SocketAddr) -> TcpListener {
    let mut told = false;
    loop {
        match connections::listen(listen) {
            Ok(listener) => return listener,
            Err(error) if !told => {
                tracing::warn!(%listen, %error, "no status page, health or metrics for now: cannot listen on this address; \
                    purchases continue, and the address is tried again. Stop the program that uses it, or set \
                    http.listen to another address, or to \"\" to turn the server off");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(BIND_AGAIN_AFTER).await;
    }
}

/// All routes, guarded.
pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(page::overview))
        .route("/requests", get(page::requests))
        .route("/requests/{id}", get(page::request))
        .route("/jobs", get(page::jobs))
        .route("/jobs/{id}", get(page::job))
        .route("/help", get(page::help::contents))
        .route("/help/{topic}", get(page::help::topic))
        .route("/session", get(sign_in::form).post(sign_in::sign_in))
        .route("/session/end", post(sign_in::sign_out))
        .route("/decisions", post(decide::decisions))
        .route("/reveal", post(decide::reveal))
        .route("/assets/page.css", get(assets::styles))
        .route("/assets/page.js", get(assets::script))
        .route("/assets/icon.svg", get(assets::icon))
        .fallback(nowhere)
        .layer(axum::middleware::from_fn_with_state(site.clone(), guard::page_place))
        .nest("/api/v1", api::router(&site))
        .merge(
            Router::new()
                .route("/mcp", any(mcp::over_http))
                .layer(axum::middleware::from_fn_with_state(site.clone(), api::place))
                .layer(axum::middleware::from_fn_with_state(site.clone(), mcp::only_own_origin)),
        )
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::answer))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(axum::middleware::from_fn_with_state(site.clone(), guard::guard))
        .with_state(site)
}

/// There is nothing at the address: a page for people, a problem for programs.
async fn nowhere(site: State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    match uri.path().starts_with("/api/") {
        true => api::nowhere().await.into_response(),
        false => page::not_found(site, headers).await.into_response(),
    }
}

/// The answer when the database cannot be read.
fn unreadable(error: &StoreError) -> Response {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "an answer could not be given: the database was not readable"
    );
    (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be read at this moment; try again\n")
        .into_response()
}
