//! A person's decisions: `approve`, `cancel`, `pause`, `resume`, `resolve`.
//!
//! Each prints what it covers and what it changed; none asks for confirmation. A decision that does not
//! fit the present state changes nothing, and the error names that state.

use std::io::Write;

use serde_json::{Value, json};

use super::show::{self, plural};
use super::{Context, Failure, Outcome, account, existing};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::job::{Doubt, State};
use crate::domain::{AccountId, Credits, JobId, RequestId};
use crate::store::accounts as store_accounts;
use crate::store::jobs;
use crate::store::report::Time;
use crate::worker::ladder;
use crate::worker::people::decide::{self, Refusal};
use crate::worker::people::pause::{self, Resumed};

#[derive(clap::Args)]
pub(super) struct Decision {
    /// The request's id
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    id: i64,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

fn say(json: bool, value: serde_json::Value, text: &str) -> Outcome {
    if json {
        return Ok(show::json(&value)?);
    }
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

pub(super) async fn approve(context: Context, args: Decision) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    let request = super::requests::find(&store, args.id).await?;
    let (id, quote) = (RequestId(args.id), Credits(request.quoted_credits.unwrap_or_default()));
    decide::approve(&store, id, quote, Clock::real().now()).await.map_err(refused)?;
    let text = format!("request {id}: approved up to {quote} credits\nnext: unlockd request {id}");
    say(args.json, json!({"id": id, "status": "accepted", "approved_credits": quote}), &text)
}

/// Exit code 3: it does not exist; 4: refused in the present state; 1: the database failed.
fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Missing { .. } => Failure::missing(refusal.to_string()),
        Refusal::Store(error) => error.into(),
        _ => Failure::refused(refusal.to_string()),
    }
}

pub(super) async fn cancel(context: Context, args: Decision) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    super::requests::find(&store, args.id).await?;
    let (id, now) = (RequestId(args.id), Clock::real().now());
    let accounts: Vec<AccountId> = config.accounts.keys().map(AccountId::trusted).collect();
    let cancelled = decide::cancel(&store, &accounts, id, now).await.map_err(refused)?;
    let after = super::requests::find(&store, args.id).await?;
    let contacts = plural(cancelled.contacts as i64, "contact");
    let text = if cancelled.contacts == 0 && !after.is_finished() {
        format!(
            "request {id}: all contacts were sent already and are followed to the end (they may be charged); calls \
             found to have failed are not resent"
        )
    } else if after.is_finished() {
        format!("request {id} is {}: {contacts} not sent; nothing more is bought for it", after.status)
    } else {
        let sent = after.pending;
        format!(
            "request {id}: {contacts} not sent; {sent} sent before are followed to the end (they may be charged)"
        )
    };
    let value =
        json!({"id": id, "status": after.status, "cancelled": cancelled.contacts, "pending": after.pending});
    say(args.json, value, &text)
}

#[derive(clap::Args)]
pub(super) struct OfAccount {
    /// The account
    #[arg(long, value_name = "A", default_value = "default")]
    account: String,
    /// All accounts of the configuration
    #[arg(long, conflicts_with = "account")]
    all: bool,
    /// For programs: a JSON object; with --all an array of them
    #[arg(long)]
    json: bool,
}

impl OfAccount {
    fn accounts(&self, config: &Config) -> Result<Vec<AccountId>, Failure> {
        match self.all {
            true => Ok(config.accounts.keys().map(AccountId::trusted).collect()),
            false => Ok(vec![account::named(config, &self.account)?]),
        }
    }

    /// Prints the result for each account, and a last line.
    fn say(&self, mut each: Vec<(Value, String)>, last: Option<String>) -> Outcome {
        let text: Vec<String> = each.iter().map(|(_, text)| text.clone()).chain(last).collect();
        let value = match self.all {
            true => each.into_iter().map(|(value, _)| value).collect(),
            false => each.swap_remove(0).0,
        };
        say(self.json, value, &text.join("\n"))
    }
}

pub(super) async fn pause(context: Context, args: OfAccount) -> Outcome {
    let config = context.load()?;
    let accounts = args.accounts(&config)?;
    let store = existing(&config).await?;
    let now = Clock::real().now();
    let mut each = Vec::new();
    for account in &accounts {
        let (at, text) = match pause::pause(&store, account, now).await? {
            Some(at) => {
                let at = Time::from(at);
                (at, format!("account {account} was already paused at {at}"))
            }
            None => (
                Time::from(now),
                format!(
                    "account {account} is paused: nothing new is submitted; what was sent is polled and settled\n\
                     to continue: unlockd resume --account {account}"
                ),
            ),
        };
        each.push((json!({"account": account, "paused_at": at}), text));
    }
    let mut others = Vec::new();
    for account in
        config.accounts.keys().map(AccountId::trusted).filter(|account| !accounts.contains(account))
    {
        if store_accounts::read(store.readers(), &account).await?.paused_at.is_none() {
            others.push(account.to_string());
        }
    }
    let go_on =
        || format!("not paused and still buying: {}; to pause all: unlockd pause --all", others.join(", "));
    args.say(each, (!others.is_empty()).then(go_on))
}

pub(super) async fn resume(context: Context, args: OfAccount) -> Outcome {
    let config = context.load()?;
    let accounts = args.accounts(&config)?;
    let store = existing(&config).await?;
    let ladder = ladder(&config);
    let mut each = Vec::new();
    for account in &accounts {
        let resumed = pause::resume(&store, account, &ladder, Clock::real().now()).await?;
        each.push(told(account, &resumed));
    }
    args.say(each, None)
}

fn told(account: &AccountId, resumed: &Resumed) -> (Value, String) {
    let mut did = Vec::new();
    if resumed.was_paused {
        did.push("resumed".to_owned());
    }
    if resumed.key_was_refused {
        did.push("its refused key is tried again".to_owned());
    }
    if let Some(until) = resumed.waited_until.map(Time::from) {
        did.push(format!("the API asked it to wait until {until} (Retry-After); it does not wait any more"));
    }
    if resumed.parked_jobs > 0 {
        did.push(format!("{} that waited will be tried again", plural(resumed.parked_jobs as i64, "job")));
    }
    if resumed.expired_jobs > 0 {
        did.push(format!("{} that expired will be polled again", plural(resumed.expired_jobs as i64, "job")));
    }
    if did.is_empty() {
        did.push("was not paused; no job was waiting".to_owned());
    }
    let value = json!({
        "account": account,
        "was_paused": resumed.was_paused,
        "key_was_refused": resumed.key_was_refused,
        "waited_until": resumed.waited_until.map(Time::from),
        "parked_jobs": resumed.parked_jobs,
        "expired_jobs": resumed.expired_jobs,
    });
    (value, format!("account {account}: {}", did.join("; ")))
}

#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("decision").required(true),
    after_help = "\
Examples:
  unlockd job 41                  the evidence
  unlockd resolve 41 --resubmit   the call had no effect: send it again
  unlockd resolve 41 --write-off  give it up: nothing is sent again

If --resubmit is wrong, a contact may be paid for twice. If --write-off is wrong, a paid contact is lost."
)]
pub(super) struct Resolve {
    /// The job's id
    #[arg(value_name = "JOB")]
    id: i64,
    /// The call had no effect: send it again, after a precheck
    #[arg(long, group = "decision")]
    resubmit: bool,
    /// Give the job up: its contacts get the outcome lost, its credits stay booked as possibly spent
    #[arg(long, group = "decision")]
    write_off: bool,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn resolve(context: Context, args: Resolve) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    let Some(job) = jobs::read(store.readers(), JobId(args.id)).await? else {
        return Err(super::jobs::missing(&store, args.id).await?);
    };
    let id = args.id;
    match &job.state {
        State::InDoubt { doubt: Doubt::Looking | Doubt::NeedsDecision } => {}
        State::InDoubt { doubt: Doubt::CarriedOut } => {
            return Err(Failure::refused(format!(
                "job {id} took effect and its credits are spent; unlockd reads its contacts from their profiles, so \
                 there is nothing to decide"
            )));
        }
        state => {
            return Err(Failure::refused(format!(
                "job {id} is {state} and not in doubt, so there is nothing to decide; nothing was changed; see: unlockd job {id}"
            )));
        }
    }
    let evidence = job.evidence.clone().unwrap_or_else(|| "not checked yet".to_owned());
    let (cost, contacts) = (job.cost.unwrap_or_default(), plural(i64::from(job.contacts), "contact"));
    let now = Clock::real().now();
    let (state, meaning) = if args.resubmit {
        decide::resubmit(&store, job, now).await.map_err(refused)?;
        let meaning = format!(
            "{contacts} will be sent again, after a precheck; the {cost} credits held for it are free again. \
             If the first call took effect after all, they may be spent twice."
        );
        ("queued", meaning)
    } else {
        decide::write_off(&store, job, now).await?;
        let meaning = format!(
            "{contacts} lost, and never sent again for these requests; {cost} credits stay booked as possibly spent. \
             The next settlement says unknown, unless the balance shows the charge"
        );
        ("lost", meaning)
    };
    let value = json!({"id": id, "state": state, "evidence": evidence, "cost": cost});
    say(args.json, value, &format!("job {id} is {state}: {meaning}\nthe evidence was: {evidence}"))
}
