//! Which of an event's two layers are open, and what shows it.
//!
//! `semantics.accessMode` of an event's list is about the base only. The visitor layer is shown only in the detail of a
//! precheck, which is free, too. Sources: the vendor's pages of the two unlocks and of the precheck.

use serde_json::json;

use super::action::Layers;
use super::direct::EventAccess;

/// What a precheck shows of an event. `None`: it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenLayers {
    pub base: Option<bool>,
    pub visitors: Option<bool>,
    /// Whether the vendor has visitor data of the event.
    pub has_visitors: Option<bool>,
}

/// What reading has shown about the layers that an unlock opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Whether all of them are open; `None`: it does not say.
    pub is_open: Option<bool>,
    /// The same by a precheck that was asked beside the list; `None`: not asked, or it does not say.
    pub by_precheck: Option<bool>,
    /// What was said, as JSON, for the result.
    pub semantics: String,
    /// The same for the timeline.
    pub words: String,
}

impl OpenLayers {
    /// Whether all that an unlock of these layers can open is open. Where there is no visitor data, full access opens
    /// the base and no more.
    pub fn cover(&self, layers: Layers) -> Option<bool> {
        let visitors_or_none = match (self.visitors, self.has_visitors) {
            (Some(true), _) | (_, Some(false)) => Some(true),
            (visitors, _) => visitors,
        };
        match layers {
            Layers::Base => self.base,
            Layers::Visitors => self.visitors,
            Layers::Both => match (self.base, visitors_or_none) {
                (Some(true), Some(true)) => Some(true),
                (Some(false), _) | (_, Some(false)) => Some(false),
                _ => None,
            },
        }
    }

    /// What this shows to someone who asked for these layers.
    pub fn shown(&self, layers: Layers) -> Shown {
        let word = |open: Option<bool>| match open {
            Some(true) => "open",
            Some(false) => "locked",
            None => "not told",
        };
        let mode = self.base.map(|open| if open { "full" } else { "preview" });
        let access = json!({
            "base": self.base,
            "visitors": self.visitors,
            "visitorDataAvailable": self.has_visitors,
        });
        let data = if self.has_visitors == Some(false) { "; the event has no visitor data" } else { "" };
        Shown {
            is_open: self.cover(layers),
            by_precheck: None,
            semantics: json!({ "accessMode": mode, "access": access }).to_string(),
            words: format!("base access: {}, visitor access: {}{data}", word(self.base), word(self.visitors)),
        }
    }
}

impl Shown {
    /// What the list of an event's people shows of the base.
    pub fn by_list(access: Option<EventAccess>) -> Shown {
        let Some(access) = access else {
            let words = "the list does not say".to_owned();
            return Shown { semantics: "{}".to_owned(), words, ..Shown::default() };
        };
        Shown {
            is_open: Some(access.full),
            by_precheck: None,
            words: access.in_words(),
            semantics: access.semantics,
        }
    }

    /// The same, with what a precheck says of the layers.
    pub fn beside_precheck(self, by_precheck: Option<bool>) -> Shown {
        let said = match by_precheck {
            Some(true) => "; a precheck says that it is unlocked already",
            Some(false) => "; a precheck would charge for it",
            None => "; a precheck does not say",
        };
        Shown { by_precheck, words: self.words + said, ..self }
    }

    /// Whether a precheck says that it is unlocked, and the list does not: one of them shows the past.
    pub fn contradicts_itself(&self) -> bool {
        self.is_open != Some(true) && self.by_precheck == Some(true)
    }

    /// What is shown of an event that the API does not know, or does not answer about.
    pub fn nothing() -> Shown {
        let words = "the API shows nothing of the event".to_owned();
        Shown { semantics: "{}".to_owned(), words, ..Shown::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: Option<bool> = Some(true);
    const NO: Option<bool> = Some(false);

    fn open(base: Option<bool>, visitors: Option<bool>, has_visitors: Option<bool>) -> OpenLayers {
        OpenLayers { base, visitors, has_visitors }
    }

    #[test]
    fn what_is_open_depends_on_what_was_asked_for() {
        let table = [
            (open(YES, YES, YES), [YES, YES, YES]),
            (open(YES, NO, YES), [YES, NO, NO]),
            (open(NO, YES, YES), [NO, YES, NO]),
            (open(NO, NO, YES), [NO, NO, NO]),
            (open(YES, NO, NO), [YES, NO, YES]),
            (open(NO, NO, NO), [NO, NO, NO]),
            (open(YES, None, None), [YES, None, None]),
            (open(NO, None, None), [NO, None, NO]),
            (open(None, YES, YES), [None, YES, None]),
            (open(None, NO, YES), [None, NO, NO]),
            (OpenLayers::default(), [None, None, None]),
        ];
        for (seen, expected) in table {
            assert_eq!(Layers::ALL.map(|layers| seen.cover(layers)), expected, "{seen:?}");
        }
    }

    #[test]
    fn what_is_shown_says_it_in_words_and_as_json() {
        let shown = open(YES, NO, NO).shown(Layers::Both);
        assert_eq!(shown.words, "base access: open, visitor access: locked; the event has no visitor data");
        let semantics: serde_json::Value = serde_json::from_str(&shown.semantics).expect("JSON");
        assert_eq!(
            (&semantics["accessMode"], &semantics["access"]["visitors"]),
            (&"full".into(), &false.into())
        );
        assert_eq!(Shown::by_list(None).is_open, None);
    }

    #[test]
    fn a_list_and_a_precheck_contradict_each_other_when_only_the_precheck_says_open() {
        let table =
            [(NO, YES, true), (None, YES, true), (YES, YES, false), (NO, NO, false), (NO, None, false)];
        for (is_open, by_precheck, expected) in table {
            let shown = Shown { is_open, ..Shown::nothing() }.beside_precheck(by_precheck);
            assert_eq!(shown.contradicts_itself(), expected, "{is_open:?} {by_precheck:?}");
        }
    }
}
