//! A submission's answer → the result for each contact that was sent.
//!
//! The vendor sorts the contacts that it did not accept into groups. Some groups settle their contacts;
//! contacts that are unlocked already, or being unlocked, have their value in a profile; all others are in
//! the task and charged. Every contact that was sent is in exactly one part ([`divide`]).

use std::collections::BTreeSet;

use super::ids::{PersonnelId, TaskId};
use super::outcome::Outcome;

/// The groups of contacts that a submission's answer did not accept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    pub all: Vec<String>,
    pub invalid: Vec<String>,
    pub missing: Vec<String>,
    pub unlinked: Vec<String>,
    pub already_unlocked: Vec<String>,
    pub unlocking: Vec<String>,
}

/// A well-formed answer to a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    Accepted {
        task_id: TaskId,
        skipped: Skipped,
    },
    /// `{"status":"success"}` without a task: nothing was chargeable.
    NothingChargeable {
        skipped: Skipped,
    },
}

/// The result of a submission's answer for each contact that was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// In the task, and charged.
    pub accepted: Vec<PersonnelId>,
    /// Already unlocked, or being unlocked by another program or person: the value is in the profile.
    pub read_from_profile: Vec<PersonnelId>,
    /// Settled by the answer itself.
    pub ended: Vec<(PersonnelId, Outcome)>,
}

/// Sorts the contacts of a submission by its answer. A contact that was skipped without a group is read from
/// its profile; if nothing was chargeable, all contacts are.
pub fn divide(sent: &[PersonnelId], submission: &Submission) -> Division {
    let (skipped, has_task) = match submission {
        Submission::Accepted { skipped, .. } => (skipped, true),
        Submission::NothingChargeable { skipped } => (skipped, false),
    };
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<String>>();
    let invalid = set(&skipped.invalid);
    let missing = set(&skipped.missing);
    let unlinked = set(&skipped.unlinked);
    let unnamed: BTreeSet<String> =
        skipped.all.iter().chain(&skipped.already_unlocked).chain(&skipped.unlocking).cloned().collect();

    let mut division = Division::default();
    for personnel_id in sent {
        let id = personnel_id.as_str();
        let ended = if invalid.contains(id) {
            Some(Outcome::Invalid)
        } else if missing.contains(id) {
            Some(Outcome::Missing)
        } else if unlinked.contains(id) {
            Some(Outcome::Unlinked)
        } else {
            None
        };
        match ended {
            Some(outcome) => division.ended.push((personnel_id.clone(), outcome)),
            None if unnamed.contains(id) || !has_task => {
                division.read_from_profile.push(personnel_id.clone())
            }
            None => division.accepted.push(personnel_id.clone()),
        }
    }
    division
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> PersonnelId {
        PersonnelId::parse(text).expect("digits")
    }

    #[test]
    fn a_submission_is_divided_by_the_vendors_own_groups() {
        let sent: Vec<_> = ["1", "2", "3", "4", "5", "6", "7"].map(id).into();
        let skipped = Skipped {
            all: ["2", "3", "4", "5", "6", "7"].map(String::from).into(),
            invalid: vec!["2".into()],
            missing: vec!["3".into()],
            unlinked: vec!["4".into()],
            already_unlocked: vec!["5".into()],
            unlocking: vec!["6".into()],
        };
        let accepted = Submission::Accepted { task_id: TaskId::trusted("321"), skipped: skipped.clone() };
        let division = divide(&sent, &accepted);
        assert_eq!(division.accepted, [id("1")]);
        assert_eq!(division.read_from_profile, ["5", "6", "7"].map(id));
        let ended: Vec<_> =
            division.ended.iter().map(|(id, outcome)| (id.as_str(), outcome.name())).collect();
        assert_eq!(ended, [("2", "invalid"), ("3", "missing"), ("4", "unlinked")]);

        let nothing = divide(&sent, &Submission::NothingChargeable { skipped });
        assert!(nothing.accepted.is_empty(), "no task, so nothing can be waited for");
        assert_eq!(nothing.read_from_profile, ["1", "5", "6", "7"].map(id));
    }
}
