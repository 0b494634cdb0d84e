//! The values of a statement: what can be bound ([`Bind`]), and how each engine gets it.
//!
//! A list of values is bound as one text of JSON ([`to_json`]), so a statement has one text for any number of them.

use serde::{Serialize, Serializer};
use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;

/// A value that every engine knows. A null has a type, too.
#[derive(Clone, Debug)]
pub(in crate::store) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
}

/// A type that can be bound to a statement.
pub(in crate::store) trait Bind: Sized {
    fn value(self) -> Value;
    fn null() -> Value;
}

macro_rules! bind_as {
    ($variant:ident: $($from:ty => $convert:expr),+ $(,)?) => {$(
        impl Bind for $from {
            fn value(self) -> Value {
                Value::$variant(Some($convert(self)))
            }
            fn null() -> Value {
                Value::$variant(None)
            }
        }
    )+};
}

// A boolean is 1 or 0 in every table.
bind_as!(Integer: i64 => i64::from, u32 => i64::from, u16 => i64::from, bool => i64::from);
bind_as!(Text: String => String::from, &str => String::from, &String => String::clone);

impl<T: Bind> Bind for Option<T> {
    fn value(self) -> Value {
        self.map_or_else(T::null, T::value)
    }

    fn null() -> Value {
        T::null()
    }
}

pub(in crate::store) fn of_sqlite(values: Vec<Value>) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        match value {
            Value::Integer(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A null has the type of the values that stand in its place: PostgreSQL prepares a statement for types.
pub(in crate::store) fn of_postgres(values: Vec<Value>) -> Result<PgArguments, sqlx::Error> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Integer(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text.map(without_nul)),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// No text of PostgreSQL can hold a NUL, nor can its JSON. Left out and not refused: it may stand in what was paid for.
fn without_nul(text: String) -> String {
    const ESCAPED: &str = "\\u0000";
    let text = if text.contains('\0') { text.replace('\0', "") } else { text };
    if !text.starts_with(['[', '{']) || !text.contains(ESCAPED) {
        return text;
    }
    let (mut kept, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(at) = rest.find('\\') {
        let escaped = rest[at..].strip_prefix(ESCAPED);
        kept.push_str(&rest[..at]);
        rest = escaped.unwrap_or(&rest[at..]);
        if escaped.is_none() {
            // A backslash and the sign that it escapes.
            let end = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
            kept.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    kept + rest
}

/// Values for a statement that works on a set. Written directly: a tree of JSON values takes many times the memory.
pub(in crate::store) fn to_json(values: &impl Serialize) -> String {
    serde_json::to_string(values).expect("numbers and texts can be written as JSON")
}

/// The same for pairs of a number and a text, as one object whose keys may be repeated.
pub(in crate::store) fn to_json_pairs(pairs: &[(i64, &str)]) -> String {
    let mut written = Vec::new();
    serde_json::Serializer::new(&mut written)
        .collect_map(pairs.iter().copied())
        .expect("numbers and texts can be written as JSON");
    String::from_utf8(written).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgresql_gets_no_nul_and_everything_else() {
        for (text, kept) in [
            ("a\0b", "ab"),
            (r#"["a\u0000b","c"]"#, r#"["ab","c"]"#),
            // A backslash and the letters, not a NUL.
            (r#"["a\\u0000b\n\u0000\""]"#, r#"["a\\u0000b\n\""]"#),
            (r"a\u0000b", r"a\u0000b"),
            (r#"{"\u00001":"\u0001é\\"}"#, r#"{"1":"\u0001é\\"}"#),
        ] {
            assert_eq!(without_nul(text.to_owned()), kept);
        }
    }
}
