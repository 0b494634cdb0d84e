//! The arguments of `enqueue` and `plan`, and the request that they describe.
//!
//! A row that the worker would reject is refused here, before it is written, by the same rules.

use std::path::PathBuf;

use super::{Failure, account, ids};
use crate::config::Config;
use crate::domain::request::{self, Contacts, RawRow, UnlockRequest};
use crate::domain::{AccountId, Action};
use crate::store::inbox::Enqueue;

/// The options that ask for something else than contacts: one of them, and none of those about contacts.
const WITHOUT_CONTACTS: &str = "without_contacts";

/// The arguments of `enqueue`; `plan` takes the same.
#[derive(clap::Args)]
pub(super) struct Wanted {
    /// Contact ids; `-` reads them from standard input
    #[arg(value_name = "ID", conflicts_with = WITHOUT_CONTACTS)]
    ids: Vec<String>,
    /// The event that the contacts belong to
    #[arg(long, value_name = "ID", conflicts_with = WITHOUT_CONTACTS)]
    event: Option<String>,
    /// Buy phones instead of emails
    #[arg(long, conflicts_with = WITHOUT_CONTACTS)]
    phones: bool,
    /// Unlock an event instead: base access, all of its exhibitors and their staff (2,000 credits the first time)
    #[arg(long, value_name = "ID", group = WITHOUT_CONTACTS)]
    unlock_event: Option<String>,
    /// Unlock the registered attendees of an event instead; base access comes first (3,000 credits the first time)
    #[arg(long, value_name = "ID", group = WITHOUT_CONTACTS)]
    unlock_visitors: Option<String>,
    /// Unlock both layers of an event instead; only what is locked is charged (5,000 credits at most)
    #[arg(long, value_name = "ID", group = WITHOUT_CONTACTS)]
    full_access: Option<String>,
    /// Search exhibitors by company name instead (50 credits for each page that finds something)
    #[arg(long, value_name = "NAME", group = WITHOUT_CONTACTS)]
    search_companies: Option<String>,
    /// Search the events at which a company exhibits instead; costs the same
    #[arg(long, value_name = "NAME", group = WITHOUT_CONTACTS)]
    search_events: Option<String>,
    /// Search the events of a person by full name instead; costs the same
    #[arg(long, value_name = "NAME", group = WITHOUT_CONTACTS)]
    search_person: Option<String>,
    /// Pages of a search to buy at most, 100 results each
    #[arg(long, value_name = "N",
        conflicts_with_all = ["ids", "file", "unlock_event", "unlock_visitors", "full_access"])]
    max_pages: Option<u32>,
    /// One id a line, or CSV with a column personnel_id in any spelling; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = WITHOUT_CONTACTS)]
    file: Option<PathBuf>,
    /// The column of the file that holds the ids, when it is not called personnel_id
    #[arg(long, value_name = "NAME", conflicts_with = WITHOUT_CONTACTS)]
    column: Option<String>,
    /// Your own reference text, copied to every result
    #[arg(long, value_name = "R")]
    reference: Option<String>,
    /// Enqueue only once: the same request with this key again writes nothing, a different one is refused
    #[arg(long, value_name = "K")]
    dedupe_key: Option<String>,
    /// Never spend more than this on the request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_credits: Option<i64>,
    /// Approve the cost now: the request does not wait for an approval
    #[arg(long)]
    approve: bool,
    /// The account that pays
    #[arg(long, value_name = "A", default_value = "default")]
    account: String,
}

/// A valid row, and the request parsed from it.
pub(super) struct Understood {
    pub(super) row: Enqueue,
    pub(super) request: UnlockRequest,
    /// Ids as they were given, repeats included.
    pub(super) given: usize,
    /// The files that were read, and the lines without an id.
    pub(super) lists: Vec<ids::List>,
}

impl Understood {
    pub(super) fn contacts(&self) -> &Contacts {
        self.request.contacts()
    }
}

impl Wanted {
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    pub(super) fn dedupe_key(&self) -> Option<&str> {
        self.dedupe_key.as_deref()
    }

    /// Reads the ids and checks the row as the worker will.
    pub(super) fn understand(self, config: &Config) -> Result<Understood, Failure> {
        if self.approve && !config.credits.approve_from_inbox {
            return Err(Failure::refused(
                "--approve is not possible here: the configuration ignores approvals in rows \
                 (credits.approve_from_inbox = false). Enqueue without it, then: unlockd approve ID --credits N. \
                 Nothing was written and nothing is bought"
                    .to_owned(),
            ));
        }
        let (action, event_id, query) = self.what();
        if let Some(event) =
            event_id.as_deref().filter(|event| event.trim().is_empty() || event.contains([',', ';', ' ']))
        {
            return Err(Failure::usage(anyhow::anyhow!(
                "{event:?} is not one event: give its id, such as --event 139574, or leave the option out.\n\
                 Nothing was written and nothing is bought."
            )));
        }
        let ids::Collected { ids, lists } = match action.channel() {
            Some(_) => {
                ids::collect(&self.ids, self.file.as_deref(), self.column.as_deref(), event_id.as_deref())
                    .map_err(|error| {
                        Failure::usage(anyhow::anyhow!(
                            "{error:#}\nNothing was written and nothing is bought."
                        ))
                    })?
            }
            None => ids::Collected::default(),
        };
        let mut row = Enqueue {
            account: self.account,
            action: action.to_string(),
            event_id,
            personnel_ids: action.channel().map(|_| serde_json::json!(ids).to_string()),
            task_id: None,
            query,
            max_pages: self.max_pages,
            reference: self.reference,
            dedupe_key: self.dedupe_key,
            max_credits: self.max_credits,
            approved: self.approve,
            ..Enqueue::default()
        };
        let request = parse(&row, config)?;
        row.event_id = request.event_id.as_ref().map(ToString::to_string);
        Ok(Understood { request, given: ids.len(), lists, row })
    }

    /// The action, its event, and its query.
    fn what(&self) -> (Action, Option<String>, Option<String>) {
        let without_contacts = [
            (Action::UnlockEventContacts, &self.unlock_event),
            (Action::UnlockEventVisitors, &self.unlock_visitors),
            (Action::UnlockEventFullAccess, &self.full_access),
            (Action::SearchExhibitorCompanies, &self.search_companies),
            (Action::SearchExhibitorEvents, &self.search_events),
            (Action::SearchPersonnelEvents, &self.search_person),
        ];
        match without_contacts.into_iter().find(|(_, subject)| subject.is_some()) {
            Some((action, query)) if action.is_search() => (action, None, query.clone()),
            Some((action, event_id)) => (action, event_id.clone(), None),
            None => (contacts_action(self.phones), self.event.clone(), None),
        }
    }
}

pub(super) fn contacts_action(phones: bool) -> Action {
    if phones { Action::UnlockContactPhones } else { Action::UnlockContactEmails }
}

pub(super) fn parse(row: &Enqueue, config: &Config) -> Result<UnlockRequest, Failure> {
    let accounts: Vec<AccountId> = config.accounts.keys().map(AccountId::trusted).collect();
    account::named(config, &row.account).map_err(|Failure { code, error }| Failure {
        code,
        error: anyhow::anyhow!("{error:#}\nNothing was written and nothing is bought."),
    })?;
    request::parse(&RawRow::from(row), &accounts).map_err(|rejection| {
        Failure::usage(anyhow::anyhow!("{rejection}\nNothing was written and nothing is bought."))
    })
}
