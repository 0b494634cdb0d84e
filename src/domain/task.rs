//! What a task says about each of its contacts, and whether it has ended.
//!
//! The vendor documents four words for a task and four for an item. Upper and lower case do not matter. An
//! undocumented word is never a delivery, and an end only if no item is open any more: the values in an
//! answer matter more than its status word.

use std::collections::{BTreeMap, BTreeSet};

use super::contact_value::ContactValue;
use super::ids::PersonnelId;
use super::outcome::{Outcome, Source};

/// A task as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    pub status: TaskStatus,
    /// `None` if the answer has no list at all, which is not documented.
    pub items: Option<Vec<TaskItem>>,
}

impl TaskView {
    /// The same task with an empty list.
    pub fn without_items(&self) -> TaskView {
        TaskView { status: self.status, items: Some(Vec::new()) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// `pending`, `processing`
    Running,
    Completed,
    /// `failed`, and the words for a cancelled task.
    Failed,
    /// Every undocumented word, or none at all: possibly an end.
    Unknown,
}

impl TaskStatus {
    pub fn from_word(word: &str) -> TaskStatus {
        match plain(word).as_str() {
            "pending" | "processing" => TaskStatus::Running,
            "completed" => TaskStatus::Completed,
            "failed" | "canceled" | "cancelled" => TaskStatus::Failed,
            _ => TaskStatus::Unknown,
        }
    }

    fn is_end(self) -> bool {
        matches!(self, TaskStatus::Completed | TaskStatus::Failed)
    }
}

fn plain(word: &str) -> String {
    word.trim().to_ascii_lowercase()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskItem {
    /// `None` if the item names no contact.
    pub personnel_id: Option<PersonnelId>,
    pub status: ItemStatus,
    pub value: Option<ContactValue>,
    pub error_code: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemStatus {
    Unlocked,
    Failed,
    /// `pending`, `processing`, and every undocumented word.
    Unfinished,
}

impl ItemStatus {
    pub fn from_word(word: &str) -> ItemStatus {
        match plain(word).as_str() {
            "unlocked" => ItemStatus::Unlocked,
            "failed" | "canceled" | "cancelled" => ItemStatus::Failed,
            _ => ItemStatus::Unfinished,
        }
    }
}

/// The meaning of a task answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    StillRunning {
        /// Contacts whose value is already there. Stored at once: a later answer may lack it.
        delivered: Vec<(PersonnelId, Outcome)>,
    },
    /// Ended, but the answer has no list of items: poll again, or treat the list as empty
    /// ([`TaskView::without_items`]).
    EndedUnlisted,
    Ended {
        /// Whether the task itself ended as `failed`.
        failed: bool,
        outcomes: Vec<(PersonnelId, Outcome)>,
        /// Items without a contact, or with one that was not asked for; they are ignored.
        foreign: usize,
    },
}

/// How long a task may stay running although no item is open, in milliseconds: in that time a value may still
/// follow its status.
pub const OPEN_FOR_MS: i64 = 60_000;

/// The same where the items without a value have failed, which is a final status: the API may try them again at
/// once, and not much later.
pub const FAILED_FOR_MS: i64 = 10_000;

/// Reads a task that has run for `running_ms`. `asked` holds the contacts of the job. For an adopted task
/// whose contacts are not known it is `None`, and every contact that the task names is accepted.
pub fn read(view: &TaskView, asked: Option<&BTreeSet<PersonnelId>>, running_ms: i64) -> Reading {
    let (mut named, foreign) = named(view, asked);
    if !view.status.is_end() && !has_ended_unsaid(view.status, &named, asked, running_ms) {
        named.retain(|_, outcome| matches!(outcome, Outcome::Delivered { .. }));
        return Reading::StillRunning { delivered: named.into_iter().collect() };
    }
    if view.items.is_none() {
        return Reading::EndedUnlisted;
    }
    for personnel_id in asked.into_iter().flatten() {
        named.entry(personnel_id.clone()).or_insert(Outcome::NotReturned);
    }
    let failed = view.status == TaskStatus::Failed;
    Reading::Ended { failed, outcomes: named.into_iter().collect(), foreign }
}

/// Whether the task that an error answer named belongs to this submission: it has exactly the contacts that
/// were sent. An error may also name an older task.
pub fn is_of(view: &TaskView, sent: &[PersonnelId]) -> bool {
    let named: Option<BTreeSet<&PersonnelId>> =
        view.items.iter().flatten().map(|item| item.personnel_id.as_ref()).collect();
    named.is_some_and(|named| !named.is_empty() && named == sent.iter().collect())
}

/// The final outcomes in the last answer of a task that is given up before its end.
pub fn in_hand(view: &TaskView, asked: Option<&BTreeSet<PersonnelId>>) -> Vec<(PersonnelId, Outcome)> {
    let (mut named, _) = named(view, asked);
    named.retain(|_, outcome| *outcome != Outcome::Unresolved);
    named.into_iter().collect()
}

/// Whether a task without a documented end has ended anyway: none of its items is open.
fn has_ended_unsaid(
    status: TaskStatus,
    named: &BTreeMap<PersonnelId, Outcome>,
    asked: Option<&BTreeSet<PersonnelId>>,
    running_ms: i64,
) -> bool {
    let is_open = |outcome: Option<&Outcome>| outcome.is_none_or(|outcome| *outcome == Outcome::Unresolved);
    let asked_are_final = asked.is_none_or(|asked| !asked.iter().any(|id| is_open(named.get(id))));
    if named.is_empty() || !asked_are_final || named.values().any(|outcome| is_open(Some(outcome))) {
        return false;
    }
    let may_change = |outcome: &Outcome| match outcome {
        Outcome::Delivered { .. } => false,
        // A status other than running means that the vendor does not work on it any more.
        Outcome::Failed { .. } => status == TaskStatus::Running && running_ms < FAILED_FOR_MS,
        _ => true,
    };
    // If the task's contacts are not known, it may name more later.
    let is_settled = asked.is_some() && !named.values().any(may_change);
    is_settled || running_ms >= OPEN_FOR_MS
}

/// The outcome of each named contact, and the number of items that name no contact of the job.
fn named(view: &TaskView, asked: Option<&BTreeSet<PersonnelId>>) -> (BTreeMap<PersonnelId, Outcome>, usize) {
    let (mut named, mut foreign) = (BTreeMap::new(), 0);
    for item in view.items.iter().flatten() {
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
    (named, foreign)
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

/// If a task names a contact twice, the answer that says more counts.
fn weight(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Delivered { .. } => 3,
        Outcome::NoValue => 2,
        Outcome::Failed { .. } => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> PersonnelId {
        PersonnelId::parse(text).expect("digits")
    }

    fn email(text: &str) -> Option<ContactValue> {
        ContactValue::parse(text)
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
        match read(view, Some(&asked), 0) {
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
            assert_eq!(read(&view, Some(&asked), 0), Reading::EndedUnlisted);
            let outcomes = vec![(id("1"), Outcome::NotReturned)];
            let empty = Reading::Ended { failed, outcomes, foreign: 0 };
            assert_eq!(read(&view.without_items(), Some(&asked), 0), empty);
        }
        let running = TaskView { status: TaskStatus::Running, items: None };
        assert_eq!(read(&running, Some(&asked), 0), Reading::StillRunning { delivered: Vec::new() });
    }

    #[test]
    fn a_word_that_is_not_documented_is_no_end_while_anything_is_open() {
        let open = || vec![item("1", "unlocked", Some("a@b.example")), item("2", "pending", None)];
        for word in ["", "done", "success", "partially_completed", "pending", "PROCESSING"] {
            for items in [Some(open()), Some(vec![]), None] {
                let view = TaskView { status: TaskStatus::from_word(word), items };
                let reading = read(&view, Some(&["1", "2"].map(id).into()), i64::MAX);
                assert!(matches!(reading, Reading::StillRunning { .. }), "{word:?}");
            }
        }
    }

    #[test]
    fn an_end_word_is_an_end_in_any_case_and_so_is_a_task_that_was_called_off() {
        for (word, expected) in [
            ("COMPLETED", false),
            (" Completed ", false),
            ("Failed", true),
            ("canceled", true),
            ("CANCELLED", true),
        ] {
            let view = TaskView { status: TaskStatus::from_word(word), items: Some(vec![]) };
            let Reading::Ended { failed, .. } = read(&view, None, 0) else { panic!("{word:?} is an end") };
            assert_eq!(failed, expected, "{word:?}");
        }
        let items = vec![item("1", "UNLOCKED", Some("a@b.example")), item("2", "Cancelled", None)];
        let view = TaskView { status: TaskStatus::Completed, items: Some(items) };
        let outcomes = ended(&view, &["1", "2"]);
        assert_eq!((outcomes["1"], outcomes["2"]), ("delivered", "failed"));
    }

    /// When a task without a documented end counts as ended: at once, after a minute, or never.
    #[test]
    fn a_task_has_ended_when_nothing_of_it_is_open_whatever_it_calls_itself() {
        let value = Some("a@b.example");
        let (one, two) = (item("1", "unlocked", value), item("2", "unlocked", value));
        let (bare, failed) = (item("2", "unlocked", None), item("2", "failed", None));
        let (open, odd) = (item("2", "processing", value), item("2", "dancing", value));
        let table = [
            ("processing", vec![&one, &two], Some(0)),
            ("done", vec![&one, &two], Some(0)),
            ("done", vec![&one, &failed], Some(0)),
            ("processing", vec![&one, &failed], Some(FAILED_FOR_MS)),
            ("processing", vec![&failed], None),
            ("processing", vec![&one, &bare], Some(OPEN_FOR_MS)),
            ("done", vec![&one, &bare], Some(OPEN_FOR_MS)),
            ("done", vec![&one, &open], None),
            ("done", vec![&one, &odd], None),
            ("done", vec![&one], None),
        ];
        for (word, items, ends_after) in table {
            let items: Vec<_> = items.into_iter().cloned().collect();
            let view = TaskView { status: TaskStatus::from_word(word), items: Some(items) };
            let asked = ["1", "2"].map(id).into();
            let after = |ms| matches!(read(&view, Some(&asked), ms), Reading::Ended { failed: false, .. });
            assert_eq!(after(OPEN_FOR_MS), ends_after.is_some(), "{word}: {view:?}");
            for ms in [0, FAILED_FOR_MS - 1, FAILED_FOR_MS, OPEN_FOR_MS - 1] {
                assert_eq!(after(ms), ends_after.is_some_and(|after| ms >= after), "{word} {ms}: {view:?}");
            }
        }
    }

    #[test]
    fn of_a_running_task_whose_contacts_are_not_known_more_may_follow_for_a_minute() {
        let view = TaskView {
            status: TaskStatus::Running,
            items: Some(vec![item("1", "unlocked", Some("a@b.example"))]),
        };
        assert!(matches!(read(&view, None, OPEN_FOR_MS - 1), Reading::StillRunning { .. }));
        assert!(matches!(read(&view, None, OPEN_FOR_MS), Reading::Ended { .. }));
    }

    #[test]
    fn a_task_is_that_of_a_submission_when_it_has_exactly_its_contacts() {
        let view = |items| TaskView { status: TaskStatus::Running, items };
        let items = |ids: &[&str]| Some(ids.iter().map(|id| item(id, "pending", None)).collect());
        let sent = ["1", "2"].map(id);
        assert!(is_of(&view(items(&["2", "1", "1"])), &sent));
        for other in [items(&["1"]), items(&["1", "2", "3"]), items(&["1", "x"]), items(&[]), None] {
            assert!(!is_of(&view(other.clone()), &sent), "{other:?}");
        }
        assert!(!is_of(&view(items(&[])), &[]));
    }

    #[test]
    fn what_a_running_task_has_delivered_is_kept_and_the_rest_when_it_is_given_up() {
        let view = TaskView {
            status: TaskStatus::Running,
            items: Some(vec![
                item("1", "unlocked", Some("a@b.example")),
                item("2", "failed", None),
                item("3", "unlocked", None),
                item("4", "processing", None),
                item("9", "unlocked", Some("foreign@b.example")),
            ]),
        };
        let asked = ["1", "2", "3", "4", "5"].map(id).into();
        let names = |outcomes: Vec<(PersonnelId, Outcome)>| -> Vec<_> {
            outcomes.iter().map(|(id, outcome)| (id.to_string(), outcome.name())).collect()
        };
        let Reading::StillRunning { delivered } = read(&view, Some(&asked), 0) else { panic!("it runs") };
        assert_eq!(names(delivered), [("1".to_owned(), "delivered")]);
        let expected = [("1", "delivered"), ("2", "failed"), ("3", "no_value")];
        assert_eq!(names(in_hand(&view, Some(&asked))), expected.map(|(id, name)| (id.to_owned(), name)));
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
        let Reading::Ended { outcomes, .. } = read(&view, None, 0) else { panic!("it has ended") };
        let first = email("first@b.example").expect("usable");
        assert_eq!(outcomes, [(id("1"), Outcome::Delivered { value: first, source: Source::Task })]);
    }

    #[test]
    fn how_a_task_ended_and_whom_it_named_unasked_is_told() {
        let items =
            || vec![item("1", "failed", None), item("8", "failed", None), item("../9", "failed", None)];
        for (status, expected) in [(TaskStatus::Completed, false), (TaskStatus::Failed, true)] {
            let view = TaskView { status, items: Some(items()) };
            let Reading::Ended { failed, foreign, .. } = read(&view, Some(&[id("1")].into()), 0) else {
                panic!("it has ended");
            };
            assert_eq!((failed, foreign), (expected, 2));
        }
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
            let Reading::Ended { outcomes, .. } = read(&view, Some(&asked), 0) else {
                panic!("an ended task was read as running");
            };
            let ids: BTreeSet<_> = outcomes.iter().map(|(id, _)| id.clone()).collect();
            prop_assert_eq!(&ids, &asked);
            prop_assert_eq!(ids.len(), outcomes.len());
            for (id, outcome) in outcomes {
                let honest = items.iter().any(|(item, status, value)| {
                    PersonnelId::parse(item).as_ref() == Some(&id) && status == "unlocked" && value.as_deref().and_then(email).is_some()
                });
                prop_assert_eq!(matches!(outcome, Outcome::Delivered { .. }), honest);
            }
        }
    }
}
