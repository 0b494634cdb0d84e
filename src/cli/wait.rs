//! `enqueue --wait`: the progress of one request until it is finished.
//!
//! It only watches; the worker goes on whether or not somebody does.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, Outcome, explain, show};
use crate::clock::Clock;
use crate::store::Store;
use crate::store::report::requests::{self, Request};
use crate::worker;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A person is called for only after this many looks in a row said so: a job may be held for the
/// moment that it takes to read a balance.
const LOOKS_TO_CALL: u32 = 8;

pub(super) async fn until_finished(store: &Store, id: i64, json: bool) -> Outcome {
    let bar = Bar::new();
    let mut calls = 0;
    let ended = loop {
        let request = requests::read(store, id)
            .await?
            .ok_or_else(|| anyhow::anyhow!("request {id} is not in the inbox any more"))?;
        if request.is_finished() {
            break Ok(request);
        }
        let explained = worker::explain::of(store, &request, Clock::real().now()).await?;
        bar.show(&request, &explain::line(&explained));
        calls = if explained.needs_person() { calls + 1 } else { 0 };
        if calls >= LOOKS_TO_CALL || request.status == "awaiting_approval" {
            break Err(explained);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            stopped = super::run::stop_requested() => {
                stopped?;
                bar.clear();
                return Err(anyhow::anyhow!("stopped watching; request {id} goes on: unlockd request {id}").into());
            }
        }
    };
    bar.clear();
    match ended {
        Ok(request) => finished(store, &request, json).await,
        Err(explained) => {
            if json {
                show::json(&explained)?;
            }
            Err(Failure::refused(format!("request {id} waits for a person:\n{}", explain::lines(&explained))))
        }
    }
}

async fn finished(store: &Store, request: &Request, json: bool) -> Outcome {
    let outcomes = requests::outcomes(store, request.id).await?;
    if json {
        show::json(request)?;
    } else {
        let counts = show::counts(&outcomes);
        writeln!(std::io::stdout(), "request {}: {}: {counts}", request.id, request.status)?;
    }
    match (request.status.as_str(), &request.reason) {
        ("done", _) => Ok(()),
        (status, None) => Err(anyhow::anyhow!("request {} is {status}", request.id).into()),
        (status, Some(reason)) => {
            Err(anyhow::anyhow!("request {} is {status}: {}", request.id, show::plain(reason)).into())
        }
    }
}

/// A bar on a terminal; elsewhere a line whenever something changes.
struct Bar {
    bar: ProgressBar,
    told: std::cell::RefCell<String>,
}

impl Bar {
    fn new() -> Bar {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} contacts  {elapsed}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Bar { bar, told: std::cell::RefCell::default() }
    }

    fn show(&self, request: &Request, waits: &str) {
        let settled = request.contacts - request.pending;
        self.bar.set_length(request.contacts.max(0) as u64);
        self.bar.set_position(settled.max(0) as u64);
        let line = match waits {
            "" => format!("{} delivered", request.delivered),
            waits => format!("{} delivered; {waits}", request.delivered),
        };
        self.bar.set_message(line.clone());
        let line =
            format!("request {}: {settled} of {} contacts settled, {line}", request.id, request.contacts);
        if self.bar.is_hidden() && *self.told.borrow() != line {
            eprintln!("{line}");
            *self.told.borrow_mut() = line;
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
