//! A running sandbox: start it, move its clock, inspect it and stop it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::faults::kinds::Fault;
use super::lock::lock;
use super::options::Options;
use super::state::accounting::Accounting;
use super::state::journal::Call;
use super::state::shared::{Shared, State};
use super::state::world::World;
use super::wire::{link, serve};
use super::words::contact::Channel;
use super::words::event::Event;

/// A sandbox that is serving. Dropping it stops it.
pub struct Sandbox {
    pub(in crate::sandbox) address: SocketAddr,
    pub(in crate::sandbox) shared: Arc<Shared>,
    pub(in crate::sandbox) links: link::Links,
    pub(in crate::sandbox) server: Option<JoinHandle<()>>,
}

/// Starts to serve, on a task of the current runtime.
pub async fn start(options: Options) -> io::Result<Sandbox> {
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared::new(options));
    let links = link::Links::default();
    let door = link::Door::new(listener, &links);
    let router = Router::new()
        .fallback(serve::serve)
        .with_state(Arc::clone(&shared))
        .into_make_service_with_connect_info::<link::Cutter>();
    let server = tokio::spawn(async move {
        // axum's server never returns by itself.
        axum::serve(door, router).await.ok();
    });
    Ok(Sandbox { address, shared, links, server: Some(server) })
}

impl Sandbox {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    /// Moves a manual clock; does nothing to the other kind.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
    }

    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// Every request received, oldest first.
    pub fn journal(&self) -> Vec<Call> {
        self.state().journal.calls()
    }

    /// The accounts of all owners together.
    pub fn accounting(&self) -> Accounting {
        let now_ms = self.now_ms();
        self.state().owners.accounting(now_ms)
    }

    /// The accounts of one owner; the owner of ordinary keys has no name.
    pub fn accounting_of(&self, owner: &str) -> Accounting {
        let now_ms = self.now_ms();
        self.state().owners.world(owner, now_ms).accounting()
    }

    /// Adds a fault after those that are already scripted.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Changes something for the owner of ordinary keys.
    fn with_world<T>(&self, change: impl FnOnce(&mut World, i64) -> T) -> T {
        let now_ms = self.now_ms();
        change(self.state().owners.world("", now_ms), now_ms)
    }

    /// Buys credits: they go to the add-on pool.
    pub fn top_up(&self, credits: i64) {
        self.with_world(|world, now_ms| world.credits.buy(credits, now_ms));
    }

    /// Grants credits that do not expire: they go to the gift pool.
    pub fn give(&self, credits: i64) {
        self.with_world(|world, _| world.credits.give(credits));
    }

    /// Ends the subscription's period before its time, and grants the next one.
    pub fn renew(&self) {
        self.with_world(|world, now_ms| world.credits.renew(now_ms));
    }

    /// Another user spends from the shared pool, at most what is left.
    pub fn spend(&self, credits: i64) {
        self.with_world(|world, _| world.credits.spend(credits));
    }

    /// Ends or restarts the subscription.
    pub fn set_subscribed(&self, subscribed: bool) {
        self.with_world(|world, _| world.subscribed = subscribed);
    }

    /// Rotates the key: existing tasks are visible with the new one. `None` accepts any key.
    pub fn set_api_key(&self, key: Option<String>) {
        self.state().api_key = key;
    }

    /// Changes the price of a contact.
    pub fn set_price(&self, channel: Channel, credits: i64) {
        self.state().owners.set_price(channel, credits);
    }

    /// Another user has unlocked the contact.
    pub fn mark_unlocked(&self, personnel_id: &str, channel: Channel) {
        self.with_world(|world, _| world.mark_unlocked(personnel_id, channel));
    }

    /// Another user has unlocked the event.
    pub fn mark_event_unlocked(&self, event_id: &str) {
        self.with_world(|world, now_ms| world.access.base.open(&Event::named(event_id), now_ms));
    }

    /// The visitors of an event become visible at once, as if unlocked by another user.
    pub fn mark_visitors_unlocked(&self, event_id: &str) {
        self.with_world(|world, now_ms| world.access.visitors.open(&Event::named(event_id), now_ms));
    }

    /// Another user makes calls with every key that has an open window; if there is none, in the next one.
    pub fn use_up_calls(&self, calls: u32) {
        let now_ms = self.now_ms();
        self.state().limiter.use_up(calls, now_ms);
    }

    /// Another user makes calls from the same address with other keys.
    pub fn use_up_calls_of_address(&self, calls: u32) {
        let now_ms = self.now_ms();
        self.state().limiter.use_up_address(calls, now_ms);
    }

    /// Serves until this future is dropped.
    pub async fn run_until_stopped(mut self) {
        if let Some(server) = &mut self.server {
            // Only a panic ends the server, and it has already printed its message.
            server.await.ok();
        }
    }

    /// Closes the port and every connection.
    pub async fn stop(mut self) {
        if let Some(server) = &mut self.server {
            server.abort();
            server.await.ok();
        }
        self.links.sever_all();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
        self.links.sever_all();
    }
}
