//! What is going on, read from the database at one moment, and what of it needs a person.
//!
//! Reads only, so it is as true beside a running worker as without one. No contact's id or value
//! is in it.

use serde::Serialize;

use crate::config::Config;
use crate::domain::{AccountId, Credits, Millis};
use crate::store::report::accounts::{Account, Limits};
use crate::store::report::jobs::OpenJob;
use crate::store::report::requests::Request;
use crate::store::report::{self, Time, accounts, jobs, requests};
use crate::store::sqlite::lease;
use crate::store::{Store, StoreError};
use crate::worker::people::unconfigured;

use super::super::show::{grouped, plural};

/// Rows of each kind that are read; more are counted only.
const AT_MOST: u32 = 100;
const ENDED_AT_MOST: u32 = 50;

/// Everything that is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Model {
    pub(super) at: Option<Time>,
    pub(super) worker: Worker,
    pub(super) accounts: Vec<Account>,
    /// Rows of the inbox that no worker has taken.
    pub(super) inbox_new: i64,
    pub(super) needs: Vec<Need>,
    pub(super) open_requests: i64,
    pub(super) requests: Vec<Request>,
    pub(super) open_jobs: i64,
    pub(super) jobs: Vec<OpenJob>,
    pub(super) ended: Vec<Request>,
}

/// The daemon, as far as its lease shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Worker {
    pub(super) running: bool,
    pub(super) pid: i64,
    pub(super) started_at: Option<Time>,
    pub(super) seen_at: Option<Time>,
}

/// Something that goes on only after a person does something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Need {
    pub(super) reason: &'static str,
    pub(super) account: String,
    pub(super) request_id: Option<i64>,
    pub(super) job_id: Option<i64>,
    /// Credits that it is about.
    pub(super) credits: Option<i64>,
    pub(super) what: String,
    /// As a command, or in words.
    pub(super) to_do: String,
    /// The same in the live view: which key.
    #[serde(skip)]
    pub(super) keys: String,
}

/// Reads everything.
pub(super) async fn read(store: &Store, config: &Config, now: Millis) -> Result<Model, StoreError> {
    let lease = lease::read(store).await?;
    let work = report::open_work(store).await?;
    let limits = Limits {
        per_minute: config.rate_limit.per_minute,
        min_balance: Credits(config.credits.min_balance),
        daily_limit: config.credits.daily_limit.map(Credits),
    };
    let mut model = Model {
        at: Some(now.into()),
        worker: Worker {
            running: lease.is_alive(now),
            pid: lease.pid,
            started_at: Some(Time(lease.started_at)).filter(|at| at.0 > 0),
            seen_at: Some(Time(lease.renewed_at)).filter(|at| at.0 > 0),
        },
        inbox_new: work.inbox,
        open_requests: work.open_requests,
        open_jobs: work.open_jobs,
        requests: requests::open(store, AT_MOST).await?,
        jobs: jobs::open(store, AT_MOST).await?,
        ended: requests::ended(store, ENDED_AT_MOST).await?,
        ..Model::default()
    };
    for name in config.accounts.keys() {
        let account = AccountId::trusted(name.clone());
        model.accounts.push(accounts::read(store, &account, limits, now).await?);
    }
    model.needs = needs(&model);
    model.needs.extend(unconfigured::unconfigured(store, config).await?.iter().map(unconfigured));
    Ok(model)
}

/// What needs a person, the most expensive kind of mistake first.
fn needs(model: &Model) -> Vec<Need> {
    let decisions = model.jobs.iter().filter_map(decision);
    let approvals = model.requests.iter().filter(|row| row.status == "awaiting_approval").map(approval);
    let accounts = model.accounts.iter().flat_map(|account| of_account(model, account));
    decisions.chain(approvals).chain(accounts).collect()
}

fn unconfigured(account: &AccountId) -> Need {
    Need {
        reason: "not_configured",
        account: account.to_string(),
        request_id: None,
        job_id: None,
        credits: None,
        what: unconfigured::is_unconfigured(account),
        to_do: unconfigured::configure_again(account),
        keys: "configure it again".to_owned(),
    }
}

fn decision(open: &OpenJob) -> Option<Need> {
    let (job, cost) = (&open.job, grouped(open.job.cost.unwrap_or(0)));
    (job.state_reason.as_deref() == Some("needs_decision")).then(|| Need {
        reason: "needs_decision",
        account: job.account.clone(),
        request_id: None,
        job_id: Some(job.id),
        credits: job.cost,
        what: format!("job {}: answer lost, perhaps {cost} credits spent", job.id),
        to_do: format!("unlockd resolve {} --resubmit, or --write-off", job.id),
        keys: format!("Enter; unlockd resolve {}", job.id),
    })
}

fn approval(request: &Request) -> Need {
    let credits = request.quoted_credits.unwrap_or(0);
    Need {
        reason: "awaiting_approval",
        account: request.account.clone(),
        request_id: Some(request.id),
        job_id: None,
        credits: Some(credits),
        what: format!("request {}: {}, at most {} credits", request.id, asked_for(request), grouped(credits)),
        to_do: format!("unlockd approve {0}, or unlockd cancel {0}", request.id),
        keys: "a approves, c cancels".to_owned(),
    }
}

/// What a request is about, in a few words.
pub(super) fn asked_for(request: &Request) -> String {
    match (request.action.as_str(), &request.task_id) {
        ("unlock_event_contacts", _) => "an event".to_owned(),
        ("search_exhibitor_companies" | "search_exhibitor_events", _) => "a search".to_owned(),
        (_, Some(_)) if request.contacts == 0 => "an adopted task".to_owned(),
        _ => plural(request.contacts, "contact"),
    }
}

/// Why an account is paused, when no person said so, and what comes before it goes on.
fn why_paused(account: &Account) -> (&'static str, &'static str) {
    match account.paused_by_restore {
        false => ("", ""),
        true => (
            ", since the database is an older copy and no precheck can tell what was bought since",
            "see that no other worker uses another copy, look at the requests, then: ",
        ),
    }
}

fn of_account(model: &Model, account: &Account) -> Vec<Need> {
    let name = &account.account;
    let need = |reason, what, to_do: &str, keys: &str| Need {
        reason,
        account: name.clone(),
        request_id: None,
        job_id: None,
        credits: None,
        what,
        to_do: to_do.to_owned(),
        keys: keys.to_owned(),
    };
    let waiting = |reason: &str| {
        let jobs = model.jobs.iter().map(|open| &open.job);
        let of_account = jobs.filter(|job| job.account == *name && job.state == "queued");
        of_account.filter(|job| job.state_reason.as_deref() == Some(reason)).count() as i64
    };
    let resume = format!("unlockd resume --account {name}");
    let mut needs = Vec::new();
    if let Some(key) = &account.refused_key {
        let what = format!("the API refused the key {key} of {name} (401): nothing is sent or polled");
        needs.push(need(
            "invalid_api_key",
            what,
            "put a valid key in the configuration",
            "put a valid key there",
        ));
    }
    if account.refused_key.is_none() && waiting("invalid_api_key") > 0 {
        let jobs = plural(waiting("invalid_api_key"), "job");
        let what = format!("{name} has no key: {jobs} not sent");
        let to_do = "put a key in the configuration: unlockd check";
        needs.push(need("invalid_api_key", what, to_do, "put a key there"));
    }
    if waiting("insufficient_credits") > 0 {
        let jobs = plural(waiting("insufficient_credits"), "job");
        let what = format!("{jobs} of {name} waiting for credits; nothing of that was bought");
        needs.push(need(
            "insufficient_credits",
            what,
            &format!("top up, or {resume}"),
            "top up, or r resumes",
        ));
    }
    if waiting("budget") > 0 {
        let jobs = plural(waiting("budget"), "job");
        let what =
            format!("{jobs} of {name} waiting: they cost more than credits.daily_limit leaves for today");
        needs.push(need("budget", what, "raise it, or wait for the next UTC day", "raise it, or wait a day"));
    }
    if account.expired_jobs > 0 {
        let jobs = plural(account.expired_jobs, "job");
        let what = format!("{jobs} of {name} expired before the task ended");
        needs.push(need("expired", what, &format!("to poll again: {resume}"), "r polls again"));
    }
    if account.paused_at.is_some() {
        let (why, first) = why_paused(account);
        let what = format!("{name} is paused{why}: nothing new is sent");
        needs.push(need("paused", what, &format!("{first}{resume}"), "r resumes"));
    }
    needs
}

impl Model {
    /// How things are, in one sentence.
    pub(super) fn health(&self) -> String {
        if !self.worker.running {
            return match self.worker.seen_at {
                Some(_) => "no worker is running, so nothing goes on: unlockd run".to_owned(),
                None => "no worker has run on this database yet: unlockd run".to_owned(),
            };
        }
        let doubtful = self.jobs.iter().filter(|open| open.job.state == "in_doubt").count() as i64;
        let mut parts = Vec::new();
        if !self.needs.is_empty() {
            let verb = if self.needs.len() == 1 { "needs" } else { "need" };
            parts.push(format!("{} {verb} you", plural(self.needs.len() as i64, "thing")));
        }
        if doubtful > 0 {
            parts.push(format!("{} in doubt", plural(doubtful, "job")));
        }
        if self.accounts.iter().any(|account| account.blocked_until.is_some()) {
            parts.push("the API asked to wait".to_owned());
        }
        if parts.is_empty() {
            parts.push(
                if self.open_requests + self.inbox_new > 0 { "working" } else { "all is done" }.to_owned(),
            );
        }
        if self.needs.is_empty() {
            parts.push("nothing needs you".to_owned());
        }
        parts.join(", ")
    }

    /// Whether all is as it should be.
    pub(super) fn is_well(&self) -> bool {
        let in_doubt = self.jobs.iter().any(|open| open.job.state == "in_doubt");
        let blocked = self.accounts.iter().any(|account| account.blocked_until.is_some());
        self.worker.running && self.needs.is_empty() && !in_doubt && !blocked
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn request(id: i64, status: &str) -> Request {
        Request {
            id,
            account: "default".to_owned(),
            action: "unlock_contact_emails".to_owned(),
            event_id: None,
            task_id: None,
            query: None,
            max_pages: 1,
            reference: Some(format!("crm-{id}")),
            max_credits: None,
            status: status.to_owned(),
            reason: None,
            quoted_credits: Some(600),
            approved_credits: None,
            committed_credits: 0,
            contacts: 40,
            pending: 40,
            delivered: 0,
            created_at: Some(Time(0)),
            taken_at: Some(Time(0)),
            finished_at: matches!(status, "done" | "cancelled" | "rejected").then_some(Time(9_000)),
        }
    }

    pub(in super::super) fn job(id: i64, state: &str, reason: Option<&str>) -> OpenJob {
        let job = jobs::Job {
            id,
            account: "default".to_owned(),
            action: "unlock_contact_emails".to_owned(),
            event_id: None,
            task_id: Some("321".to_owned()),
            state: state.to_owned(),
            state_reason: reason.map(str::to_owned),
            contacts: 100,
            cost: Some(1_500),
            adopted: false,
            poll_count: 2,
            next_poll_at: (state == "polling").then_some(Time(15_000)),
            due_at: None,
            failures: 0,
            looks: 0,
            evidence: None,
            doubt_since: None,
            created_at: Time(0),
            submitted_at: Some(Time(1_000)),
            finished_at: None,
        };
        OpenJob { job, settled: 74, delivered: 71 }
    }

    pub(in super::super) fn model(requests: Vec<Request>, jobs: Vec<OpenJob>) -> Model {
        let account = Account {
            account: "default".to_owned(),
            balance: Some(3_235),
            balance_at: Some(Time(7_000)),
            held: 1_845,
            free: Some(890),
            spent_today: 7_245,
            rate_used: 41,
            rate_limit: 120,
            ..Account::default()
        };
        let worker = Worker { running: true, pid: 7, started_at: Some(Time(0)), seen_at: Some(Time(9_000)) };
        let mut model = Model {
            at: Some(Time(10_000)),
            worker,
            accounts: vec![account],
            open_requests: requests.len() as i64,
            open_jobs: jobs.len() as i64,
            requests,
            jobs,
            ..Model::default()
        };
        model.needs = needs(&model);
        model
    }

    fn reasons(model: &Model) -> Vec<&'static str> {
        needs(model).iter().map(|need| need.reason).collect()
    }

    #[test]
    fn what_may_have_been_paid_for_needs_a_person_first() {
        let jobs = vec![
            job(1, "polling", None),
            job(2, "queued", Some("insufficient_credits")),
            job(3, "in_doubt", Some("looking")),
            job(4, "in_doubt", Some("needs_decision")),
            job(5, "queued", Some("budget")),
            job(6, "queued", Some("invalid_api_key")),
        ];
        let mut model = model(vec![request(1, "accepted"), request(2, "awaiting_approval")], jobs);
        assert_eq!(
            reasons(&model),
            ["needs_decision", "awaiting_approval", "invalid_api_key", "insufficient_credits", "budget"],
            "a job waits for a key, and none was refused: there is none"
        );
        model.accounts[0].paused_at = Some(Time(0));
        model.accounts[0].refused_key = Some("3fa1c2d9".to_owned());
        model.accounts[0].expired_jobs = 1;
        assert_eq!(
            reasons(&model)[2..],
            ["invalid_api_key", "insufficient_credits", "budget", "expired", "paused"]
        );
        let other = Account { account: "other".to_owned(), ..Account::default() };
        model.accounts = vec![other];
        assert_eq!(reasons(&model), ["needs_decision", "awaiting_approval"], "another account's jobs");
    }

    #[test]
    fn the_health_sentence_says_the_worst_first() {
        let mut model = model(vec![], vec![]);
        assert_eq!(model.health(), "all is done, nothing needs you");
        model.inbox_new = 1;
        assert_eq!(model.health(), "working, nothing needs you");
        model.jobs = vec![job(4, "in_doubt", Some("needs_decision"))];
        model.needs = needs(&model);
        assert_eq!(model.health(), "1 thing needs you, 1 job in doubt");
        model.worker.running = false;
        assert!(model.health().starts_with("no worker is running"), "{}", model.health());
    }
}
