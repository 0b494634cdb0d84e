//! Who calls: the tokens of `http.tokens`, and what the holder of each may do.
//!
//! A token can be changed while the program runs: its file is looked at with each call, and the configuration too.
//! Wrong tokens are counted for each address: after too many of them no token from there is accepted for a while, the right one neither.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::extract::connect_info::ConnectInfo;
use axum::http::header::{self, HeaderMap};
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use super::token_files::TokenFiles;
use crate::config::{Scope, Token};
use crate::domain::{Credits, Millis};
use crate::http::Site;
use crate::http::connections::Peer;

/// Wrong tokens of one address within [`MISSES_COUNT_FOR_MS`] after which none of its tokens is accepted.
const MOST_MISSES: usize = 20;
const MISSES_COUNT_FOR_MS: i64 = 60_000;
/// Addresses whose wrong tokens are counted; a new one replaces the one that was wrong longest ago.
const MOST_ADDRESSES: usize = 1_000;

/// The token files, and the limit on wrong tokens.
#[derive(Default)]
pub(in crate::http) struct Tokens {
    files: TokenFiles,
    misses: Mutex<HashMap<IpAddr, VecDeque<Millis>>>,
}

/// The sender of a call.
#[derive(Clone)]
pub(in crate::http) struct Caller {
    pub(super) name: String,
    scopes: Vec<Scope>,
    accounts: Option<Vec<String>>,
    pub(super) daily_credits: Option<Credits>,
    /// The name of the agent that calls, if it is one.
    pub(super) agent: Option<String>,
}

impl Tokens {
    fn caller(
        &self,
        tokens: &BTreeMap<String, Token>,
        headers: &HeaderMap,
        (peer, now): (IpAddr, Millis),
    ) -> Result<Caller, Problem> {
        let given = bearer(headers).ok_or_else(Problem::no_token)?;
        let peer = network(peer);
        if let Some(seconds) = self.locked_out_for(peer, now) {
            return Err(Problem::locked_out(seconds));
        }
        match self.holder(tokens, given, now) {
            Some((name, token)) => Ok(Caller {
                name: name.clone(),
                scopes: token.scopes.clone(),
                accounts: token.accounts.clone(),
                daily_credits: token.daily_credits.map(Credits),
                agent: None,
            }),
            None => {
                self.miss(peer, now);
                tracing::warn!(%peer, "a wrong token for the HTTP API");
                Err(Problem::wrong_token())
            }
        }
    }

    /// All tokens are compared, as digests, so the time it takes says nothing about any of them.
    fn holder<'a>(
        &self,
        tokens: &'a BTreeMap<String, Token>,
        given: &str,
        now: Millis,
    ) -> Option<(&'a String, &'a Token)> {
        let given: [u8; 32] = Sha256::digest(given.as_bytes()).into();
        let mut found = None;
        for (name, token) in tokens {
            let expected = match self.files.digest(&token.token_file, now) {
                Ok(expected) => expected,
                Err(error) => {
                    tracing::error!(token = name, %error, "a token of the HTTP API cannot be used");
                    continue;
                }
            };
            if bool::from(given.ct_eq(&expected)) {
                found = Some((name, token));
            }
        }
        found
    }

    fn locked_out_for(&self, peer: IpAddr, now: Millis) -> Option<i64> {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = misses.get_mut(&peer)?;
        of_peer.retain(|at| now.since(*at) < MISSES_COUNT_FOR_MS);
        let first = of_peer.front().filter(|_| of_peer.len() >= MOST_MISSES)?;
        Some((MISSES_COUNT_FOR_MS - now.since(*first)).div_euclid(1_000) + 1)
    }

    fn miss(&self, peer: IpAddr, now: Millis) {
        let mut misses = self.misses.lock().unwrap_or_else(PoisonError::into_inner);
        if misses.len() >= MOST_ADDRESSES && !misses.contains_key(&peer) {
            let longest_ago = misses.iter().min_by_key(|(_, at)| at.back().copied()).map(|(peer, _)| *peer);
            longest_ago.map(|peer| misses.remove(&peer));
        }
        misses.entry(peer).or_default().push_back(now);
    }
}

/// Of an IPv6 address its network: a host has all of a /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_none() => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64))
        }
        peer => peer,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

impl Caller {
    /// An agent on this machine, which may read the database: `unlockd mcp`.
    pub(in crate::http) fn on_this_machine(shows_values: bool) -> Caller {
        let values = shows_values.then_some(Scope::Values);
        Caller {
            name: "mcp".to_owned(),
            scopes: [Scope::Read, Scope::Propose].into_iter().chain(values).collect(),
            accounts: None,
            daily_credits: None,
            agent: None,
        }
    }

    /// The same holder as an agent: whatever its token allows, it only reads and proposes.
    pub(in crate::http) fn as_agent(&self, agent: String) -> Caller {
        let may_ask = self.has(Scope::Enqueue) || self.has(Scope::Propose);
        let mut scopes = self.scopes.clone();
        scopes.retain(|scope| matches!(scope, Scope::Read | Scope::Values));
        scopes.extend(may_ask.then_some(Scope::Propose));
        Caller { scopes, agent: Some(agent), ..self.clone() }
    }

    pub(in crate::http) fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// An error unless it has one of these scopes.
    pub(in crate::http) fn needs(&self, any_of: &[Scope]) -> Result<(), Problem> {
        if any_of.iter().any(|scope| self.has(*scope)) {
            return Ok(());
        }
        let words: Vec<&str> = any_of.iter().map(|scope| scope.as_str()).collect();
        let detail = format!("the token {} does not have the scope {}", self.name, words.join(" or "));
        Err(Problem::missing_scope(detail))
    }

    pub(super) fn may_use(&self, account: &str) -> bool {
        self.accounts.as_ref().is_none_or(|accounts| accounts.iter().any(|own| own == account))
    }

    /// The accounts that it is held to, as a JSON array for a statement.
    pub(super) fn accounts_json(&self) -> Option<String> {
        self.accounts.as_ref().map(|accounts| serde_json::json!(accounts).to_string())
    }
}

impl FromRequestParts<Arc<Site>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Caller, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(Peer(address))| address.ip());
        site.tokens.caller(&site.config().http.tokens, &parts.headers, (peer, site.clock.now()))
    }
}
