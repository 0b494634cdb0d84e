//! `resolve`: a person's decision on a job whose submission stayed in doubt.

use serde_json::json;

use super::confirm::Question;
use super::decide::{figure, refused, say};
use super::show::plural;
use super::{Context, Failure, Outcome, existing};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::job::{Doubt, State};
use crate::domain::{Credits, JobId};
use crate::store::Store;
use crate::store::jobs::{self, Job};
use crate::worker::people::decide;

#[derive(clap::Args)]
#[command(
    group = clap::ArgGroup::new("decision").required(true),
    after_help = "\
Examples:
  unlockd job 41                               the evidence
  unlockd resolve 41 --resubmit                the call had no effect: send it again; asks to type the cost
  unlockd resolve 41 --resubmit --credits 180  the same for programs: the cost that was shown
  unlockd resolve 41 --write-off               give it up: nothing is sent again

--resubmit for a job that has ended (lost, expired): its contacts that were paid for and brought nothing may be
paid for once more, by the requests that wait for them.

If --resubmit is wrong, a contact may be paid for twice. If --write-off is wrong, a paid contact is lost."
)]
pub(super) struct Resolve {
    /// The job's id
    #[arg(value_name = "JOB")]
    id: i64,
    /// The call had no effect: send it again, after a precheck
    #[arg(long, group = "decision")]
    resubmit: bool,
    /// With --resubmit: the cost that you saw, in credits; required when nobody can be asked in a terminal
    #[arg(long, value_name = "N", value_parser = figure, conflicts_with = "write_off")]
    credits: Option<Credits>,
    /// Give the job up: its contacts get the outcome lost, its credits stay booked as possibly spent
    #[arg(long, group = "decision")]
    write_off: bool,
    /// For programs: a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: Context, args: Resolve) -> Outcome {
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
        _ => return of_ended(&args, &store, &config, job).await,
    }
    let evidence = job.evidence.clone().unwrap_or_else(|| "not checked yet".to_owned());
    let (cost, contacts) = (job.cost.unwrap_or_default(), what(&job));
    let (state, meaning) = if args.resubmit {
        let about = vec![
            format!("job {id}: {contacts} to be sent again, for up to {cost} credits"),
            format!("  the evidence             {evidence}"),
            "  If the first call took effect after all, they may be spent twice.".to_owned(),
        ];
        let command = format!("`unlockd resolve {id} --resubmit`");
        let account = job.account.to_string();
        let question = Question { command, about, account: &account, figure: cost, cost };
        let shown = question.answer(args.credits, &store, &config).await?;
        decide::resubmit(&store, job, shown, Clock::real().now()).await.map_err(refused)?;
        let meaning = format!(
            "{contacts} will be sent again, after a precheck; the {cost} credits held for it are free again. \
             If the first call took effect after all, they may be spent twice."
        );
        ("queued", meaning)
    } else {
        let meaning = given_up(&job);
        decide::write_off(&store, job, Clock::real().now()).await?;
        ("lost", meaning)
    };
    let value = json!({"id": id, "state": state, "evidence": evidence, "cost": cost});
    say(args.json, value, &format!("job {id} is {state}: {meaning}\nthe evidence was: {evidence}"))
}

/// A search or an event is one call, and has no contacts.
fn what(job: &Job) -> String {
    match job.channel() {
        Some(_) => plural(i64::from(job.contacts), "contact"),
        None => "the paid call".to_owned(),
    }
}

/// What it means to write a job off.
fn given_up(job: &Job) -> String {
    let cost = job.cost.unwrap_or_default();
    let what = match job.channel() {
        Some(_) => format!(
            "{} given up, and never sent again for these requests: what their profiles show is still delivered, the \
             rest is lost",
            what(job)
        ),
        None => "given up, and not sent again: it brings no result".to_owned(),
    };
    format!(
        "{what}; {cost} credits stay booked as possibly spent. The next settlement says unknown, unless the balance shows \
         the charge"
    )
}

/// A job that is not in doubt: of one that has ended, contacts may be bought again.
async fn of_ended(args: &Resolve, store: &Store, config: &Config, job: Job) -> Outcome {
    let (id, state) = (args.id, job.state.to_string());
    let is_again = args.resubmit && job.state.is_end();
    let again = decide::cost_again(store, &job).await?;
    if is_again && again.0 > 0 {
        return buy_again(args, store, config, (job, again)).await;
    }
    if is_again && job.channel().is_none() {
        return Err(Failure::refused(format!(
            "job {id} is {state}, and nothing waits for it any more: ask for it again with a new request (unlockd help \
             actions); nothing was changed"
        )));
    }
    Err(Failure::refused(format!(
        "job {id} is {state} and not in doubt, so there is nothing to decide; nothing was changed; see: unlockd job {id}"
    )))
}

/// A job that has ended, and was charged for contacts without a value: they may be paid for once more.
async fn buy_again(
    args: &Resolve,
    store: &Store,
    config: &Config,
    (job, (contacts, cost)): (Job, (u64, Credits)),
) -> Outcome {
    let id = args.id;
    let contacts = plural(i64::try_from(contacts).unwrap_or(i64::MAX), "contact");
    let state = job.state.name();
    let about = vec![
        format!("job {id} is {state} and was charged; {contacts} brought no value"),
        format!("  to pay for them again costs up to {cost} credits, for each request that asks for them"),
    ];
    let command = format!("`unlockd resolve {id} --resubmit`");
    let account = job.account.to_string();
    let question = Question { command, about, account: &account, figure: cost, cost };
    let shown = question.answer(args.credits, store, config).await?;
    decide::buy_again(store, job, shown, Clock::real().now()).await.map_err(refused)?;
    let text = format!(
        "{contacts} of job {id} may be paid for once more: requests that wait for them buy them now, others when they \
         are made"
    );
    say(args.json, json!({"id": id, "state": state, "cost": cost}), &text)
}
