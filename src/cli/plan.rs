//! `unlockd plan`: what a request would do, before it is written.
//!
//! The row is read and estimated by the same functions as in the worker's intake, so the figures
//! are those that `enqueue` would lead to. Only the balance is written, if it is read.

use std::io::Write;

use serde::Serialize;

use super::account::{deps, fresh_balance};
use super::ids::List;
use super::show::{self, grouped};
use super::wanted::{Understood, Wanted};
use super::{Context, Outcome, existing};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Credits;
use crate::domain::budget::Pace;
use crate::domain::credits::Approval;
use crate::store::credits::balances;
use crate::store::inbox;
use crate::store::report::Time;
use crate::store::{Store, accounts};
use crate::worker::people::plan::{self as people, figures};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd plan --event 139574 --file leads.csv
  unlockd plan --offline --phones 789 790

Takes the same arguments as enqueue, writes no request and spends nothing. It makes one free call for the
balance; with --offline none.")]
pub(super) struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Make no call: the balance is the last one known
    #[arg(long)]
    offline: bool,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
    /// Accepted, since enqueue has it, and ignored: a plan has nothing to wait for
    #[arg(long, hide = true)]
    wait: bool,
}

#[derive(Serialize)]
struct Plan {
    account: String,
    action: String,
    event_id: Option<String>,
    /// Ids as given.
    given: usize,
    /// To buy, at most.
    new: usize,
    /// Of the new ones: paid for before, and no value came. Each costs its price again.
    paid_without_value: usize,
    /// This database has their value.
    already_had: usize,
    /// Asked for by another request already: it is being bought, or waits as that request does.
    in_flight: usize,
    /// Given more than once.
    repeated: usize,
    /// Not valid as a contact's id.
    invalid: usize,
    /// Ids that a spreadsheet or a program with floats may have rounded: they may be other contacts.
    looks_rounded: usize,
    batches: usize,
    price: Credits,
    quoted_credits: Credits,
    /// What the request would be: `accepted`, `awaiting_approval` or `rejected`.
    status: &'static str,
    reason: Option<String>,
    /// A request that has the dedupe key already: nothing would be written.
    dedupe_request_id: Option<i64>,
    /// The columns in which that request asks for something else: enqueue would refuse.
    dedupe_differs: Vec<&'static str>,
    /// Nothing is sent until a person resumes the account.
    is_paused: bool,
    balance: Option<i64>,
    balance_at: Option<Time>,
    balance_after: Option<i64>,
    available: Option<i64>,
    available_after: Option<i64>,
    /// What credits.daily_limit leaves today, and credits.monthly_limit this month.
    left_today: Option<i64>,
    left_this_month: Option<i64>,
    /// UTC days that the daily limit takes, today included, if nothing else is bought.
    days: Option<u64>,
    #[serde(skip)]
    pace: Pace,
    /// The files that were read, and the lines without an id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lists: Vec<List>,
}

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let config = context.load()?;
    let key = (args.wanted.account().to_owned(), args.wanted.dedupe_key().map(str::to_owned));
    let understood = args.wanted.understand(&config)?;
    let store = existing(&config).await?;
    let mut plan = plan(&config, &store, &understood).await?;
    if let (account, Some(dedupe_key)) = &key
        && let Some(there) = inbox::find_dedupe_key(&store, account, dedupe_key).await?
    {
        plan.dedupe_request_id = Some(there.id);
        plan.dedupe_differs = inbox::differing(&there, &understood.row);
    }
    let account = &understood.request.account;
    plan.is_paused = accounts::read(store.readers(), account).await?.paused_at.is_some();
    if args.offline {
        if let Some((at, balance)) = balances::last_balance(store.readers(), account).await? {
            plan.balance(balance.total, None, at.into());
        }
    } else {
        let deps = deps(store.clone(), &config).await?;
        let fresh = fresh_balance(&deps, account, "plan").await?;
        plan.balance(fresh.balance.total, Some(fresh.purse.available()), fresh.taken_at);
    }
    plan.pace(people::pace(&config, &store, account, (plan.new, plan.price), Clock::real().now()).await?);
    plan.lists = understood.lists;
    if args.json {
        return Ok(show::json(&plan)?);
    }
    show_plan(&plan)
}

async fn plan(config: &Config, store: &Store, understood: &Understood) -> Result<Plan, super::Failure> {
    let (request, contacts) = (&understood.request, understood.contacts());
    let figures = figures(config, store, request).await?;
    let (status, reason) = match figures.approval {
        Approval::NotNeeded => ("accepted", None),
        Approval::Needed => {
            let reason = format!(
                "more than credits.approve_above = {}; --approve confirms it",
                config.credits.approve_above
            );
            ("awaiting_approval", Some(reason))
        }
        Approval::OverMaxCredits => {
            ("rejected", Some("more than --max-credits; nothing would be bought".to_owned()))
        }
    };
    Ok(Plan {
        account: request.account.to_string(),
        action: request.action.to_string(),
        event_id: request.event_id.as_ref().map(ToString::to_string),
        given: understood.given,
        new: figures.new,
        paid_without_value: figures.paid_without_value,
        already_had: figures.already_had,
        in_flight: figures.in_flight,
        repeated: understood.given - contacts.valid.len() - contacts.invalid.len(),
        invalid: contacts.invalid.len(),
        looks_rounded: contacts.rounded.ids(),
        batches: figures.batches,
        price: figures.price,
        quoted_credits: figures.quote,
        status,
        reason,
        dedupe_request_id: None,
        dedupe_differs: vec![],
        is_paused: false,
        balance: None,
        balance_at: None,
        balance_after: None,
        available: None,
        available_after: None,
        left_today: None,
        left_this_month: None,
        days: None,
        pace: Pace::default(),
        lists: vec![],
    })
}

impl Plan {
    fn balance(&mut self, balance: Credits, available: Option<Credits>, at: Time) {
        (self.balance, self.balance_at) = (Some(balance.0), Some(at));
        self.balance_after = Some((balance - self.quoted_credits).0);
        self.available = available.map(|credits| credits.0);
        self.available_after = available.map(|credits| (credits - self.quoted_credits).0);
    }
}

impl Plan {
    fn pace(&mut self, pace: Pace) {
        let left = |limit: Option<(Credits, Credits)>| limit.map(|(_, left)| left.0);
        (self.left_today, self.left_this_month) = (left(pace.day), left(pace.month));
        (self.days, self.pace) = (pace.days, pace);
    }
}

fn show_plan(plan: &Plan) -> Outcome {
    let mut out = std::io::stdout().lock();
    let event = plan.event_id.as_ref().map(|id| format!(", event {id}")).unwrap_or_default();
    writeln!(out, "Plan: {} on account {}{event}", plan.action, plan.account)?;
    let batches = show::plural(plan.batches as i64, "batch").replace("batchs", "batches");
    if plan.given == 0 {
        let calls = show::plural(plan.new as i64, "paid call");
        writeln!(
            out,
            "  {calls} at most, {} credits at most ({} × {})",
            plan.quoted_credits, plan.new, plan.price
        )?;
        return show_balance(plan, &mut out);
    }
    let at_most = |count| format!("at most {} credits ({count} × {})", plan.price.times(count), plan.price);
    let (again, first) = (plan.paid_without_value, plan.new - plan.paid_without_value);
    let lines = [
        (first, format!("new, in {batches}"), at_most(first)),
        (again, "paid for before, brought nothing".to_owned(), format!("{} again", at_most(again))),
        (plan.already_had, "had already".to_owned(), "0 credits".to_owned()),
        (plan.in_flight, "asked for by another request".to_owned(), "0 credits".to_owned()),
        (plan.repeated, "given more than once".to_owned(), "0 credits".to_owned()),
        (plan.invalid, "no contact ids (outcome: invalid)".to_owned(), "0 credits".to_owned()),
    ];
    writeln!(out, "  {:>7}  {:34} ", plan.given, "ids given")?;
    for (count, what, credits) in lines.iter().filter(|(count, ..)| *count > 0) {
        writeln!(out, "  {count:>7}  {what:34} {credits}")?;
    }
    if plan.looks_rounded > 0 {
        writeln!(out, "  {:>7}  of them look rounded, and may be other contacts", plan.looks_rounded)?;
    }
    show_balance(plan, &mut out)
}

fn show_balance(plan: &Plan, out: &mut impl Write) -> Outcome {
    match (plan.balance, plan.balance_at) {
        (Some(balance), Some(at)) => {
            let after = plan.balance_after.unwrap_or_default();
            writeln!(out, "Balance {} at {at}; after, at least {}", grouped(balance), grouped(after))?;
        }
        _ => writeln!(out, "Balance not known: none was read yet")?,
    }
    if let (Some(available), Some(after)) = (plan.available, plan.available_after) {
        writeln!(out, "Available {}; after, at least {}", grouped(available), grouped(after))?;
        if after < 0 {
            let what = if plan.given == 0 && plan.new == 1 { "it" } else { "the rest" };
            writeln!(out, "That is {} credits short: {what} would wait for credits.", grouped(-after))?;
        }
    }
    for words in plan.pace.words() {
        writeln!(out, "{words}")?;
    }
    let reason = plan.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    writeln!(out, "The request would be {}{reason}.", plan.status.replace('_', " "))?;
    if plan.is_paused {
        let account = &plan.account;
        writeln!(
            out,
            "Account {account} is paused: nothing is sent until you run unlockd resume --account {account}"
        )?;
    }
    if let Some(id) = plan.dedupe_request_id {
        let then = match plan.dedupe_differs.as_slice() {
            [] => "enqueue would write nothing".to_owned(),
            differ => {
                format!("it differs in {}, so enqueue would refuse", differ.join(", "))
            }
        };
        writeln!(out, "Request {id} has this dedupe key already: {then}.")?;
    }
    writeln!(out, "Nothing was written. Next: unlockd enqueue, with the same arguments")?;
    Ok(())
}
