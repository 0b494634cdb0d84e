//! What the API said about each contact → what became of it.
//!
//! Two answers are read here: a task ([`read`]), and a profile ([`read_profile`]); the groups of a
//! submission are read by [`super::division`]. A contact counts as delivered only when it is unlocked
//! and the email (or phone) is there; a status word that the documentation does not know is never an
//! end and never a delivery.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{ContactValue, PersonnelId};

/// What became of an item. The words are those of `contact_outcomes.outcome`; `pending` is the
/// absence of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered { value: ContactValue, source: Source },
    NoValue,
    Failed { error_code: Option<String> },
    Unresolved,
    NotReturned,
    Invalid,
    Missing,
    Unlinked,
    Rejected { error_code: Option<String> },
    Cancelled,
    Lost,
    Expired,
}

/// Where a delivered value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Task,
    Profile,
    Store,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Task => "task",
            Source::Profile => "profile",
            Source::Store => "store",
        }
    }
}

impl Outcome {
    /// The words of `action_results.outcome` that contacts do not have.
    pub const DIRECT_NAMES: [&'static str; 4] = ["unlocked", "already_unlocked", "found", "nothing_found"];

    /// Every word that can stand in `contact_outcomes.outcome`, `pending` first.
    pub const NAMES: [&'static str; 13] = [
        "pending",
        "delivered",
        "no_value",
        "failed",
        "unresolved",
        "not_returned",
        "invalid",
        "missing",
        "unlinked",
        "rejected",
        "cancelled",
        "lost",
        "expired",
    ];

    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Delivered { .. } => "delivered",
            Outcome::NoValue => "no_value",
            Outcome::Failed { .. } => "failed",
            Outcome::Unresolved => "unresolved",
            Outcome::NotReturned => "not_returned",
            Outcome::Invalid => "invalid",
            Outcome::Missing => "missing",
            Outcome::Unlinked => "unlinked",
            Outcome::Rejected { .. } => "rejected",
            Outcome::Cancelled => "cancelled",
            Outcome::Lost => "lost",
            Outcome::Expired => "expired",
        }
    }

    /// The API's own code for a failure, as sent.
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Outcome::Failed { error_code } | Outcome::Rejected { error_code } => error_code.as_deref(),
            _ => None,
        }
    }

    /// Whether the outcome says something about the contact whatever event it was asked for with.
    /// `unlinked` does not: another event may well have the contact.
    pub fn holds_for_other_events(&self) -> bool {
        !matches!(self, Outcome::Unlinked | Outcome::Rejected { .. } | Outcome::Cancelled)
    }
}

/// A task as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    pub status: TaskStatus,
    /// `None` when the answer has no list at all, which is not documented.
    pub items: Option<Vec<TaskItem>>,
}

impl TaskView {
    /// The same task, known to list nothing.
    pub fn without_items(&self) -> TaskView {
        TaskView { status: self.status, items: Some(Vec::new()) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// `pending`, `processing`, and every word that is not documented.
    Running,
    Completed,
    Failed,
}

impl TaskStatus {
    pub fn from_word(word: &str) -> TaskStatus {
        match word {
            "completed" => TaskStatus::Completed,
            "failed" => TaskStatus::Failed,
            _ => TaskStatus::Running,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskItem {
    /// `None` when the item names no contact.
    pub personnel_id: Option<PersonnelId>,
    pub status: ItemStatus,
    pub value: Option<ContactValue>,
    pub error_code: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemStatus {
    Unlocked,
    Failed,
    /// `pending`, `processing`, and every word that is not documented.
    Unfinished,
}

impl ItemStatus {
    pub fn from_word(word: &str) -> ItemStatus {
        match word {
            "unlocked" => ItemStatus::Unlocked,
            "failed" => ItemStatus::Failed,
            _ => ItemStatus::Unfinished,
        }
    }
}

/// What a task answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    StillRunning,
    /// Ended, but the answer has no list of items: it may be asked for again, or taken for an empty one
    /// ([`TaskView::without_items`]).
    EndedUnlisted,
    Ended {
        /// Whether the task's own end was `failed`.
        failed: bool,
        outcomes: Vec<(PersonnelId, Outcome)>,
        /// Items that name no contact, or one that nobody asked for; they are ignored.
        foreign: usize,
    },
}

/// Reads a task. `asked` holds the contacts of the job; an adopted task whose contacts are not
/// known is read with `None`, and every contact that it names is taken.
pub fn read(view: &TaskView, asked: Option<&BTreeSet<PersonnelId>>) -> Reading {
    let items = match (view.status, &view.items) {
        (TaskStatus::Running, _) => return Reading::StillRunning,
        (_, None) => return Reading::EndedUnlisted,
        (_, Some(items)) => items,
    };
    let mut named: BTreeMap<PersonnelId, Outcome> = BTreeMap::new();
    let mut foreign = 0;
    for item in items {
        let known = item.personnel_id.as_ref().filter(|id| asked.is_none_or(|asked| asked.contains(id)));
        let Some(personnel_id) = known else {
            foreign += 1;
            continue;
        };
        let outcome = item_outcome(item);
        let better = named.get(personnel_id).is_none_or(|seen| weight(&outcome) > weight(seen));
        if better {
            named.insert(personnel_id.clone(), outcome);
        }
    }
    for personnel_id in asked.into_iter().flatten() {
        named.entry(personnel_id.clone()).or_insert(Outcome::NotReturned);
    }
    Reading::Ended {
        failed: view.status == TaskStatus::Failed,
        outcomes: named.into_iter().collect(),
        foreign,
    }
}

fn item_outcome(item: &TaskItem) -> Outcome {
    match (item.status, &item.value) {
        (ItemStatus::Unlocked, Some(value)) => {
            Outcome::Delivered { value: value.clone(), source: Source::Task }
        }
        (ItemStatus::Unlocked, None) => Outcome::NoValue,
        (ItemStatus::Failed, _) => Outcome::Failed { error_code: item.error_code.clone() },
        (ItemStatus::Unfinished, _) => Outcome::Unresolved,
    }
}

/// When a task names a contact twice, the answer that says more counts.
fn weight(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Delivered { .. } => 3,
        Outcome::NoValue => 2,
        Outcome::Failed { .. } => 1,
        _ => 0,
    }
}

/// A contact's profile, as far as one channel is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileView {
    pub access: Access,
    pub value: Option<ContactValue>,
}

/// Whether this key has access to a contact's value. The vendor documents only `locked` for
/// emails, and `ready`, `processing`, `failed` for phones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Locked,
    InProgress,
    Unlocked,
    Failed,
    /// A word that is not documented.
    Unclear,
}

impl Access {
    pub fn from_word(word: Option<&str>) -> Access {
        match word {
            None | Some("locked") => Access::Locked,
            Some("pending" | "processing" | "unlocking") => Access::InProgress,
            Some("unlocked" | "ready") => Access::Unlocked,
            Some("failed") => Access::Failed,
            Some(_) => Access::Unclear,
        }
    }
}

/// What a profile says about a contact whose value is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileReading {
    Ended(Outcome),
    /// Nothing to hold on to yet.
    NotYet,
}

/// Reads a profile. `looks` is how often it was read before without a result: an unlocked contact
/// whose value is missing is looked at once more, since the value may lag behind the status.
pub fn read_profile(view: &ProfileView, looks: u32) -> ProfileReading {
    match (view.access, &view.value) {
        (Access::Locked, _) => ProfileReading::NotYet,
        (_, Some(value)) => {
            ProfileReading::Ended(Outcome::Delivered { value: value.clone(), source: Source::Profile })
        }
        (Access::Unlocked, None) if looks >= 1 => ProfileReading::Ended(Outcome::NoValue),
        (Access::Failed, None) => ProfileReading::Ended(Outcome::Failed { error_code: None }),
        (Access::Unlocked | Access::InProgress | Access::Unclear, None) => ProfileReading::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ids::Channel;
    use super::*;

    fn id(text: &str) -> PersonnelId {
        PersonnelId::parse(text).expect("digits")
    }

    fn email(text: &str) -> Option<ContactValue> {
        ContactValue::parse(Channel::Email, text)
    }

    fn item(personnel_id: &str, status: &str, value: Option<&str>) -> TaskItem {
        TaskItem {
            personnel_id: PersonnelId::parse(personnel_id),
            status: ItemStatus::from_word(status),
            value: value.and_then(email),
            error_code: (status == "failed").then(|| "NO_EMAIL_FOUND".to_owned()),
        }
    }

    fn ended(view: &TaskView, asked: &[&str]) -> BTreeMap<String, &'static str> {
        let asked = asked.iter().map(|text| id(text)).collect();
        match read(view, Some(&asked)) {
            Reading::Ended { outcomes, .. } => {
                outcomes.into_iter().map(|(id, outcome)| (id.as_str().to_owned(), outcome.name())).collect()
            }
            other => panic!("the task has ended: {other:?}"),
        }
    }

    #[test]
    fn every_case_of_the_outcome_table() {
        let view = TaskView {
            status: TaskStatus::Completed,
            items: Some(vec![
                item("1", "unlocked", Some("a@b.example")),
                item("2", "unlocked", None),
                item("3", "unlocked", Some("  ")),
                item("4", "failed", None),
                item("5", "pending", None),
                item("6", "processing", Some("early@b.example")),
                item("7", "dancing", Some("c@d.example")),
                item("8", "unlocked", Some("not a mail address")),
                item("99", "unlocked", Some("foreign@b.example")),
            ]),
        };
        let outcomes = ended(&view, &["1", "2", "3", "4", "5", "6", "7", "8", "10"]);
        let expected = [
            ("1", "delivered"),
            ("10", "not_returned"),
            ("2", "no_value"),
            ("3", "no_value"),
            ("4", "failed"),
            ("5", "unresolved"),
            ("6", "unresolved"),
            ("7", "unresolved"),
            ("8", "no_value"),
        ];
        assert_eq!(outcomes, expected.map(|(id, name)| (id.to_owned(), name)).into());
    }

    #[test]
    fn a_failed_task_still_delivers_what_it_unlocked() {
        let view = TaskView {
            status: TaskStatus::Failed,
            items: Some(vec![item("1", "unlocked", Some("a@b.example")), item("2", "pending", None)]),
        };
        let outcomes = ended(&view, &["1", "2"]);
        assert_eq!(outcomes["1"], "delivered");
        assert_eq!(outcomes["2"], "unresolved");
    }

    #[test]
    fn an_end_without_a_list_is_told_apart_from_one_that_lists_nothing() {
        let asked = [id("1")].into();
        for (status, failed) in [(TaskStatus::Completed, false), (TaskStatus::Failed, true)] {
            let view = TaskView { status, items: None };
            assert_eq!(read(&view, Some(&asked)), Reading::EndedUnlisted);
            let outcomes = vec![(id("1"), Outcome::NotReturned)];
            let empty = Reading::Ended { failed, outcomes, foreign: 0 };
            assert_eq!(read(&view.without_items(), Some(&asked)), empty);
        }
        let running = TaskView { status: TaskStatus::Running, items: None };
        assert_eq!(read(&running, Some(&asked)), Reading::StillRunning);
    }

    #[test]
    fn an_unknown_status_word_is_never_an_end() {
        for word in ["", "done", "COMPLETED", "cancelled", "success"] {
            let view = TaskView { status: TaskStatus::from_word(word), items: Some(vec![]) };
            assert_eq!(read(&view, None), Reading::StillRunning, "{word:?}");
        }
    }

    #[test]
    fn a_contact_named_twice_keeps_the_better_answer_in_either_order() {
        let mut items = vec![item("1", "failed", None), item("1", "unlocked", Some("a@b.example"))];
        for _ in 0..2 {
            items.reverse();
            let view = TaskView { status: TaskStatus::Completed, items: Some(items.clone()) };
            assert_eq!(ended(&view, &["1"])["1"], "delivered");
        }
    }

    #[test]
    fn of_two_answers_about_a_contact_the_one_that_says_more_counts() {
        let words =
            [("pending", None), ("failed", None), ("unlocked", None), ("unlocked", Some("a@b.example"))];
        let names = ["unresolved", "failed", "no_value", "delivered"];
        for (less, more) in (0..4).flat_map(|more| (0..=more).map(move |less| (less, more))) {
            for order in [[less, more], [more, less]] {
                let items = order.map(|index| item("1", words[index].0, words[index].1)).to_vec();
                let view = TaskView { status: TaskStatus::Completed, items: Some(items) };
                assert_eq!(ended(&view, &["1"])["1"], names[more], "{order:?}");
            }
        }
    }

    #[test]
    fn of_two_answers_that_say_as_much_the_first_counts() {
        let items = ["first@b.example", "second@b.example"].map(|value| item("1", "unlocked", Some(value)));
        let view = TaskView { status: TaskStatus::Completed, items: Some(items.to_vec()) };
        let Reading::Ended { outcomes, .. } = read(&view, None) else { panic!("it has ended") };
        let first = email("first@b.example").expect("usable");
        assert_eq!(outcomes, [(id("1"), Outcome::Delivered { value: first, source: Source::Task })]);
    }

    #[test]
    fn how_a_task_ended_and_whom_it_named_unasked_is_told() {
        let items =
            || vec![item("1", "failed", None), item("8", "failed", None), item("../9", "failed", None)];
        for (status, expected) in [(TaskStatus::Completed, false), (TaskStatus::Failed, true)] {
            let view = TaskView { status, items: Some(items()) };
            let Reading::Ended { failed, foreign, .. } = read(&view, Some(&[id("1")].into())) else {
                panic!("it has ended");
            };
            assert_eq!((failed, foreign), (expected, 2));
        }
    }

    #[test]
    fn only_a_failure_has_an_error_code_and_only_some_outcomes_hold_for_other_events() {
        let code = || Some("NO_EMAIL_FOUND".to_owned());
        let value = email("a@b.example").expect("usable");
        let table = [
            (Outcome::Delivered { value, source: Source::Store }, None, true),
            (Outcome::NoValue, None, true),
            (Outcome::Failed { error_code: code() }, code(), true),
            (Outcome::Missing, None, true),
            (Outcome::Unlinked, None, false),
            (Outcome::Rejected { error_code: code() }, code(), false),
            (Outcome::Cancelled, None, false),
        ];
        for (outcome, code, elsewhere) in table {
            assert_eq!(outcome.error_code(), code.as_deref(), "{outcome:?}");
            assert_eq!(outcome.holds_for_other_events(), elsewhere, "{outcome:?}");
        }
        let sources = [Source::Task, Source::Profile, Source::Store];
        assert_eq!(sources.map(Source::as_str), ["task", "profile", "store"]);
    }

    #[test]
    fn a_locked_profile_delivers_nothing_whatever_it_shows() {
        let teaser = ProfileView { access: Access::Locked, value: email("j@acme.example") };
        assert_eq!(read_profile(&teaser, 9), ProfileReading::NotYet);
        let open = ProfileView { access: Access::Unclear, value: email("j@acme.example") };
        assert!(matches!(read_profile(&open, 0), ProfileReading::Ended(Outcome::Delivered { .. })));
        let bare = ProfileView { access: Access::Unlocked, value: None };
        assert_eq!(read_profile(&bare, 0), ProfileReading::NotYet);
        assert_eq!(read_profile(&bare, 1), ProfileReading::Ended(Outcome::NoValue));
    }

    proptest! {
        #[test]
        fn no_false_delivery_and_every_contact_has_one_outcome(
            task_word in "completed|failed",
            items in prop::collection::vec(
                ("[0-9]{1,2}", "unlocked|failed|pending|processing|[a-z]{0,6}", prop::option::of("a@b|| |x|[a-z]@[a-z]")),
                0..40,
            ),
            asked in prop::collection::btree_set("[0-9]{1,2}", 0..20),
        ) {
            let view = TaskView {
                status: TaskStatus::from_word(&task_word),
                items: Some(items.iter().map(|(id, status, value)| item(id, status, value.as_deref())).collect()),
            };
            let asked: BTreeSet<_> = asked.iter().map(|text| id(text)).collect();
            let Reading::Ended { outcomes, .. } = read(&view, Some(&asked)) else {
                panic!("an ended task was read as running");
            };
            let ids: BTreeSet<_> = outcomes.iter().map(|(id, _)| id.clone()).collect();
            prop_assert_eq!(&ids, &asked);
            prop_assert_eq!(ids.len(), outcomes.len());
            for (id, outcome) in outcomes {
                let honest = items.iter().any(|(item, status, value)| {
                    item == id.as_str() && status == "unlocked" && value.as_deref().and_then(email).is_some()
                });
                prop_assert_eq!(matches!(outcome, Outcome::Delivered { .. }), honest);
            }
        }
    }
}
