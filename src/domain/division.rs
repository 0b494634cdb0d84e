//! A submission's answer → the result for each contact that was sent.
//!
//! The vendor sorts the contacts that it did not accept into groups. Some groups settle their contacts;
//! contacts that are unlocked already, or being unlocked, have their value in a profile; all others are in
//! the task and charged. Every contact that was sent is in exactly one part ([`divide`]).
//!
//! The API may also refuse a call as a whole for some of its contacts, without a word for which. Such a call is
//! divided until each of these contacts is alone ([`after_refusal`]). One bad contact of a hundred costs about fifteen
//! calls; the other ninety-nine are bought, each once.

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
    /// Skipped, since it is unlocked already or for a reason that is not named: the value is in the profile.
    pub read_from_profile: Vec<PersonnelId>,
    /// Skipped, since another task is unlocking it: the profile has the value when that task ends.
    pub being_unlocked: Vec<PersonnelId>,
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
    let already_unlocked = set(&skipped.already_unlocked);
    let unlocking = set(&skipped.unlocking);
    let unnamed = set(&skipped.all);

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
            None if already_unlocked.contains(id) => division.read_from_profile.push(personnel_id.clone()),
            None if unlocking.contains(id) => division.being_unlocked.push(personnel_id.clone()),
            None if unnamed.contains(id) || !has_task => {
                division.read_from_profile.push(personnel_id.clone())
            }
            None => division.accepted.push(personnel_id.clone()),
        }
    }
    division
}

/// Errors about the whole call, such as an event that does not exist: other contacts would be refused, too.
const NOT_ABOUT_CONTACTS: [&str; 1] = ["EVENT_NOT_FOUND"];

/// After this many contacts that were refused alone, and none that was accepted, the reason is not in the contacts.
const REFUSED_ALONE_SHOW_IT: u32 = 8;

/// A call that the API refused as a whole, with an answer of its own: it certainly took no effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedCall<'a> {
    pub contacts: usize,
    /// The API's word for the reason.
    pub error_key: Option<&'a str>,
    /// The most contacts of one call, if that was the reason.
    pub most_contacts: Option<u32>,
    /// Of the calls that one refused call was divided into: those of one contact that were refused, and those that
    /// were accepted.
    pub refused_alone: u32,
    pub accepted: u32,
}

/// The sizes of the parts into which a refused call is divided. Empty: it is rejected.
pub fn after_refusal(call: RefusedCall<'_>) -> Vec<usize> {
    let contacts = call.contacts;
    let is_hopeless = call.accepted == 0 && call.refused_alone >= REFUSED_ALONE_SHOW_IT;
    let is_of_the_call = call.error_key.is_some_and(|key| NOT_ABOUT_CONTACTS.contains(&key));
    if contacts < 2 || is_hopeless || is_of_the_call {
        return Vec::new();
    }
    let most = call.most_contacts.map(|most| most as usize).filter(|most| (1..contacts).contains(most));
    let size = most.unwrap_or_else(|| contacts.div_ceil(2));
    let parts = (0..contacts).step_by(size).map(|start| size.min(contacts - start));
    parts.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(contacts: usize) -> RefusedCall<'static> {
        RefusedCall { contacts, ..RefusedCall::default() }
    }

    #[test]
    fn a_refused_call_is_halved_until_a_contact_is_alone() {
        let table = [(0, vec![]), (1, vec![]), (2, vec![1, 1]), (3, vec![2, 1]), (100, vec![50, 50])];
        for (contacts, parts) in table {
            assert_eq!(after_refusal(refused(contacts)), parts);
        }
    }

    #[test]
    fn a_limit_that_the_api_names_is_the_size_of_the_parts() {
        let limited = |contacts, most| {
            after_refusal(RefusedCall {
                most_contacts: Some(most),
                error_key: Some("LEAD_SELECTION_LIMIT_EXCEEDED"),
                ..refused(contacts)
            })
        };
        assert_eq!(limited(100, 20), [20; 5]);
        assert_eq!(limited(45, 20), [20, 20, 5]);
        for odd in [0, 100, 2_000] {
            assert_eq!(limited(100, odd), [50, 50], "a limit of {odd} explains nothing");
        }
    }

    #[test]
    fn what_is_no_matter_of_single_contacts_is_not_divided() {
        let event = RefusedCall { error_key: Some("EVENT_NOT_FOUND"), ..refused(100) };
        let hopeless = RefusedCall { refused_alone: 8, ..refused(100) };
        for call in [event, hopeless] {
            assert_eq!(after_refusal(call), [0; 0], "{call:?}");
        }
        let mixed = RefusedCall { refused_alone: 80, accepted: 1, ..refused(100) };
        assert_eq!(after_refusal(mixed), [50, 50], "one was accepted, so others may be");
    }

    /// The calls for so many contacts: those that are accepted, and those that are refused. Whatever was refused
    /// goes on with its first part; the others wait for their turn behind it.
    fn calls(contacts: usize, is_bad: impl Fn(usize) -> bool) -> (Vec<Vec<usize>>, usize) {
        let mut jobs = vec![(0..contacts).collect::<Vec<_>>()];
        let (mut bought, mut refusals, mut refused_alone) = (Vec::new(), 0, 0);
        let mut at = 0;
        while at < jobs.len() {
            let job = jobs[at].clone();
            if !job.iter().any(|contact| is_bad(*contact)) {
                bought.push(job);
                at += 1;
                continue;
            }
            refusals += 1;
            let accepted = bought.len() as u32;
            let parts = after_refusal(RefusedCall { refused_alone, accepted, ..refused(job.len()) });
            if parts.is_empty() {
                refused_alone += u32::from(job.len() == 1);
                at += 1;
                continue;
            }
            let mut start = 0;
            for (part, size) in parts.into_iter().enumerate() {
                let contacts = job[start..start + size].to_vec();
                match part {
                    0 => jobs[at] = contacts,
                    _ => jobs.push(contacts),
                }
                start += size;
            }
        }
        (bought, refusals)
    }

    #[test]
    fn one_bad_contact_of_a_hundred_costs_fifteen_calls_and_the_others_are_bought_once() {
        for bad in 0..100 {
            let (bought, refusals) = calls(100, |contact| contact == bad);
            assert!(bought.len() + refusals <= 15, "{bad}: {} and {refusals}", bought.len());
            let mut all: Vec<usize> = bought.into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, (0..100).filter(|contact| *contact != bad).collect::<Vec<_>>());
        }
    }

    #[test]
    fn when_every_contact_is_refused_that_is_noticed_after_a_few_dozen_calls() {
        for contacts in [2, 7, 100, 2_000] {
            let (bought, refusals) = calls(contacts, |_| true);
            assert!(bought.is_empty());
            assert!(refusals < 2 * contacts && refusals <= 130, "{contacts}: {refusals} calls");
        }
    }

    proptest! {
        #[test]
        fn parts_are_smaller_and_hold_every_contact_once(
            contacts in 0..3_000_usize, most in prop::option::of(0..3_000_u32),
        ) {
            let parts = after_refusal(RefusedCall { most_contacts: most, ..refused(contacts) });
            prop_assert!(parts.is_empty() || parts.iter().sum::<usize>() == contacts);
            prop_assert!(parts.iter().all(|part| (1..contacts).contains(part)));
        }

        #[test]
        fn every_good_contact_is_bought_once_as_long_as_some_are_accepted(bad in prop::collection::btree_set(0..64_usize, 0..8)) {
            let (bought, _) = calls(64, |contact| bad.contains(&contact));
            let mut all: Vec<usize> = bought.into_iter().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..64).filter(|contact| !bad.contains(contact)).collect::<Vec<_>>());
        }
    }

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
        assert_eq!(division.read_from_profile, ["5", "7"].map(id));
        assert_eq!(division.being_unlocked, [id("6")]);
        let ended: Vec<_> =
            division.ended.iter().map(|(id, outcome)| (id.as_str(), outcome.name())).collect();
        assert_eq!(ended, [("2", "invalid"), ("3", "missing"), ("4", "unlinked")]);

        let nothing = divide(&sent, &Submission::NothingChargeable { skipped });
        assert!(nothing.accepted.is_empty(), "no task, so nothing can be waited for");
        assert_eq!(nothing.read_from_profile, ["1", "5", "7"].map(id));
        assert_eq!(nothing.being_unlocked, [id("6")]);
    }
}
