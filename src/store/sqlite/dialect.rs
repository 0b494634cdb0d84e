//! The few expressions in the store's statements that SQLite writes differently, and their translation.
//!
//! A statement is one text for every engine. Where no text works in both, it calls a function with a name of
//! ours. Here that call is replaced by SQLite's own expression; for another engine its migrations create a
//! function with that name (`greatest` and `least` exist there already).

use std::borrow::Cow;

/// Our function, and SQLite's expression, with the arguments as `{0}` and `{1}`.
const WORDS: [(&str, &str); 10] = [
    // Rows with one column `value`: the numbers, the texts or the arrays of a JSON array. An array stays in SQLite's own
    // form, so that it is not written and read again for each of its elements.
    ("json_ids", "json_each({0})"),
    ("json_words", "json_each({0})"),
    ("json_rows", "jsonb_each({0})"),
    // Rows with the columns `key` and `value`, both text: the members of a JSON object, whose keys may be repeated.
    ("json_pairs", "json_each({0})"),
    // One element of an array, counted from 0, as a number or as a text.
    ("json_number", "({0}->>{1})"),
    ("json_text", "({0}->>{1})"),
    // A text as bytes, since any program may have written it.
    ("bytes_of", "cast({0} as blob)"),
    // The larger of two values that are not null. (SQLite's `max` is null if one of them is.)
    ("greatest", "max({0}, {1})"),
    ("least", "min({0}, {1})"),
    // The time by the clock that all writers share: the database's own, or on one machine the process's.
    ("database_clock", "({0})"),
];

/// Translates a statement of the store for SQLite.
pub fn sqlite(text: &str) -> Cow<'_, str> {
    let Some((at, (word, meaning))) = first_word(text) else { return Cow::Borrowed(text) };
    let rest = &text[at + word.len() + 1..];
    let Some(end) = closing(rest) else { return Cow::Borrowed(text) };
    let arguments = sqlite(&rest[..end]).into_owned();
    let (first, second) = split(&arguments);
    let written = meaning.replace("{0}", first).replace("{1}", second);
    Cow::Owned(format!("{}{written}{}", &text[..at], sqlite(&rest[end + 1..])))
}

/// The first call of one of our functions, and its place.
fn first_word(text: &str) -> Option<(usize, (&'static str, &'static str))> {
    let begins = |at: usize| !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
    let called = |word: &str| {
        let mut places = text.match_indices(word).map(|(at, _)| at);
        places.find(|at| begins(*at) && text[at + word.len()..].starts_with('('))
    };
    WORDS.into_iter().filter_map(|word| Some((called(word.0)?, word))).min()
}

/// The place of the bracket that closes the one opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0;
    text.char_indices().find_map(|(at, char)| match char {
        '(' => {
            open += 1;
            None
        }
        ')' if open == 0 => Some(at),
        ')' => {
            open -= 1;
            None
        }
        _ => None,
    })
}

/// Splits two arguments; the second is empty if there is only one.
fn split(arguments: &str) -> (&str, &str) {
    let mut open = 0;
    let comma = arguments.char_indices().find(|(_, char)| {
        match char {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        *char == ',' && open == 0
    });
    match comma {
        Some((at, _)) => (arguments[..at].trim(), arguments[at + 1..].trim()),
        None => (arguments.trim(), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_are_written_out_and_all_else_stays() {
        for (ours, theirs) in [
            ("select 1", "select 1"),
            ("id in (select value from json_ids($1)) and x", "id in (select value from json_each($1)) and x"),
            ("select json_text(value, 12) from json_rows($1)", "select (value->>12) from jsonb_each($1)"),
            ("nullif(greatest(coalesce(a, 0), b), 0)", "nullif(max(coalesce(a, 0), b), 0)"),
            ("greatest(least(a, b), json_number(c, 0))", "max(min(a, b), (c->>0))"),
            ("bytes_of(query) as query, greatest_of(a)", "cast(query as blob) as query, greatest_of(a)"),
            ("the_greatest(a, b)", "the_greatest(a, b)"),
        ] {
            assert_eq!(sqlite(ours), theirs);
        }
    }

    #[test]
    fn a_statement_that_needs_no_other_words_is_not_copied() {
        assert!(matches!(sqlite("select greatest from least"), Cow::Borrowed(_)));
    }
}
