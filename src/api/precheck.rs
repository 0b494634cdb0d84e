//! The answer to a precheck.
//!
//! A figure that no call can cost makes the answer broken. What is missing or unreadable otherwise makes it unhelpful;
//! only a yes or no that cannot be read counts as a no for now.

use serde::Deserialize;
use serde_json::Value;

use super::json::{ABSURD, Broken, broken};
use super::wire::parse;
use crate::domain::Layers;
use crate::domain::credits::Credits;
use crate::domain::layers::OpenLayers;
use crate::domain::sorting::Quote;

/// Whether a number cannot be a price: it is below zero, or larger than any sum of credits.
fn is_absurd(value: &Value) -> bool {
    let too_large = |number: f64| number > Credits::MOST.0 as f64;
    value.as_f64().is_some_and(|number| number < 0.0 || too_large(number))
}

/// Each part may be any JSON: an unusable part counts as missing, not as an error.
#[derive(Deserialize)]
struct PrecheckBody {
    allowed: Option<Value>,
    should_charge: Option<Value>,
    credits: Option<Value>,
    reason_code: Option<Value>,
    /// The name of `reason_code` in one of the vendor's guides.
    reason: Option<Value>,
    detail: Option<Value>,
}

impl PrecheckBody {
    fn reason(&self) -> &str {
        let named = self.reason_code.as_ref().or(self.reason.as_ref());
        named.and_then(Value::as_str).unwrap_or_default()
    }
}

/// A yes or no, also as text or as a number. `Err`: it is none of these.
fn flag(value: &Option<Value>) -> Result<Option<bool>, ()> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) => text.to_ascii_lowercase().parse().map(Some).map_err(|_| ()),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(flag @ (0 | 1)) => Ok(Some(flag == 1)),
            _ => Err(()),
        },
        Some(_) => Err(()),
    }
}

pub(super) fn quote(bytes: &[u8]) -> Result<Quote, Broken> {
    let body: PrecheckBody = parse(bytes)?;
    let reason = body.reason();
    if body.credits.as_ref().is_some_and(is_absurd) {
        return broken(ABSURD);
    }
    let credits = body.credits.as_ref().and_then(Value::as_i64).filter(|credits| *credits > 0).map(Credits);
    let Ok(allowed) = flag(&body.allowed) else {
        // It may be a no, so nothing that needs a yes is bought: it is asked again.
        return Ok(Quote::Refused("system_error"));
    };
    let refused = allowed == Some(false);
    Ok(match (flag(&body.should_charge).unwrap_or_default(), reason, credits) {
        (Some(false), "already_unlocked", _) => Quote::NothingToPay,
        (Some(false), "unlock_in_progress", _) => Quote::BeingUnlocked,
        (_, "not_found", _) if refused => Quote::NotFound,
        (Some(true) | None, "insufficient_balance", Some(credits)) if refused => Quote::TooLittle(credits),
        // If it is refused for another reason than money, the figure is not a real price.
        (Some(true) | None, _, Some(credits)) if !refused => Quote::Costs(credits),
        _ if refused => Quote::Refused(known_reason(reason)),
        _ => Quote::Unhelpful(known_reason(reason)),
    })
}

/// Reads what a precheck of an event says about its two layers. Reasons that are documented to say the same count
/// like the detail.
pub(super) fn open_layers(bytes: &[u8], layers: Layers) -> Result<OpenLayers, Broken> {
    let body: PrecheckBody = parse(bytes)?;
    let detail =
        |name: &str| body.detail.as_ref().and_then(|detail| detail.get(name)).and_then(Value::as_bool);
    let mut open = OpenLayers {
        base: detail("event_unlocked"),
        visitors: detail("visitor_unlocked"),
        has_visitors: detail("visitor_data_available"),
    };
    match body.reason() {
        "already_unlocked" => {
            open.base = open.base.or((layers != Layers::Visitors).then_some(true));
            open.visitors = open.visitors.or((layers != Layers::Base).then_some(true));
        }
        // A price for the base alone says that it is locked.
        "ok" | "insufficient_balance"
            if layers == Layers::Base && matches!(flag(&body.should_charge), Ok(Some(true))) =>
        {
            open.base = open.base.or(Some(false));
        }
        "no_contacts_available" if layers != Layers::Base => {
            open.has_visitors = open.has_visitors.or(Some(false));
        }
        _ => {}
    }
    Ok(open)
}

/// The documented reason codes; only these may reach a timeline.
const REASONS: [&str; 12] = [
    "ok",
    "already_unlocked",
    "unlock_in_progress",
    "state_conflict",
    "insufficient_balance",
    "no_contacts_available",
    "exceed_max_unlock_limit",
    "invalid_subject",
    "unsupported_action",
    "not_found",
    "forbidden",
    "system_error",
];

fn known_reason(reason: &str) -> &'static str {
    REASONS.into_iter().find(|known| *known == reason).unwrap_or("no known reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_of_a_precheck_tells_which_layers_are_open() {
        let read = |body: &str, layers| open_layers(body.as_bytes(), layers).expect("readable");
        let body = r#"{"ok":true,"allowed":true,"should_charge":true,"credits":3000,"reason_code":"ok",
            "detail":{"event_unlocked":true,"visitor_unlocked":false,"visitor_data_available":true}}"#;
        let seen = OpenLayers { base: Some(true), visitors: Some(false), has_visitors: Some(true) };
        assert_eq!(read(body, Layers::Both), seen);
        let had = r#"{"allowed":true,"should_charge":false,"credits":0,"reason_code":"already_unlocked"}"#;
        let both = OpenLayers { base: Some(true), visitors: Some(true), has_visitors: None };
        assert_eq!(read(had, Layers::Both), both, "the reason alone");
        assert_eq!(read(had, Layers::Visitors), OpenLayers { base: None, ..both });
        let priced = r#"{"allowed":true,"should_charge":true,"credits":2000,"reason_code":"ok"}"#;
        let locked = OpenLayers { base: Some(false), ..OpenLayers::default() };
        assert_eq!(read(priced, Layers::Base), locked, "a price for the base");
        assert_eq!(read(priced, Layers::Both), OpenLayers::default(), "of one layer or of both");
        let no_data =
            r#"{"allowed":false,"reason_code":"no_contacts_available","detail":{"event_unlocked":"yes"}}"#;
        let none = OpenLayers { has_visitors: Some(false), ..OpenLayers::default() };
        assert_eq!(read(no_data, Layers::Both), none, "a flag that is none says nothing");
        for odd in [r#"{"detail":[true]}"#, r#"{"detail":null,"reason_code":7}"#, "{}"] {
            assert_eq!(read(odd, Layers::Both), OpenLayers::default(), "{odd}");
        }
        assert!(open_layers(b"<html>", Layers::Both).is_err());
    }

    #[test]
    fn every_case_of_the_precheck_table() {
        let table = [
            (r#"{"ok":true,"allowed":true,"should_charge":true,"credits":15,"reason_code":"ok"}"#, Some(15)),
            (
                r#"{"allowed":false,"should_charge":true,"credits":30,"reason_code":"insufficient_balance"}"#,
                Some(30),
            ),
            (
                r#"{"allowed":true,"should_charge":false,"credits":0,"reason_code":"already_unlocked"}"#,
                Some(0),
            ),
            (
                r#"{"allowed":false,"should_charge":false,"credits":0,"reason_code":"unlock_in_progress"}"#,
                Some(0),
            ),
            (r#"{"allowed":false,"should_charge":true,"credits":15,"reason_code":"not_found"}"#, None),
            (
                r#"{"allowed":false,"should_charge":false,"credits":0,"reason_code":"no_contacts_available"}"#,
                None,
            ),
            (r#"{"allowed":true,"should_charge":false,"credits":0,"reason_code":"ok"}"#, None),
            (r#"{"allowed":true,"should_charge":true,"credits":"15","reason_code":"ok"}"#, None),
            (r#"{"allowed":true,"should_charge":true,"credits":15,"reason_code":"brand_new"}"#, Some(15)),
            (r#"{"should_charge":false,"reason_code":["already_unlocked"]}"#, None),
            (r#"{}"#, None),
        ];
        for (body, expected) in table {
            let quoted = quote(body.as_bytes()).expect("readable");
            let found = match quoted {
                Quote::NothingToPay | Quote::BeingUnlocked => Some(0),
                Quote::Costs(credits) | Quote::TooLittle(credits) => Some(credits.0),
                Quote::NotFound | Quote::Refused(_) | Quote::Unhelpful(_) => None,
            };
            assert_eq!(found, expected, "{body}: {quoted:?}");
        }
        let reason = |body: &str| quote(body.as_bytes()).expect("readable");
        let short =
            r#"{"allowed":false,"should_charge":true,"credits":30,"reason_code":"insufficient_balance"}"#;
        assert_eq!(reason(short), Quote::TooLittle(Credits(30)));
        let gone = r#"{"allowed":false,"should_charge":false,"credits":0,"reason_code":"not_found"}"#;
        assert_eq!(reason(gone), Quote::NotFound);
        let refused = |reason: &str| {
            format!(r#"{{"allowed":false,"should_charge":true,"credits":3000,"reason_code":"{reason}"}}"#)
        };
        for word in
            ["unsupported_action", "state_conflict", "no_contacts_available", "forbidden", "system_error"]
        {
            assert_eq!(reason(&refused(word)), Quote::Refused(word), "whatever else it says");
        }
        assert_eq!(reason(&refused("jane@acme.example")), Quote::Refused("no known reason"));
        let odd = r#"{"allowed":true,"should_charge":false,"credits":0,"reason_code":"jane@acme.example"}"#;
        assert_eq!(reason(odd), Quote::Unhelpful("no known reason"));
        for bad in ["", "[]", "true", "<html>", "[true,true,15,\"ok\"]"] {
            assert!(quote(bad.as_bytes()).is_err_and(|Broken(reason)| reason != ABSURD), "{bad}");
        }
        for absurd in ["9223372036854775807", "1180591620717411303424", "1e300", "-15", "-9e99"] {
            let body =
                format!(r#"{{"allowed":true,"should_charge":true,"credits":{absurd},"reason_code":"ok"}}"#);
            assert_eq!(quote(body.as_bytes()), broken(ABSURD), "{absurd}");
        }
    }

    #[test]
    fn a_yes_or_no_of_another_type_is_read_if_it_can_be_and_is_never_a_yes_otherwise() {
        let read = |allowed: &str| {
            let body =
                format!(r#"{{"allowed":{allowed},"should_charge":true,"credits":15,"reason_code":"ok"}}"#);
            quote(body.as_bytes()).expect("readable")
        };
        for yes in ["true", "1", r#""True""#, "null"] {
            assert_eq!(read(yes), Quote::Costs(Credits(15)), "{yes}");
        }
        for no in ["false", "0", r#""FALSE""#] {
            assert_eq!(read(no), Quote::Refused("ok"), "{no}");
        }
        for odd in ["2", "1.5", r#""unsure""#, "[]", r#"{"value":true}"#] {
            assert_eq!(read(odd), Quote::Refused("system_error"), "{odd}");
        }
        let named = br#"{"allowed":false,"should_charge":true,"credits":0,"reason":"forbidden"}"#;
        assert_eq!(quote(named), Ok(Quote::Refused("forbidden")), "as in one of the vendor's guides");
    }
}
