//! A town (see `tests/it/support`) with its page served, and a person with a browser.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Method, RequestBuilder};
use unlockd::config::Config;
use unlockd::http::{self, Site};
use unlockd::worker::run::signals::Signals;

use crate::support::{Setup, Town};

pub(crate) const TOKEN: &str = "canary-token-0815-4711";

pub(crate) struct Place {
    pub(crate) town: Town,
    /// The cookie of the person who is signed in.
    pub(crate) cookie: Option<String>,
    /// What that person's browser keeps beside the cookie.
    pub(crate) proof: Option<String>,
    token: Option<tempfile::TempDir>,
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

impl Answer {
    /// The ticket of the button with this id: it is before the button in its form.
    pub(crate) fn ticket(&self, button: &str) -> String {
        let at = self.text.find(&format!("id=\"{button}\""));
        let at = at.unwrap_or_else(|| panic!("no button {button} in\n{}", self.text));
        let before = "name=\"ticket\" value=\"";
        let start = self.text[..at].rfind(before).expect("a ticket") + before.len();
        self.text[start..].split('"').next().expect("an end").to_owned()
    }

    pub(crate) fn has_button(&self, button: &str) -> bool {
        self.text.contains(&format!("id=\"{button}\""))
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        self.words().contains(text)
    }

    /// The visible text: without tags, and with single blanks.
    pub(crate) fn words(&self) -> String {
        let (mut words, mut inside) = (String::new(), false);
        for char in self.text.chars() {
            match char {
                '<' => inside = true,
                '>' if inside => inside = false,
                _ if inside => {}
                char => words.push(char),
            }
        }
        words
    }
}

impl Place {
    pub(crate) async fn new() -> Place {
        Place::of(Setup::default()).await
    }

    /// With a token file, and a person who has signed in.
    pub(crate) async fn signed_in(setup: Setup) -> Place {
        let mut place = Place::with_token(setup).await;
        place.sign_in().await;
        place
    }

    /// With a token file, and without a signed-in person.
    pub(crate) async fn with_token(setup: Setup) -> Place {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("token");
        write_token(&file, TOKEN);
        let mut place = Place::of(setup.config("HTTP__TOKEN_FILE", &file.display().to_string())).await;
        place.token = Some(folder);
        place
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.token.as_ref().expect("there is a token file").path().join("token")
    }

    pub(crate) async fn sign_in(&mut self) {
        let answer = self.post("/session", &[("token", TOKEN)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        self.cookie = answer.header("set-cookie").split(';').next().map(str::to_owned);
        self.proof = answer.header("location").strip_prefix("/#proof=").map(str::to_owned);
    }

    pub(crate) async fn of(setup: Setup) -> Place {
        let town = setup.build().await;
        let config = town.deps().config();
        let (site, signals) = site(&town, config).await;
        site.set_worker(town.deps().clone());
        Place::serve(town, (site, signals), SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Serves `site` on `listen`, and returns once it does.
    pub(crate) async fn serve(
        town: Town,
        (site, signals): (Arc<Site>, Signals),
        listen: SocketAddr,
    ) -> Place {
        let server = tokio::spawn(http::serve(site.clone(), listen));
        let address = loop {
            match site.address() {
                Some(address) => break address,
                None => tokio::task::yield_now().await,
            }
        };
        // Redirects are checked by the tests, so they are not followed; no proxy is used.
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.build().expect("a client");
        Place { town, cookie: None, proof: None, token: None, address, signals, server, client }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.url(path));
        match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    /// As a browser posts a form of the page.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        read(self.form(path, form).header("sec-fetch-site", "same-origin")).await
    }

    /// A form as it is posted, without headers that say where it comes from.
    pub(crate) fn form(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let mut url = reqwest::Url::parse("http://localhost/").expect("a URL");
        url.query_pairs_mut().extend_pairs(form);
        // As the script of the page puts it in.
        let proof = self.proof.iter().filter(|_| ["/decisions", "/reveal"].contains(&path));
        url.query_pairs_mut().extend_pairs(proof.map(|proof| ("proof", proof)));
        let body = url.query().unwrap_or_default().to_owned();
        self.request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// Presses a button of a page that was loaded before; `typed` is the amount next to it.
    pub(crate) async fn press(&self, seen: &Answer, button: &str, typed: Option<&str>) -> Answer {
        let ticket = seen.ticket(button);
        let mut form = vec![("ticket", ticket.as_str())];
        form.extend(typed.map(|typed| ("credits", typed)));
        let path = if button.starts_with("reveal-") { "/reveal" } else { "/decisions" };
        self.post(path, &form).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        read(self.request(Method::GET, path)).await
    }

    /// Stops the server and checks the invariants.
    pub(crate) async fn end(self) {
        self.signals.stop();
        self.server.await.expect("it ends in good order");
        self.town.check().await;
    }
}

pub(crate) async fn site(town: &Town, config: Arc<Config>) -> (Arc<Site>, Signals) {
    let signals = Signals::default();
    let site = Site::open(town.store(), town.clock.clone(), config, signals.clone()).await.expect("opens");
    (site, signals)
}

pub(crate) fn write_token(file: &Path, token: &str) {
    std::fs::write(file, token).expect("written");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("set");
}

pub(crate) async fn read(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("text") }
}
