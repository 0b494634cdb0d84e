//! `cancel`: the contacts that were not sent yet are not bought; of one request, or of all with one reference.

use std::io::Write;

use serde_json::{Value, json};

use super::decide::refused;
use super::show::{self, plural};
use super::{Context, Failure, Outcome, existing};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{AccountId, RequestId};
use crate::store::Store;
use crate::store::report::{requests, untaken};
use crate::worker::people::decide::{self, Refusal};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(super) struct Args {
    /// The request's id
    #[arg(value_name = "ID", allow_negative_numbers = true, group = "which")]
    id: Option<i64>,
    /// Every request with exactly this reference of which something is not sent yet
    #[arg(long, value_name = "R", group = "which")]
    reference: Option<String>,
    /// For programs: a JSON object; with --reference an array of them
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load_in_part()?;
    let store = existing(&config).await?;
    let mut out = std::io::stdout();
    match (&args.reference, args.id) {
        (Some(reference), _) => {
            let cancelled = all(&store, &config, reference).await?;
            if args.json {
                let values: Vec<Value> = cancelled.into_iter().map(|(value, _)| value).collect();
                return Ok(show::json(&values)?);
            }
            for (_, text) in cancelled {
                writeln!(out, "{text}")?;
            }
        }
        (None, id) => {
            let id = id.unwrap_or_default();
            super::requests::find(&store, id).await?;
            let (value, text) = one(&store, &config, id).await?.map_err(refused)?;
            if args.json {
                return Ok(show::json(&value)?);
            }
            writeln!(out, "{text}")?;
        }
    }
    Ok(())
}

/// Cancels every request of a reference that can be; the others are as they were.
async fn all(store: &Store, config: &Config, reference: &str) -> Result<Vec<(Value, String)>, Failure> {
    let mut ids = requests::ids_of_reference(store, reference, true).await?;
    ids.extend(untaken::of_reference(store, reference).await?);
    // A row that is taken at this moment is in both.
    ids.sort_unstable();
    ids.dedup();
    let mut cancelled = Vec::with_capacity(ids.len());
    for id in ids {
        match one(store, config, id).await? {
            Ok(one) => cancelled.push(one),
            Err(Refusal::Store(error)) => return Err(error.into()),
            // It ended meanwhile, or all of it was sent.
            Err(_) => {}
        }
    }
    if !cancelled.is_empty() {
        return Ok(cancelled);
    }
    if requests::ids_of_reference(store, reference, false).await?.is_empty() {
        return Err(super::requests::no_reference(reference));
    }
    Err(Failure::refused(
        "everything with this reference has ended, or was sent already and may be paid for; nothing was changed"
            .to_owned(),
    ))
}

/// What a cancellation came to, for programs and for people.
async fn one(store: &Store, config: &Config, id: i64) -> Result<Result<(Value, String), Refusal>, Failure> {
    let accounts: Vec<AccountId> = config.accounts.keys().map(AccountId::trusted).collect();
    let cancelled = match decide::cancel(store, &accounts, RequestId(id), Clock::real().now()).await {
        Ok(cancelled) => cancelled,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let after = super::requests::find(store, id).await?;
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
        let settled = (after.contacts - after.pending).saturating_sub(cancelled.contacts as i64);
        let settled = if settled > 0 { format!("; {settled} had ended before") } else { String::new() };
        format!(
            "request {id}: {contacts} not sent; {sent} sent before are followed to the end (they may be charged){settled}"
        )
    };
    let value =
        json!({"id": id, "status": after.status, "cancelled": cancelled.contacts, "pending": after.pending});
    Ok(Ok((value, text)))
}
