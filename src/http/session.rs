//! Sessions: who may see personal data and decide.
//!
//! A session is 256 random bits in a cookie that no script can read and no other site makes a
//! browser send. It lives in memory, ends after twelve hours, with the process, or when the token
//! file holds another token. The file is read at each use, so a change takes effect at once.
//!
//! A browser sends a cookie to every port of a host, so a server of another user on another port of 127.0.0.1 may get
//! this one's. So a decision needs a second secret, the session's proof, which is in no cookie. The browser gets it once,
//! behind the `#` of the address after the sign-in, and the page's script keeps it where only pages of this port can
//! read it. Without the script, the person types the token.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header;
use cookie::{Cookie, SameSite};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config;
use crate::domain::Millis;

/// How long a session lives, in milliseconds.
const SESSION_MS: i64 = 12 * 3_600_000;

/// Far more people than ever use one worker; a new session replaces the oldest.
const MOST_SESSIONS: usize = 64;

/// Wrong tokens within [`MISSES_COUNT_FOR_MS`] after which nobody may sign in for a while.
const MOST_MISSES: usize = 10;

/// How long a wrong token counts towards that limit, in milliseconds.
const MISSES_COUNT_FOR_MS: i64 = 10 * 60_000;

/// Identifies a session: the digest of the cookie's value, so that a comparison reveals nothing about the
/// value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId([u8; 32]);

impl SessionId {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The sender of a request.
#[derive(Clone)]
pub(super) enum Visitor {
    /// `http.token_file` is not set: nobody can sign in.
    NoToken,
    /// The token file cannot be used, for this reason: nobody can sign in.
    BadToken(String),
    Stranger,
    SignedIn(SessionId),
}

impl Visitor {
    pub(super) fn session(&self) -> Option<SessionId> {
        match self {
            Visitor::SignedIn(id) => Some(*id),
            _ => None,
        }
    }

    pub(super) fn is_signed_in(&self) -> bool {
        self.session().is_some()
    }
}

/// Why a sign-in was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignInError {
    #[error("no token is configured: set http.token_file and restart unlockd")]
    NoToken,
    #[error("the token cannot be checked: {0}")]
    BadToken(String),
    #[error("wrong token")]
    Wrong,
    #[error("type the token to confirm, or sign in again")]
    Unproven,
    #[error("too many wrong tokens: nobody can sign in for {minutes} min; the command line works")]
    LockedOut { minutes: i64 },
}

/// A session that was opened.
pub(super) struct Opened {
    pub(super) cookie: String,
    pub(super) proof: String,
}

struct Session {
    began_at: Millis,
    /// The digest of the token it was opened with.
    token: [u8; 32],
    /// The digest of its proof.
    proof: [u8; 32],
    /// What to say on the next page.
    notice: Option<String>,
}

#[derive(Default)]
struct Known {
    sessions: HashMap<SessionId, Session>,
    misses: VecDeque<Millis>,
}

/// All sessions, and the limit on wrong tokens.
pub(super) struct Sessions {
    token_file: Option<PathBuf>,
    known: Mutex<Known>,
}

impl Sessions {
    pub(super) fn new(token_file: Option<PathBuf>) -> Sessions {
        Sessions { token_file, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self) -> Result<SecretString, SignInError> {
        let path = self.token_file.as_ref().ok_or(SignInError::NoToken)?;
        config::read_token(path).map_err(|error| SignInError::BadToken(error.to_string()))
    }

    /// The sender of these headers. `port` distinguishes this server's cookie from those of other servers on
    /// the machine.
    pub(super) fn visitor(&self, headers: &HeaderMap, port: u16, now: Millis) -> Visitor {
        let token = match self.token() {
            Ok(token) => token,
            Err(SignInError::BadToken(reason)) => return Visitor::BadToken(reason),
            Err(_) => return Visitor::NoToken,
        };
        let Some(id) = cookie(headers, port).map(|cookie| SessionId(digest(cookie.value()))) else {
            return Visitor::Stranger;
        };
        let known = self.known();
        let valid = known.sessions.get(&id).is_some_and(|session| {
            let same_token: bool = session.token.ct_eq(&digest(token.expose_secret())).into();
            same_token && now.since(session.began_at) < SESSION_MS
        });
        if valid { Visitor::SignedIn(id) } else { Visitor::Stranger }
    }

    /// Opens a session if the token is right; returns the value for the cookie, and the proof.
    pub(super) fn sign_in(&self, given: &str, now: Millis) -> Result<Opened, SignInError> {
        let token = self.token()?;
        let mut known = self.known();
        let expected = known.compare(given, &token, now)?;
        let (cookie, proof) = (random_text(), random_text());
        let session = Session { began_at: now, token: expected, proof: digest(&proof), notice: None };
        known.make_room(now);
        known.sessions.insert(SessionId(digest(&cookie)), session);
        Ok(Opened { cookie, proof })
    }

    /// Whether a form comes from the person who signed in, and not only with the cookie: it holds the session's proof, or
    /// the token.
    pub(super) fn confirms(
        &self,
        id: SessionId,
        (proof, token): (Option<&str>, Option<&str>),
        now: Millis,
    ) -> Result<(), SignInError> {
        let expected = self.token()?;
        let mut known = self.known();
        let proven = known
            .sessions
            .get(&id)
            .zip(proof)
            .is_some_and(|(session, proof)| bool::from(session.proof.ct_eq(&digest(proof))));
        match token {
            _ if proven => Ok(()),
            Some(token) if !token.is_empty() => known.compare(token, &expected, now).map(drop),
            _ => Err(SignInError::Unproven),
        }
    }

    pub(super) fn sign_out(&self, id: SessionId) {
        self.known().sessions.remove(&id);
    }

    /// Stores a message for the next page of this session.
    pub(super) fn tell(&self, id: SessionId, notice: String) {
        if let Some(session) = self.known().sessions.get_mut(&id) {
            session.notice = Some(notice);
        }
    }

    /// Takes the message, so that it is shown once.
    pub(super) fn told(&self, id: SessionId) -> Option<String> {
        self.known().sessions.get_mut(&id).and_then(|session| session.notice.take())
    }
}

impl Known {
    /// The digest of the token, if `given` is the token. Wrong ones are counted.
    fn compare(&mut self, given: &str, token: &SecretString, now: Millis) -> Result<[u8; 32], SignInError> {
        while self.misses.front().is_some_and(|at| now.since(*at) >= MISSES_COUNT_FOR_MS) {
            self.misses.pop_front();
        }
        // Before the comparison, so that the answer to a right token is the same as to a wrong one.
        if let (true, Some(first)) = (self.misses.len() >= MOST_MISSES, self.misses.front()) {
            let left_ms = MISSES_COUNT_FOR_MS - now.since(*first);
            return Err(SignInError::LockedOut { minutes: left_ms.div_euclid(60_000) + 1 });
        }
        let expected = digest(token.expose_secret());
        // Of digests, so that not even the length shows in the time it takes.
        if !bool::from(digest(given.trim()).ct_eq(&expected)) {
            self.misses.push_back(now);
            return Err(SignInError::Wrong);
        }
        self.misses.clear();
        Ok(expected)
    }

    fn make_room(&mut self, now: Millis) {
        self.sessions.retain(|_, session| now.since(session.began_at) < SESSION_MS);
        if self.sessions.len() >= MOST_SESSIONS {
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.began_at).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.sessions.remove(&oldest);
            }
        }
    }
}

/// 256 bits of the system's generator, as text.
///
/// # Panics
/// If the system has no random bytes: then nobody may sign in.
pub(super) fn random_text() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex::encode(bytes)
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Browsers send cookies to all ports of a machine, so the name contains the port.
fn cookie_name(port: u16) -> String {
    format!("unlockd_{port}")
}

fn cookie(headers: &HeaderMap, port: u16) -> Option<Cookie<'_>> {
    let name = cookie_name(port);
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(Cookie::split_parse).flatten().find(|cookie| cookie.name() == name)
}

/// The header that opens a session, or ends it (`None`). Without `secure` only if the connection does not
/// leave the machine.
pub(super) fn set_cookie(value: Option<&str>, port: u16, secure: bool) -> String {
    let cookie = Cookie::build((cookie_name(port), value.unwrap_or_default()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(secure);
    let cookie = match value {
        Some(_) => cookie.max_age(cookie::time::Duration::milliseconds(SESSION_MS)),
        None => cookie.removal(),
    };
    cookie.to_string()
}
