//! What a person decides: `approve`, `pause`, `resume`; `cancel` and `resolve` have files of their own.
//!
//! Each prints what it covers and what it changed. Only what may spend asks for confirmation
//! ([`super::confirm`]). A decision that does not fit the present state changes nothing, and the error names
//! that state.

use std::io::Write;

use serde_json::{Value, json};

use super::confirm::Question;
use super::show::{self, plural};
use super::{Context, Failure, Outcome, account, existing};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::request_state::State;
use crate::domain::{AccountId, Credits, RequestId};
use crate::store::accounts as store_accounts;
use crate::store::report::Time;
use crate::store::report::requests::Request;
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

#[derive(clap::Args)]
pub(super) struct Approval {
    #[command(flatten)]
    of: Decision,
    /// The figure that you saw, in credits; required when nobody can be asked in a terminal
    #[arg(long, value_name = "N", value_parser = figure)]
    credits: Option<Credits>,
}

/// The value of `--credits`.
pub(super) fn figure(text: &str) -> Result<Credits, &'static str> {
    Credits::typed(text).ok_or("must be a whole number of credits, such as 1800")
}

pub(super) fn say(json: bool, value: serde_json::Value, text: &str) -> Outcome {
    if json {
        return Ok(show::json(&value)?);
    }
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

pub(super) async fn approve(context: Context, Approval { of, credits }: Approval) -> Outcome {
    let config = context.load()?;
    let store = existing(&config).await?;
    let request = super::requests::find(&store, of.id).await?;
    let (id, quote) = (RequestId(of.id), Credits(request.quoted_credits.unwrap_or_default()));
    let shown = match request.status == State::AwaitingApproval.name() {
        true => question(&request, quote).answer(credits, &store, &config).await?,
        // Refused below, in the words of every other place.
        false => quote,
    };
    decide::approve(&store, id, shown, Clock::real().now()).await.map_err(refused)?;
    let text = format!("request {id}: approved up to {shown} credits\nnext: unlockd request {id}");
    say(of.json, json!({"id": id, "status": "accepted", "approved_credits": shown}), &text)
}

fn question(request: &Request, quote: Credits) -> Question<'_> {
    let (id, committed) = (request.id, Credits(request.committed_credits));
    let mut about = vec![format!("request {id}: up to {quote} credits ({})", request.action)];
    if committed > Credits::ZERO {
        about.push(format!("  of that, may be spent    {committed} credits"));
    }
    about.extend(request.reason.clone().map(|reason| format!("  {reason}")));
    Question {
        command: format!("`unlockd approve {id}`"),
        about,
        account: &request.account,
        figure: quote,
        cost: quote - committed,
    }
}

/// Exit code 3: it does not exist; 4: refused in the present state; 1: the database failed.
pub(super) fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Missing { .. } => Failure::missing(refusal.to_string()),
        Refusal::Store(error) => error.into(),
        _ => Failure::refused(refusal.to_string()),
    }
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
    let config = context.load_in_part()?;
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
    let config = context.load_in_part()?;
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
