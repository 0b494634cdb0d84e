//! `enqueue` and `adopt`: one row in the inbox, and a hint at the next step. Neither needs a running worker
//! or a key.

use std::io::Write;

use serde::Serialize;

use super::show::plural;
use super::wanted::{Wanted, contacts_action, parse};
use super::{Context, Failure, Outcome, existing, ids, show, wait};
use crate::config::Config;
use crate::domain::Layers;
use crate::domain::request::Wish;
use crate::store::inbox::{self, Enqueue};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd enqueue --event 139574 789 790
  unlockd enqueue --event 139574 --file leads.csv --reference crm-export-17 --dedupe-key crm-17 --wait
  unlockd enqueue --file hubspot.csv --column 'Lensmor Personnel ID'
  cut -f1 ids.tsv | unlockd enqueue --phones --max-credits 3000 -
  unlockd enqueue --unlock-event 139574 --approve --wait
  unlockd enqueue --full-access 139574 --max-credits 5000
  unlockd enqueue --search-companies Acme --max-pages 2
  unlockd enqueue --search-person 'Jane Smith'

Enqueueing spends nothing by itself; `unlockd plan` with the same arguments says what it would cost.
With --wait: exit code 0 when done, 4 when it waits for a person, 1 when rejected or cancelled.")]
pub(super) struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Show the progress until the request is finished
    #[arg(long)]
    wait: bool,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    id: i64,
    /// False: a row with the dedupe key was there already, and nothing was written.
    created: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lists: Vec<ids::List>,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load()?;
    let understood = args.wanted.understand(&config)?;
    let invalid = understood.contacts().invalid.len() as i64;
    if invalid > 0 {
        let ids = plural(invalid, "id");
        super::say(&format!(
            "{ids} not valid (a contact id has 1 to 20 digits); the outcome will be invalid"
        ));
    }
    let what = match &understood.request.wish {
        Wish::Event => match understood.request.action.layers() {
            Some(Layers::Visitors) => "the visitors of an event to unlock".to_owned(),
            Some(Layers::Both) => "full access to an event".to_owned(),
            _ => "an event to unlock".to_owned(),
        },
        Wish::Search { max_pages: 1, .. } => "one page of a search".to_owned(),
        Wish::Search { max_pages, .. } => format!("at most {max_pages} pages of a search"),
        _ => plural(understood.contacts().valid.len() as i64, "contact"),
    };
    let (wait, json) = (args.wait, args.json);
    write(&config, understood.row, understood.lists, &what, Answer { wait, json }).await
}

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  unlockd adopt 321 --event 139574

An adopted task is polled and its contacts are recorded; nothing is submitted and nothing bought.")]
pub(super) struct Adopt {
    /// The task's id, as the API returned it
    #[arg(value_name = "TASK_ID")]
    task_id: String,
    /// The task unlocks phones
    #[arg(long)]
    phones: bool,
    /// The event that its contacts belong to
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// The account whose key created it
    #[arg(long, value_name = "A", default_value = "default")]
    account: String,
    /// Your own reference text, copied to every result
    #[arg(long, value_name = "R")]
    reference: Option<String>,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn adopt(context: Context, args: Adopt) -> Outcome {
    let config = context.load()?;
    let row = Enqueue {
        account: args.account,
        action: contacts_action(args.phones).to_string(),
        event_id: args.event,
        task_id: Some(args.task_id),
        reference: args.reference,
        ..Enqueue::default()
    };
    parse(&row, &config)?;
    let what = format!("task {} will be followed; nothing is bought", row.task_id.as_deref().unwrap_or(""));
    write(&config, row, vec![], &what, Answer { wait: false, json: args.json }).await
}

/// How to report the result.
struct Answer {
    wait: bool,
    json: bool,
}

async fn write(
    config: &Config,
    row: Enqueue,
    lists: Vec<ids::List>,
    what: &str,
    Answer { wait, json }: Answer,
) -> Outcome {
    let store = existing(config).await?;
    let written = match inbox::insert(&store, row.clone()).await? {
        Some(request) => Written { id: request.id, created: true, lists },
        None => {
            let key = row.dedupe_key.as_deref().unwrap_or_default();
            let there = inbox::find_dedupe_key(&store, &row.account, key).await?.ok_or_else(|| {
                anyhow::anyhow!(
                    "the row with this dedupe key was deleted meanwhile; nothing was written: try again"
                )
            })?;
            let (id, differing) = (there.id, inbox::differing(&there, &row));
            if !differing.is_empty() {
                return Err(Failure::refused(format!(
                    "request {id} has this dedupe key already, but differs in {}: nothing was written. Use another key, or \
                     the same contents; to see that request: unlockd request {id}",
                    differing.join(", ")
                )));
            }
            Written { id, created: false, lists }
        }
    };
    let id = written.id;
    let mut out = std::io::stdout();
    match (json, written.created) {
        (true, _) if wait => {}
        (true, _) => show::json(&written)?,
        (false, true) => writeln!(out, "request {id}: {what}\nnext: unlockd request {id}")?,
        (false, false) => writeln!(
            out,
            "request {id} has this dedupe key already; nothing was written\nnext: unlockd request {id}"
        )?,
    }
    if wait { wait::until_finished(&store, config, id, json).await } else { Ok(()) }
}
