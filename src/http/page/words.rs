//! Formats figures, times and foreign text for the page.

use maud::{Markup, html};

use crate::domain::{Action, Millis};
use crate::store::report::Time;
use crate::store::report::direct::Summary;

/// 2910 as 2,910.
pub(in crate::http) fn number(figure: i64) -> String {
    let digits = figure.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if figure < 0 { format!("\u{2212}{grouped}") } else { grouped }
}

/// A figure that may be unknown.
pub(super) fn known(figure: Option<i64>) -> String {
    figure.map_or_else(|| "unknown".to_owned(), number)
}

/// A length of time in its two largest units.
pub(super) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A time of day, with the date if it is not today.
pub(super) fn moment(at: Time, now: Millis) -> Markup {
    let text = at.to_string();
    let (Some((date, time)), today) = (text.split_once('T'), Time::from(now).to_string()) else {
        return html! { (text) };
    };
    let time = time.split('.').next().unwrap_or(time);
    let shown = if today.starts_with(date) { time.to_owned() } else { format!("{date} {time}") };
    html! { time datetime=(text) { (shown) } }
}

/// How long ago a moment was.
pub(super) fn ago(at: Time, now: Millis) -> Markup {
    html! { time datetime=(at) title=(at) { (span(now.since(Millis(at.0)))) " ago" } }
}

/// How long it is until a moment.
pub(super) fn until(at: Time, now: Millis) -> Markup {
    let left = Millis(at.0).since(now);
    html! { time datetime=(at) title=(at) { @if left > 0 { "in " (span(left)) } @else { "now" } } }
}

/// For example "1 contact", "2 contacts".
pub(super) fn plural(count: i64, word: &str) -> String {
    format!("{} {word}{}", number(count), if count == 1 { "" } else { "s" })
}

/// Text from other programs, with its invisible characters escaped: control characters, and those that change
/// the writing direction. maud escapes HTML.
pub(super) fn visible(text: &str) -> String {
    let hidden = |char: char| {
        char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            char if !hidden(char) => shown.push(char),
            char if (char as u32) < 0x100 => shown.push_str(&format!("\\x{:02x}", char as u32)),
            char => shown.push_str(&format!("\\u{{{:x}}}", char as u32)),
        }
    }
    shown
}

/// What an action buys; `None` for an unknown action.
pub(super) fn action(action: &str) -> Option<&'static str> {
    Some(match action {
        "unlock_contact_emails" => "emails",
        "unlock_contact_phones" => "phones",
        "unlock_event_contacts" => "base access to an event",
        "unlock_event_visitors" => "visitor access to an event",
        "unlock_event_full_access" => "full access to an event",
        "search_exhibitor_companies" => "a search for companies",
        "search_exhibitor_events" => "a search for events of a company",
        "search_personnel_events" => "a search for events of a person",
        _ => return None,
    })
}

/// Whether an action is about contacts. The items of other actions are paid calls, not contacts.
pub(super) fn has_contacts(action: &str) -> bool {
    Action::parse(action).is_none_or(|action| action.channel().is_some())
}

/// The result of an action without contacts, in few words.
pub(super) fn brought(summary: &Summary) -> String {
    let outcome = visible(&state(&summary.outcome));
    match summary.found {
        Some(found) => format!("{outcome}: {}", plural(found, "result")),
        None => outcome,
    }
}

/// A word of the database in readable form.
pub(super) fn state(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_spans_read_well() {
        let numbers = [0, 999, 1_000, 2_910, 1_234_567, -45, i64::MIN].map(number);
        let expected =
            ["0", "999", "1,000", "2,910", "1,234,567", "\u{2212}45", "\u{2212}9,223,372,036,854,775,808"];
        assert_eq!(numbers, expected);
        let spans = [-5, 0, 59_999, 60_000, 3_600_000, 90_000_000].map(span);
        assert_eq!(spans, ["0 s", "0 s", "59 s", "1 min", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("crm-17 é ✓"), "crm-17 é ✓");
        assert_eq!(visible("a\x1b[31m\r\n\0b\u{9b}"), "a\\x1b[31m\\x0d\\x0a\\x00b\\x9b");
        assert_eq!(visible("invoice\u{202e}fdp.exe\u{200b}"), "invoice\\u{202e}fdp.exe\\u{200b}");
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        let now = Millis(1_795_000_000_120);
        assert!(moment(Time(now.0), now).into_string().ends_with(">11:06:40</time>"));
        assert!(moment(Time(0), now).into_string().ends_with(">1970-01-01 00:00:00</time>"));
        assert_eq!(moment(Time(i64::MAX), now).into_string(), format!("{} ms", i64::MAX));
    }
}
