//! The terminal: raw mode on and off, keys from a thread, one loop.
//!
//! The terminal is always restored: after a panic by ratatui's panic hook, in all other cases (signals
//! included) by the guard here.

use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::sync::mpsc;

use super::draw;
use super::model;
use super::rows::Palette;
use super::view::{Act, Mode, Target, View};
use crate::cli::{Failure, Outcome, explain, jobs, requests, show};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{AccountId, RequestId};
use crate::store::Store;
use crate::worker::people::decide::{self, Refusal};
use crate::worker::people::pause;
use crate::worker::{self, ladder};

/// Restores the terminal.
struct Given;

impl Drop for Given {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

pub(super) async fn run(store: &Store, config: &Config) -> Outcome {
    let clock = Clock::real();
    // Read before the terminal is taken, so that an error is printed normally.
    let mut view = View::new(model::read(store, config, clock.now()).await?);
    // Before the terminal is taken: a signal in between must not leave raw mode on.
    let stop = crate::cli::stop::stop_signals()?;
    let mut terminal = ratatui::try_init()?;
    let _given = Given;
    let palette = Palette { colour: show::colour() };
    let mut keys = keys();
    let mut ticks = tokio::time::interval(super::TICK);
    tokio::pin!(stop);
    loop {
        view.page = draw::page(terminal.size()?);
        terminal.draw(|frame| draw::draw(frame, &view, palette))?;
        tokio::select! {
            _ = ticks.tick() => refresh(store, config, &clock, &mut view).await?,
            () = &mut stop => return Ok(()),
            said = keys.recv() => match said {
                Some(Said::Key(key)) => match view.key(key) {
                    Some(Act::Quit) => return Ok(()),
                    Some(act) => {
                        carry_out(store, config, &clock, &mut view, act).await?;
                        refresh(store, config, &clock, &mut view).await?;
                    }
                    None => {}
                },
                Some(Said::Resized) => {}
                // The terminal is gone.
                None => return Ok(()),
            },
        }
    }
}

enum Said {
    Key(KeyEvent),
    Resized,
}

/// Keys as they are pressed, read on a thread since reading blocks. The channel closes when the terminal is
/// gone; the thread ends when the receiver is dropped.
fn keys() -> mpsc::Receiver<Said> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            let said = match event::poll(Duration::from_millis(100))
                .and_then(|is_there| is_there.then(event::read).transpose())
            {
                Ok(Some(Event::Key(key))) if key.kind != KeyEventKind::Release => Said::Key(key),
                Ok(Some(Event::Resize(..))) => Said::Resized,
                Ok(_) => continue,
                Err(_) => return,
            };
            if sender.blocking_send(said).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Reads everything again, the open detail included.
async fn refresh(store: &Store, config: &Config, clock: &Clock, view: &mut View) -> Result<(), Failure> {
    view.refresh(model::read(store, config, clock.now()).await?);
    if let Mode::Reading { target, lines, .. } = &mut view.mode
        && let Some((_, fresh)) = detail(store, config, target, clock).await?
    {
        *lines = wrapped(&fresh, view.page.0);
    }
    Ok(())
}

/// Carries out the person's decision, with the same code as the command of that name.
async fn carry_out(
    store: &Store,
    config: &Config,
    clock: &Clock,
    view: &mut View,
    act: Act,
) -> Result<(), Failure> {
    let now = clock.now();
    let done = match act {
        Act::Quit => return Ok(()),
        Act::Open(target) => return open(store, config, view, target, clock).await,
        Act::Approve { id, quote } => decide::approve(store, RequestId(id), quote, now)
            .await
            .map(|()| format!("request {id}: approved up to {quote} credits")),
        Act::Cancel { id } => {
            let accounts: Vec<AccountId> = config.accounts.keys().map(AccountId::trusted).collect();
            let cancelled = decide::cancel(store, &accounts, RequestId(id), now).await;
            cancelled.map(|cancelled| {
                let contacts = show::plural(cancelled.contacts as i64, "contact");
                format!("request {id} is {}: {contacts} not sent", cancelled.status)
            })
        }
        Act::Pause { account } => pause::pause(store, &AccountId::trusted(&account), now)
            .await
            .map(|_| format!("{account} is paused: nothing new is sent"))
            .map_err(Refusal::from),
        Act::Resume { account } => {
            let ladder = ladder(config);
            let resumed = pause::resume(store, &AccountId::trusted(&account), &ladder, now).await;
            resumed.map(|_| format!("{account} is resumed")).map_err(Refusal::from)
        }
    };
    view.note = Some(match done {
        Ok(said) => said,
        // A failing database ends the view; a row that another program changed first does not.
        Err(Refusal::Store(error)) if error.is_fatal() => return Err(error.into()),
        Err(refusal) => refusal.to_string(),
    });
    Ok(())
}

/// Shows a request or a job in full.
async fn open(
    store: &Store,
    config: &Config,
    view: &mut View,
    target: Target,
    clock: &Clock,
) -> Result<(), Failure> {
    let Some((title, lines)) = detail(store, config, &target, clock).await? else { return Ok(()) };
    view.mode = Mode::Reading { target, title, lines: wrapped(&lines, view.page.0), scroll: 0 };
    Ok(())
}

fn wrapped(lines: &[String], width: u16) -> Vec<String> {
    lines.iter().flat_map(|line| show::wrapped(line, usize::from(width))).collect()
}

async fn detail(
    store: &Store,
    config: &Config,
    target: &Target,
    clock: &Clock,
) -> Result<Option<(String, Vec<String>)>, Failure> {
    let mut text = Vec::new();
    let title = match target {
        Target::Request(id) => {
            let whole = requests::whole(store, *id).await?;
            let explained = worker::people::explain::of(store, config, &whole.request, clock.now()).await?;
            explain::write(&mut text, &whole.request, &explained, None)?;
            text.push(b'\n');
            requests::write(&mut text, &whole)?;
            format!("request {id}")
        }
        Target::Job(id) => {
            jobs::write(&mut text, &jobs::whole(store, *id).await?)?;
            format!("job {id}")
        }
        Target::Account(_) | Target::Everything => return Ok(None),
    };
    Ok(Some((title, String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())))
}
