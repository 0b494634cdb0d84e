//! The reason for a finished request with nothing but rejections, in words for its inbox row.

use super::Credits;
use super::action::Action;

/// What is known about a request whose items were all rejected after it had been taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// `None`: this version does not know the action.
    pub action: Option<Action>,
    /// True: the API refused it. False: it was never sent, since it would have cost too much.
    pub by_api: bool,
    /// The API's own codes for it, unchanged.
    pub error_codes: Vec<String>,
    /// An earlier submission of the same was never answered, and counts as charged until the balance shows
    /// the truth.
    pub has_charge: bool,
    pub max_credits: Option<Credits>,
}

impl Rejected {
    /// What was rejected, what that means for the credits, and what can be done. Contains no text of the
    /// caller: the status page shows it without sign-in.
    pub fn reason(&self) -> String {
        if !self.by_api {
            let limit = self.max_credits.map(|most| format!(" of {most}")).unwrap_or_default();
            return format!(
                "would cost more by now than its max_credits{limit}: nothing was bought; raise it in a new row, or \
                 ask for less ({ANOTHER_KEY})"
            );
        }
        let what = match self.action {
            Some(Action::UnlockEventContacts) => "event",
            Some(Action::UnlockEventVisitors) => "visitor access",
            Some(Action::UnlockEventFullAccess) => "full access",
            Some(action) if action.is_search() => "search",
            _ => "contacts",
        };
        let verb = if what == "contacts" { "were" } else { "was" };
        let advice =
            self.action.and_then(|action| self.error_codes.iter().find_map(|code| advice(action, code)));
        let codes = match self.error_codes.as_slice() {
            [] => String::new(),
            codes => format!(" ({})", codes.join(", ")),
        };
        let charge = match self.has_charge {
            true => "an earlier submission that nobody answered may have been charged: unlockd audit",
            false => "nothing was charged",
        };
        let next = match (advice, self.has_charge) {
            (Some(advice), _) => format!("; {advice}"),
            (None, false) => format!("; put right what it asks for in a new row ({ANOTHER_KEY})"),
            (None, true) => String::new(),
        };
        format!("its {what} {verb} rejected by the API{codes}: {charge}{next}")
    }
}

/// The request was taken and has ended as done, so its row keeps its key. A row that was rejected at once frees it.
const ANOTHER_KEY: &str = "this row keeps its dedupe_key, so a new one needs another";

/// What to do about a refusal, by the API's own word for it: a precheck's reason, or the key of an error.
fn advice(action: Action, code: &str) -> Option<&'static str> {
    use Action::{SearchPersonnelEvents, UnlockEventContacts, UnlockEventFullAccess, UnlockEventVisitors};
    Some(match (action, code) {
        (
            UnlockEventVisitors | UnlockEventFullAccess,
            "no_contacts_available" | "VISITOR_DATA_NOT_AVAILABLE",
        ) => {
            "the event has no visitor data: base access (unlock_event_contacts, --unlock-event) is all there is to buy"
        }
        (UnlockEventContacts, "no_contacts_available") => "the event has no contacts to pay for",
        (UnlockEventVisitors, "state_conflict" | "EVENT_NOT_UNLOCKED") => {
            "base access to the event comes first: unlock_event_contacts (--unlock-event), or both at once with \
             unlock_event_full_access (--full-access)"
        }
        (
            UnlockEventVisitors | UnlockEventFullAccess | SearchPersonnelEvents,
            "forbidden" | "USER_HAS_NO_FEATURE" | "NO_ACTIVE_SUBSCRIPTION",
        ) => "it needs an active paid subscription of the key's owner",
        (_, "unsupported_action") => {
            "the API has no precheck of it; with submit.precheck = false it is bought without one"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_api(action: Action) -> Rejected {
        let error_codes = vec!["EVENT_NOT_FOUND".to_owned()];
        Rejected { action: Some(action), by_api: true, error_codes, ..Rejected::default() }
    }

    #[test]
    fn it_says_what_was_rejected_and_what_that_means_for_the_credits() {
        let unspent = "was rejected by the API (EVENT_NOT_FOUND): nothing was charged";
        let event = by_api(Action::UnlockEventContacts);
        assert!(event.reason().starts_with(&format!("its event {unspent}")), "{}", event.reason());
        let search = by_api(Action::SearchExhibitorEvents).reason();
        assert!(search.starts_with(&format!("its search {unspent}")), "{search}");
        let contacts = by_api(Action::UnlockContactPhones).reason();
        assert!(
            contacts.starts_with("its contacts were rejected by the API (EVENT_NOT_FOUND): "),
            "{contacts}"
        );
        let lost = Rejected { has_charge: true, ..event.clone() }.reason();
        assert!(lost.contains("may have been charged") && !lost.contains("nothing"), "{lost}");
        let wordless = Rejected { error_codes: Vec::new(), ..event }.reason();
        assert!(wordless.contains("rejected by the API: nothing was charged"), "{wordless}");
    }

    #[test]
    fn a_refusal_that_has_a_known_way_out_names_it() {
        let said = |action, code: &str| {
            let error_codes = vec![code.to_owned()];
            Rejected { error_codes, ..by_api(action) }.reason()
        };
        let table = [
            (Action::UnlockEventVisitors, "state_conflict", "base access to the event comes first"),
            (Action::UnlockEventVisitors, "EVENT_NOT_UNLOCKED", "--full-access"),
            (Action::UnlockEventVisitors, "VISITOR_DATA_NOT_AVAILABLE", "no visitor data"),
            (Action::UnlockEventFullAccess, "no_contacts_available", "--unlock-event"),
            (Action::UnlockEventContacts, "no_contacts_available", "no contacts to pay for"),
            (Action::SearchPersonnelEvents, "USER_HAS_NO_FEATURE", "active paid subscription"),
            (Action::UnlockEventFullAccess, "forbidden", "active paid subscription"),
            (Action::UnlockEventVisitors, "invalid_subject", "put right what it asks for"),
        ];
        for (action, code, expected) in table {
            let reason = said(action, code);
            assert!(reason.contains(&format!("({code}): nothing was charged; ")), "{reason}");
            assert!(reason.contains(expected), "{reason}");
        }
    }

    #[test]
    fn what_was_never_sent_was_not_rejected_by_the_api() {
        let said = Rejected { max_credits: Some(Credits(29)), ..Rejected::default() }.reason();
        assert!(said.contains("max_credits of 29: nothing was bought") && !said.contains("API"), "{said}");
        assert!(said.contains("needs another"), "{said}");
    }
}
