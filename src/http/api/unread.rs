//! What could not be read of a body, a query or the arguments of a tool, in plain words. serde speaks of Rust's types,
//! and repeats the value, which may be personal data.

use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, Serialize};

/// What a place in the input is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Noun {
    Field,
    Parameter,
    Argument,
}

impl Noun {
    fn as_str(self) -> &'static str {
        match self {
            Noun::Field => "field",
            Noun::Parameter => "parameter",
            Noun::Argument => "argument",
        }
    }
}

/// The words of serde for what it expected, and ours.
const EXPECTED: [(&str, &str); 10] = [
    ("a JSON number", WHOLE_NUMBER),
    ("i64", WHOLE_NUMBER),
    ("u32", WHOLE_NUMBER),
    ("u64", WHOLE_NUMBER),
    ("a string", "a text"),
    ("a boolean", "true or false"),
    ("a sequence", "a list"),
    ("a map", "an object"),
    ("any valid JSON value", "a JSON value"),
    ("option", "a value"),
];

const WHOLE_NUMBER: &str = "a whole number without quotes, like 1950";

/// Says what is wrong at `path` (`.`: at no field in particular). `message` is serde's.
pub(in crate::http) fn plain(noun: Noun, path: &str, message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let quoted = |start: &str| message.strip_prefix(start)?.split_once('`');
    if let Some((name, rest)) = quoted("unknown field `") {
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let noun = noun.as_str();
        return match known.as_slice() {
            [] => format!("there is no {noun} {name}, and none is taken"),
            [one] => format!("there is no {noun} {name}; there is {one}"),
            several => format!("there is no {noun} {name}; there are: {}", several.join(", ")),
        };
    }
    if let Some((name, _)) = quoted("missing field `") {
        return format!("the {} {name} is missing", noun.as_str());
    }
    if let Some((name, _)) = quoted("duplicate field `") {
        return format!("the {} {name} is given twice", noun.as_str());
    }
    let what = match message.rsplit_once(", expected ") {
        Some((start, expected)) if start.starts_with("invalid ") => format!("expected {}", words(expected)),
        // Of a query: the words of Rust's own parser.
        _ if message.contains("invalid digit") || message.contains("empty string") => {
            "expected a whole number".to_owned()
        }
        _ if message.starts_with("number too ") => {
            message.replace("to fit in target type", "").trim().to_owned()
        }
        _ => message.to_owned(),
    };
    if path == "." { what } else { format!("{path}: {what}") }
}

fn words(expected: &str) -> &str {
    match EXPECTED.iter().find(|(theirs, _)| *theirs == expected) {
        Some((_, ours)) => ours,
        None if expected.starts_with("struct ") => "an object",
        None => expected,
    }
}

/// Reads the arguments of a tool, or says what is wrong.
pub(in crate::http) fn read<T: DeserializeOwned>(noun: Noun, value: impl Serialize) -> Result<T, String> {
    let value = serde_json::to_value(value).map_err(|_| "this is no JSON".to_owned())?;
    serde_path_to_error::deserialize(value)
        .map_err(|error| plain(noun, &error.path().to_string(), &error.inner().to_string()))
}

/// A whole number: 1950.0 is one, as programs without integers write it. A text of digits is none.
pub(in crate::http) fn whole<'de, D, N>(deserializer: D) -> Result<Option<N>, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<i64>,
{
    const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let of_float = || {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < EXACT_BELOW);
        float.map(|float| float as i64)
    };
    let whole = number.as_i64().or_else(of_float);
    let whole = whole.ok_or_else(|| Error::custom("expected a whole number, like 1950"))?;
    N::try_from(whole).map(Some).map_err(|_| Error::custom("the number is too small or too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    #[allow(dead_code)]
    struct Row {
        #[serde(deserialize_with = "whole")]
        max_credits: Option<i64>,
        #[serde(deserialize_with = "whole")]
        max_pages: Option<u32>,
        reference: Option<String>,
        approved: Option<bool>,
    }

    fn read(text: &str) -> Result<Row, String> {
        super::read(Noun::Field, serde_json::from_str::<serde_json::Value>(text).expect("JSON"))
    }

    #[test]
    fn a_whole_number_is_one_with_a_point_too() {
        for text in [r#"{"max_credits":1950}"#, r#"{"max_credits":1950.0}"#, r#"{"max_credits":1.95e3}"#] {
            assert_eq!(read(text).expect(text).max_credits, Some(1950), "{text}");
        }
        assert_eq!(read(r#"{"max_pages":2.0,"max_credits":null}"#).expect("read").max_pages, Some(2));
    }

    #[test]
    fn what_cannot_be_read_is_named_in_plain_words_and_without_its_value() {
        for (text, said) in [
            (r#"{"max_credits":"1950"}"#, "max_credits: expected a whole number without quotes, like 1950"),
            (r#"{"max_credits":1.5}"#, "max_credits: expected a whole number, like 1950"),
            (r#"{"max_credits":1e300}"#, "max_credits: expected a whole number, like 1950"),
            (r#"{"max_pages":-1}"#, "max_pages: the number is too small or too large"),
            (r#"{"reference":["canary"]}"#, "reference: expected a text"),
            (r#"{"approved":1}"#, "approved: expected true or false"),
            (r#"["canary"]"#, "[0]: expected a whole number without quotes, like 1950"),
            ("1", "expected an object"),
            (
                r#"{"status":"canary"}"#,
                "there is no field status; there are: max_credits, max_pages, reference, approved",
            ),
        ] {
            assert_eq!(read(text).expect_err(text), said, "{text}");
        }
    }

    #[test]
    fn parameters_of_a_query_are_named_too() {
        let one = "unknown field `status`, expected `cursor` or `limit`";
        assert_eq!(
            plain(Noun::Parameter, "status", one),
            "there is no parameter status; there are: cursor, limit"
        );
        assert_eq!(
            plain(Noun::Parameter, "limit", "invalid digit found in string"),
            "limit: expected a whole number"
        );
        assert_eq!(
            plain(Noun::Parameter, "limit", "number too large to fit in target type"),
            "limit: number too large"
        );
        assert_eq!(
            plain(Noun::Argument, ".", "unknown field `a`, there are no fields"),
            "there is no argument a, and none is taken"
        );
    }
}
