//! The state of the work, read from the database at one moment, and what needs a person.
//!
//! Reads only, so it works with or without a running worker. It holds no contact's id or value.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Serialize;

use crate::config::Config;
use crate::domain::needs::Stop;
use crate::domain::{self, Action, Credits, Layers, Millis};
use crate::store::credits::warnings::{self, Told};
use crate::store::inbox::fault::Fault;
use crate::store::postgres::members::{self, Gone};
use crate::store::report::accounts::{Account, Limits};
use crate::store::report::jobs::OpenJob;
use crate::store::report::requests::Request;
use crate::store::report::{self, Time, accounts, jobs, requests};
use crate::store::{Store, StoreError};
use crate::store::{disk, lease};
use crate::worker::people::explain::{self, OwnerServed};
use crate::worker::people::needs;

use super::super::show::{grouped, plural};

/// Rows of each kind that are read; the others are only counted.
const AT_MOST: u32 = 100;
const ENDED_AT_MOST: u32 = 50;

/// Everything that is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Model {
    pub(super) at: Option<Time>,
    pub(super) worker: Worker,
    /// The workers that share the database; empty when one has all of it.
    pub(super) owners: Vec<OwnerServed>,
    /// Those that were killed or cut off lately.
    pub(super) gone: Vec<Gone>,
    pub(super) accounts: Vec<Account>,
    /// Nothing is bought while there may be no room to record it.
    pub(super) disk_is_full: bool,
    /// What keeps anything from being bought; the needs have it, too.
    #[serde(skip)]
    pub(super) stop: Option<Stop>,
    /// That the database counts as an older copy.
    pub(super) distrust: Option<String>,
    /// Rows of the inbox that no worker has taken.
    pub(super) inbox_new: i64,
    /// Why the inbox cannot be read or written.
    pub(super) inbox_faults: Vec<Fault>,
    /// The limits on credits that are spent to a half or more, the most spent first.
    pub(super) budget_warnings: Vec<Told>,
    pub(super) needs: Vec<Need>,
    /// The full count: the list is bounded.
    pub(super) needs_total: u64,
    pub(super) open_requests: i64,
    pub(super) requests: Vec<Request>,
    pub(super) open_jobs: i64,
    pub(super) jobs: Vec<OpenJob>,
    pub(super) ended: Vec<Request>,
}

/// The daemon, as its lease shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Worker {
    pub(super) running: bool,
    pub(super) pid: i64,
    pub(super) started_at: Option<Time>,
    pub(super) seen_at: Option<Time>,
    /// None has given it back since.
    #[serde(skip)]
    pub(super) is_held: bool,
}

async fn workers(store: &Store) -> Result<(Vec<OwnerServed>, Vec<Gone>), StoreError> {
    let seen = members::read(store).await?.unwrap_or_default();
    Ok((seen.owners.iter().map(|row| OwnerServed::of(&seen, row)).collect(), seen.gone))
}

/// Work that continues only after a person acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Need {
    pub(super) reason: &'static str,
    /// `None`: it is about all of them.
    pub(super) account: Option<String>,
    pub(super) request_id: Option<i64>,
    pub(super) job_id: Option<i64>,
    /// Credits that it concerns.
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
        monthly_limit: config.credits.monthly_limit.map(Credits),
    };
    let (owners, gone) = workers(store).await?;
    let mut model = Model {
        at: Some(now.into()),
        worker: Worker {
            running: lease.is_alive(now),
            pid: lease.pid,
            started_at: Some(Time(lease.started_at)).filter(|at| at.0 > 0),
            seen_at: Some(Time(lease.renewed_at)).filter(|at| at.0 > 0),
            is_held: lease.is_held(),
        },
        owners,
        gone,
        disk_is_full: disk::is_nearly_full(store),
        inbox_new: work.inbox,
        inbox_faults: work.inbox_faults,
        budget_warnings: warnings::present(store.readers(), now).await?,
        open_requests: work.open_requests,
        open_jobs: work.open_jobs,
        requests: requests::open(store, AT_MOST).await?,
        jobs: jobs::open(store, AT_MOST).await?,
        ended: requests::ended(store, ENDED_AT_MOST).await?,
        ..Model::default()
    };
    model.budget_warnings.sort_by_key(|told| Reverse(told.percent));
    let works = needs::works(store, config).await?;
    for work in &works {
        model.accounts.push(accounts::read(store, work, limits, now).await?);
    }
    // Only the worker knows which keys it has; its rows show when one is missing.
    let needs = needs::read(store, config, &works, |_| true).await?;
    needs::urgent_first(&mut model.accounts, &needs.list);
    model.distrust = needs::distrust(&works);
    model.stop = needs.list.iter().find_map(|need| match need {
        domain::needs::Need::Stopped { stop } => Some(*stop),
        _ => None,
    });
    model.needs_total = needs.total;
    model.needs = needs.list.iter().map(|need| Need::new(need, &model)).collect();
    Ok(model)
}

impl Need {
    fn new(need: &domain::needs::Need, model: &Model) -> Need {
        Need {
            reason: need.reason(),
            account: need.account().map(ToString::to_string),
            request_id: need.request().map(|id| id.0),
            job_id: need.job().map(|id| id.0),
            credits: need.credits().map(|credits| credits.0),
            what: short(need, model),
            to_do: need.to_do(),
            keys: keys(need),
        }
    }
}

/// In few words, since the whole row has to fit.
fn short(need: &domain::needs::Need, model: &Model) -> String {
    use domain::needs::Need::{Approval, Decision};
    match need {
        Decision { job, credits, .. } => {
            format!("job {job}: {} credits may be spent, its answer was lost", grouped(credits.0))
        }
        Approval { request: id, credits, .. } => {
            let row = model.requests.iter().find(|request| request.id == id.0);
            let about = row.map_or_else(|| "see the page".to_owned(), asked_for);
            format!("request {id}: at most {} credits, {about}", grouped(credits.0))
        }
        need => need.what(),
    }
}

/// What to do in the live view: which key.
fn keys(need: &domain::needs::Need) -> String {
    use domain::needs::Need::{
        Approval, Budget, Credits, Decision, Expired, Inbox, KeyRefused, NoKey, NotConfigured, Overcharged,
        Paused, Stopped,
    };
    match need {
        Decision { job, .. } => format!("Enter; unlockd resolve {job}"),
        Approval { .. } => "a approves, c cancels".to_owned(),
        KeyRefused { why, .. } if why.is_forbidden() => "renew it, then r resumes".to_owned(),
        KeyRefused { .. } => "put a valid key there".to_owned(),
        NoKey { .. } => "put a key there".to_owned(),
        NotConfigured { .. } => "configure it again".to_owned(),
        Credits { .. } => "top up, or r resumes".to_owned(),
        Budget { limits, .. } => format!("raise it, or wait a {}", limits.period()),
        Overcharged { .. } => "unlockd audit, then r resumes".to_owned(),
        Paused { .. } => "r resumes".to_owned(),
        Expired { .. } => "r polls again".to_owned(),
        Inbox { .. } => "unlockd check".to_owned(),
        Stopped { stop } => match stop {
            Stop::NotReplicated(_) => "unlockd check".to_owned(),
            Stop::DiskFull { .. } => "make room".to_owned(),
        },
    }
}

/// The content of a request, in a few words.
pub(super) fn asked_for(request: &Request) -> String {
    let action = Action::parse(&request.action);
    match (action.and_then(Action::layers), &request.task_id) {
        (Some(Layers::Base), _) => "an event".to_owned(),
        (Some(Layers::Visitors), _) => "an event's visitors".to_owned(),
        (Some(Layers::Both), _) => "an event, in full".to_owned(),
        _ if action.is_some_and(Action::is_search) => "a search".to_owned(),
        (_, Some(_)) if request.contacts == 0 => "an adopted task".to_owned(),
        _ => plural(request.contacts, "contact"),
    }
}

impl Model {
    /// The state of everything, in one sentence.
    pub(super) fn health(&self) -> String {
        let stopped = self.stop.map(Stop::what);
        if !self.worker.running {
            return match self.worker.seen_at {
                Some(at) if self.worker.is_held && self.stop.is_some_and(Stop::hides_workers) => format!(
                    "{}, so no worker can show that it lives (last at {at})",
                    stopped.unwrap_or_default()
                ),
                Some(_) => explain::no_worker_in_short(self.worker.is_held).to_owned(),
                None => "no worker has run on this database yet: unlockd run".to_owned(),
            };
        }
        let doubtful = self.jobs.iter().filter(|open| open.job.state == "in_doubt").count() as i64;
        let mut parts: Vec<String> = stopped.into_iter().collect();
        if !self.needs.is_empty() {
            let verb = if self.needs_total == 1 { "needs" } else { "need" };
            parts.push(format!("{} {verb} you", plural(self.needs_total as i64, "thing")));
        }
        if doubtful > 0 {
            parts.push(format!("{} in doubt", plural(doubtful, "job")));
        }
        parts.extend(self.obstacle());
        parts.extend(self.budget_warnings.first().map(Told::what));
        if parts.is_empty() {
            parts.push(
                if self.open_requests + self.inbox_new > 0 { "working" } else { "all is done" }.to_owned(),
            );
        }
        parts.extend(self.distrust.clone());
        if self.needs.is_empty() {
            parts.push("nothing needs you".to_owned());
        }
        parts.join(", ")
    }

    /// The processes that share the owners, and the host of each; none when one has all of the database.
    pub(super) fn workers(&self) -> BTreeSet<(&str, i64)> {
        self.owners.iter().filter_map(|row| Some((row.host.as_deref()?, row.pid?))).collect()
    }

    /// The first thing that stops calls at present and ends without a person.
    fn obstacle(&self) -> Option<String> {
        let now = self.at.map_or(Millis(0), |at| Millis(at.0));
        if let Some(fault) = self.inbox_faults.first() {
            return Some(fault.what());
        }
        if let Some(silence) = self.owners.iter().find_map(OwnerServed::silence) {
            return Some(silence);
        }
        if let Some(row) = self.owners.iter().find(|row| row.host.is_none()) {
            return Some(format!("no worker serves owner {}", row.owner));
        }
        let of = |account: &Account| Some((account.account.clone(), account.api_trouble.clone()?));
        if let Some((account, trouble)) = self.accounts.iter().find_map(of) {
            let named = if self.accounts.len() > 1 { format!(" ({account})") } else { String::new() };
            return Some(format!("{}{named}, {}", trouble.what(), trouble.next_try(now)));
        }
        let blocked = self.accounts.iter().find_map(|account| account.blocked_until);
        blocked.map(|until| format!("the API asked to wait until {until}"))
    }

    /// Whether there is no problem.
    pub(super) fn is_well(&self) -> bool {
        let in_doubt = self.jobs.iter().any(|open| open.job.state == "in_doubt");
        self.worker.running && self.needs.is_empty() && !in_doubt && self.obstacle().is_none()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::AccountId;
    use crate::domain::durability::Lack;

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
            caller: None,
            agent: None,
            purpose: None,
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
        OpenJob { job, settled: 74, delivered: 71, asked: 100 }
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
        let worker = Worker {
            running: true,
            pid: 7,
            started_at: Some(Time(0)),
            seen_at: Some(Time(9_000)),
            is_held: true,
        };
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
        model.needs_total = model.needs.len() as u64;
        model
    }

    /// The needs that the rows of a test stand for.
    pub(in crate::cli::watch) fn needs(model: &Model) -> Vec<Need> {
        use domain::needs::{Need as Needed, Parked};
        let account = |name: &str| AccountId::trusted(name.to_owned());
        let mut list = Vec::new();
        for open in &model.jobs {
            let crate::store::report::jobs::Job { id, account: name, state, state_reason, cost, .. } =
                &open.job;
            let work = Parked { jobs: 1, oldest: Some(domain::JobId(*id)), ..Parked::default() };
            match (state.as_str(), state_reason.as_deref()) {
                ("in_doubt", Some("needs_decision")) => list.push(Needed::Decision {
                    account: account(name),
                    job: domain::JobId(*id),
                    credits: Credits(cost.unwrap_or_default()),
                }),
                ("queued", Some("insufficient_credits")) => {
                    list.push(Needed::Credits { account: account(name), work });
                }
                _ => {}
            }
        }
        for request in model.requests.iter().filter(|request| request.status == "awaiting_approval") {
            list.push(Needed::Approval {
                account: account(&request.account),
                request: domain::RequestId(request.id),
                credits: Credits(request.quoted_credits.unwrap_or_default()),
            });
        }
        list.sort();
        list.iter().map(|need| Need::new(need, model)).collect()
    }

    #[test]
    fn the_health_sentence_says_the_worst_first() {
        let mut model = model(vec![], vec![]);
        assert_eq!(model.health(), "all is done, nothing needs you");
        model.inbox_new = 1;
        assert_eq!(model.health(), "working, nothing needs you");
        model.jobs = vec![job(4, "in_doubt", Some("needs_decision"))];
        model.needs = needs(&model);
        model.needs_total = model.needs.len() as u64;
        model.budget_warnings = vec![Told {
            subject: "default".to_owned(),
            limit_name: "daily_limit".to_owned(),
            period: Time(0),
            percent: 80,
            spent: 80,
            credits: 100,
            at: Time(0),
        }];
        let budget = "owner default: 80 % of credits.daily_limit is spent (80 of 100)";
        assert_eq!(model.health(), format!("1 thing needs you, 1 job in doubt, {budget}"));
        model.worker.running = false;
        assert!(model.health().starts_with("no worker shows that it lives, so"), "{}", model.health());
        model.worker.is_held = false;
        assert!(model.health().starts_with("no worker is running, so"), "{}", model.health());
    }

    #[test]
    fn while_nothing_can_be_bought_the_first_words_say_so_and_never_that_nothing_needs_you() {
        let stops = [Lack::NoneNamed, Lack::NoneConnected].map(Stop::NotReplicated);
        for stop in stops.into_iter().chain([Stop::DiskFull { free: 1, needed: 8 }]) {
            let mut model = model(vec![], vec![]);
            let need = domain::needs::Need::Stopped { stop };
            (model.stop, model.needs, model.needs_total) = (Some(stop), vec![Need::new(&need, &model)], 1);
            let health = model.health();
            assert_eq!(health, format!("{}, 1 thing needs you", stop.what()));
            model.worker.running = false;
            let health = model.health();
            match stop.hides_workers() {
                true => assert!(
                    health.starts_with(&stop.what()) && health.contains("show that it lives"),
                    "{health}"
                ),
                false => assert!(health.starts_with("no worker shows that it lives, so"), "{health}"),
            }
        }
        let distrust = Some("since then the database counts as an older copy".to_owned());
        let distrusted = Model { distrust, ..model(vec![], vec![]) };
        assert!(distrusted.health().contains("older copy"), "{}", distrusted.health());
    }
}
