//! Reads the values of contacts that are unlocked already from lists, if that takes fewer calls than their profiles.
//!
//! Part of the [`profile`](super::profile) pass: each run asks for one page at most, and what no list gives is
//! read from profiles as before. Whether a list is worth a page is decided by [`crate::domain::bulk`]; this
//! counts what is wanted, asks, and records the values of a page in one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::api::Caller;
use crate::domain::bulk::{Companies, Debt, FEWEST, List, ListPage, Progress};
use crate::domain::failure::ReadFailure;
use crate::domain::outcome::{Access, Outcome};
use crate::domain::turns::Class;
use crate::domain::{AccountId, Action, JobId, Millis, PersonnelId, profile_wait};
use crate::store::items::reading::{Due, ToRead};
use crate::store::items::{reading, waiting};
use crate::store::jobs::{Job, due};
use crate::store::{StoreError, items, jobs, requests, timeline};
use crate::worker::gate::Gate;
use crate::worker::read_again::{end_if_read, judge};
use crate::worker::{Deps, Report, read_failure};

/// Items that are due, looked at in one run.
const MOST_DUE: u32 = 2_000;

/// If a precheck is about to find more contacts of the same event, the list waits for them for this long, in
/// milliseconds, and is then read once for all of them.
const MORE_COME_WITHIN_MS: i64 = 5_000;

/// After this many failed calls for a page in a row the list is given up, and the contacts are read from profiles.
const TRIES: u32 = 3;

/// The most lists of one account and action that are remembered at a time.
const MOST_LISTS: usize = 200;

/// What is known about the lists of one account and action. Lost on a restart, which only costs free calls.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    by_list: HashMap<List, Progress>,
    companies: Companies,
    debt: Debt,
    /// Contacts that a list has named without their value: another list would do the same.
    unhelped: HashSet<PersonnelId>,
}

impl Lists {
    /// The page that is worth asking for.
    fn next(&mut self, list: &List, wanted: usize) -> Option<u32> {
        let has_room = self.by_list.len() < MOST_LISTS || self.by_list.contains_key(list);
        if has_room { self.progress(list).next(wanted) } else { None }
    }

    fn progress(&mut self, list: &List) -> &mut Progress {
        self.by_list.entry(list.clone()).or_default()
    }
}

/// Forgets an account's lists, when no contact of it is read any more: they will have changed by the next time.
pub(super) fn forget(deps: &Deps, account: &AccountId) {
    deps.lists().retain(|(of, _), _| of != account);
}

/// Notes that a contact's profile was read, and its company.
pub(super) fn note_profile(deps: &Deps, account: &AccountId, action: Action, company: Option<&str>) {
    let mut all = deps.lists();
    let lists = all.entry((account.clone(), action)).or_default();
    lists.debt.profile();
    lists.companies.note(company);
}

/// Asks for a page, if one is worth it. `None`: the profiles are.
pub(super) async fn run(deps: &Deps, gate: &Gate, now: Millis) -> Result<Option<Report>, StoreError> {
    let groups = reading::due_by_event(deps.store.readers(), &gate.account, now, MOST_DUE).await?;
    let groups: Vec<Due> = groups.into_iter().filter(|due| due.action.channel().is_some()).collect();
    for due in &groups {
        let Some(event_id) = due.event_id.clone() else { continue };
        let list = List::Event(event_id);
        let Some(page) = page_of_event(deps, &gate.account, due, &list, now).await? else { continue };
        if page == 1 {
            let until = due.since.plus(MORE_COME_WITHIN_MS);
            if until > now && more_come(deps, &gate.account, due, now).await? {
                return Ok(Some(Report::at(until)));
            }
            deps.lists()
                .entry((gate.account.clone(), due.action))
                .or_default()
                .progress(&list)
                .covers(now, due.last_item);
        }
        return ask(deps, gate, (due.action, &list), page).await.map(Some);
    }
    for action in [Action::UnlockContactEmails, Action::UnlockContactPhones] {
        let due = groups.iter().filter(|due| due.action == action).map(|due| due.contacts).sum();
        if let Some((list, page)) = page_of_company(deps, &gate.account, action, due) {
            return ask(deps, gate, (action, &list), page).await.map(Some);
        }
    }
    Ok(None)
}

/// The page of an event's people that is worth asking for.
async fn page_of_event(
    deps: &Deps,
    account: &AccountId,
    due: &Due,
    list: &List,
    now: Millis,
) -> Result<Option<u32>, StoreError> {
    let key = (account.clone(), due.action);
    let known = deps.lists().get(&key).and_then(|lists| lists.by_list.get(list)).cloned();
    let mut wanted = due.contacts;
    let mut begins = false;
    if let Some(progress) = known.filter(Progress::has_begun) {
        let later = reading::due_after(deps.store.readers(), account, due, progress.upto, now).await?;
        // Those that it was begun for are gone: what is due now may be on the pages before.
        begins = !progress.is_under_way() || later == due.contacts;
        wanted = if progress.is_under_way() { wanted } else { later };
    }
    if begins && wanted < FEWEST {
        return Ok(None);
    }
    let mut all = deps.lists();
    let lists = all.entry(key).or_default();
    if !lists.debt.allows(wanted) {
        return Ok(None);
    }
    if begins && let Some(progress) = lists.by_list.get_mut(list) {
        progress.begin();
    }
    Ok(lists.next(list, wanted))
}

/// The page of a company's people that is worth asking for, when so many contacts of an action are due.
fn page_of_company(deps: &Deps, account: &AccountId, action: Action, due: usize) -> Option<(List, u32)> {
    let mut all = deps.lists();
    let lists = all.get_mut(&(account.clone(), action))?;
    let wanted = due.saturating_sub(lists.unhelped.len());
    if !lists.debt.allows(wanted) {
        return None;
    }
    while let Some(name) = lists.companies.worth_searching(wanted).map(str::to_owned) {
        let list = List::Company(name.clone());
        match lists.next(&list, wanted) {
            Some(page) => return Some((list, page)),
            None => lists.companies.searched(&name),
        }
    }
    None
}

/// Whether contacts of the same event are about to be sorted.
async fn more_come(deps: &Deps, account: &AccountId, due: &Due, now: Millis) -> Result<bool, StoreError> {
    let (readers, event_id) = (deps.store.readers(), due.event_id.as_ref());
    let is_alike = |job: Job| job.action == due.action && job.event_id.as_ref() == event_id;
    Ok(due::ready(readers, account, now).await?.is_some_and(is_alike)
        || waiting::has_company(readers, account, due.action, event_id).await?)
}

async fn ask(
    deps: &Deps,
    gate: &Gate,
    (action, list): (Action, &List),
    page: u32,
) -> Result<Report, StoreError> {
    let Some(channel) = action.channel() else { return Ok(Report::idle()) };
    let event_id = match list {
        List::Event(event_id) => Some(event_id),
        List::Company(_) => None,
    };
    let ask = async |caller: Caller<'_>, at| gate.client.people(caller, at, channel, list, page).await;
    let answer = match gate.call(Class::Background, (None, event_id), ask).await?.or_report() {
        Ok(answer) => answer,
        Err(report) => return Ok(report),
    };
    let key = (gate.account.clone(), action);
    match answer {
        Ok(answer) => {
            let values = take(deps, &key, list, &answer).await?;
            let mut all = deps.lists();
            let lists = all.entry(key).or_default();
            lists.debt.page(values);
            lists.progress(list).take(&answer, list.page_size(), values);
        }
        Err(error) => {
            let mut all = deps.lists();
            let lists = all.entry(key).or_default();
            match read_failure(&error) {
                ReadFailure::Gone => {
                    lists.debt.page(0);
                    lists.progress(list).end();
                }
                ReadFailure::TryAgain => {
                    lists.debt.page(0);
                    let progress = lists.progress(list);
                    progress.failures += 1;
                    if progress.failures >= TRIES {
                        progress.end();
                    }
                    return Ok(Report::at(gate.trouble_until().max(deps.clock.now().plus(1_000))));
                }
                ReadFailure::WaitForRateLimit { .. } | ReadFailure::StopAccount => {}
            }
        }
    }
    Ok(Report::did(1))
}

/// What a page says about contacts that are waited for.
#[derive(Default)]
struct Found {
    delivered: BTreeMap<JobId, Vec<(PersonnelId, Outcome)>>,
    /// Being unlocked: no profile need say so again at once.
    later: Vec<(ToRead, Millis)>,
}

/// Records the values of a page, and returns how many it brought. A contact that it does not give, or shows without a
/// value, is left to its profile.
async fn take(
    deps: &Deps,
    key: &(AccountId, Action),
    list: &List,
    page: &ListPage,
) -> Result<usize, StoreError> {
    let now = deps.clock.now();
    let views: HashMap<_, _> =
        page.people.iter().map(|person| (&person.personnel_id, &person.view)).collect();
    let ids: Vec<PersonnelId> = views.keys().map(|id| (*id).clone()).collect();
    let waited_for = reading::waited_for(deps.store.readers(), &key.0, key.1, &ids).await?;
    let mut found = Found::default();
    for contact in waited_for {
        let Some(view) = views.get(&contact.personnel_id) else { continue };
        let mut all = deps.lists();
        let lists = all.entry(key.clone()).or_default();
        lists.companies.note(view.company.as_deref());
        let ended = match view.access.is_locked() {
            true => None,
            false => judge(deps, &contact, view, now),
        };
        match ended {
            Some(outcome @ Outcome::Delivered { .. }) => {
                let of_job = found.delivered.entry(contact.job_id).or_default();
                of_job.push((contact.personnel_id, outcome));
            }
            _ if lists.unhelped.len() < MOST_DUE as usize => {
                lists.unhelped.insert(contact.personnel_id.clone());
                if ended.is_none() && view.access == Access::InProgress && contact.read_at <= now {
                    let again = now.plus(profile_wait::pause_ms(contact.reads));
                    found.later.push((contact, again));
                }
            }
            _ => {}
        }
    }
    let values: HashSet<&PersonnelId> =
        found.delivered.values().flatten().map(|(personnel_id, _)| personnel_id).collect();
    let values = values.len();
    record(deps, found, list.in_words(), now).await?;
    Ok(values)
}

async fn record(deps: &Deps, found: Found, list: String, now: Millis) -> Result<(), StoreError> {
    let mut delivered = Vec::new();
    for (job_id, outcomes) in found.delivered {
        if let Some(job) = jobs::read(deps.store.readers(), job_id).await? {
            delivered.push((job, outcomes));
        }
    }
    if delivered.is_empty() && found.later.is_empty() {
        return Ok(());
    }
    let later = found.later;
    deps.store
        .write(move |tx| {
            Box::pin(async move {
                for (contact, again) in later {
                    reading::note_said(&mut *tx, contact.job_id, &contact.personnel_id, Access::InProgress)
                        .await?;
                    reading::read_again(&mut *tx, contact.job_id, &contact.personnel_id, (again, true), now)
                        .await?;
                }
                for (job, outcomes) in delivered {
                    let (job_id, count) = (job.id, outcomes.len());
                    items::finish(&mut *tx, job_id, job.event_id.as_ref(), &outcomes, now).await?;
                    let detail = format!("{count} values were read from a page of {list}");
                    timeline::of_job(&mut *tx, now, job_id, "values_listed", &detail).await?;
                    end_if_read(&mut *tx, job, now).await?;
                    requests::finish_complete_of_job(&mut *tx, job_id, now).await?;
                }
                Ok(())
            })
        })
        .await
}
