//! A town with its page served.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::{Method, RequestBuilder};
use unlockd::config::Config;
use unlockd::http::{self, Site};
use unlockd::worker::driver::Signals;

use crate::support::{Setup, Town};

pub(crate) struct Place {
    pub(crate) town: Town,
    pub(crate) address: SocketAddr,
    pub(crate) signals: Signals,
    pub(crate) server: tokio::task::JoinHandle<()>,
    pub(crate) client: reqwest::Client,
}

/// An answer, read in full.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }
}

impl Place {
    pub(crate) async fn new() -> Place {
        Place::of(Setup::default()).await
    }

    pub(crate) async fn of(setup: Setup) -> Place {
        let town = setup.build().await;
        let config = town.deps().config();
        let site = site(&town, config).await;
        site.set_worker(town.deps().clone());
        Place::serve(town, site, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Serves `site` on `listen`, and returns once it does.
    pub(crate) async fn serve(town: Town, site: Arc<Site>, listen: SocketAddr) -> Place {
        let signals = Signals::default();
        let server = tokio::spawn(http::serve(site.clone(), listen, signals.clone()));
        let address = loop {
            match site.address() {
                Some(address) => break address,
                None => tokio::task::yield_now().await,
            }
        };
        // Redirects are facts to look at, and no proxy is between us.
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Place { town, address, signals, server, client: client.build().expect("a client") }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        read(self.request(Method::GET, path)).await
    }

    /// Stops the server; the invariants hold.
    pub(crate) async fn end(self) {
        self.signals.stop();
        self.server.await.expect("it ends in good order");
        self.town.check().await;
    }
}

pub(crate) async fn site(town: &Town, config: Arc<Config>) -> Arc<Site> {
    Site::open(town.store(), town.clock.clone(), config).await.expect("opens")
}

pub(crate) async fn read(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("text") }
}
