//! One id as people, spreadsheets and programs write it → the id.
//!
//! Tools turn ids into numbers and numbers into text: `789.0` (pandas, if another cell is empty), `7.92E+02`
//! and `="00789"` (spreadsheets), `139574.0` (a JavaScript number in a text column). A text that means
//! exactly one id is read as that id. A number that has lost digits is refused: a wrong guess would cost
//! credits.

use super::ids::PersonnelId;

/// The content of a cell that should hold an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Id(PersonnelId),
    /// An empty cell, or the word that a program writes for one.
    Nothing,
    /// A number that was rounded: the original id cannot be known.
    DigitsLost,
    NotAnId,
}

/// Whether `789.000` may mean 789000. Possible in a spreadsheet cell, where the point can separate thousands;
/// not where a point is always decimal, as in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Decimal,
    DecimalOrThousands,
}

/// The words for "no value" of pandas, R, spreadsheets and databases, in lower case.
const NO_VALUE: [&str; 14] =
    ["", "-", "--", "nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "(null)", "\\n", "nil", "none"];

/// From here on a double skips whole numbers, so a number that was a double may stand for another id.
const FIRST_INEXACT: u128 = 1 << 53;

/// Reads the content of a cell that should hold a contact's id.
pub fn read(text: &str, point: Point) -> Written {
    let text = peeled(text);
    if NO_VALUE.contains(&text.to_lowercase().as_str()) {
        return Written::Nothing;
    }
    match whole_number(text, point) {
        Number::Whole(digits) => {
            let digits = digits.trim_start_matches('0');
            PersonnelId::parse(if digits.is_empty() { "0" } else { digits })
                .map_or(Written::NotAnId, Written::Id)
        }
        Number::DigitsLost => Written::DigitsLost,
        Number::Other => Written::NotAnId,
    }
}

/// A text without blanks and invisible characters at both ends.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|char: char| {
        char.is_whitespace() || matches!(char, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
    })
}

/// Removes what spreadsheets put around a number to keep it as text: `="789"`, `"789"`, `'789`.
fn peeled(text: &str) -> &str {
    let mut text = trimmed(text);
    loop {
        let inner = text.strip_prefix('=').filter(|rest| rest.starts_with('"')).unwrap_or(text);
        let inner = match inner.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => quoted,
            None => inner.strip_prefix('\'').map_or(inner, |rest| rest.strip_suffix('\'').unwrap_or(rest)),
        };
        if inner.len() == text.len() {
            return text;
        }
        text = trimmed(inner);
    }
}

/// A text as a whole number, without going through a float.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// Its digits, leading zeros included.
    Whole(String),
    DigitsLost,
    Other,
}

/// Reads `789`, `789.0`, `789,0`, `7.89E+02`.
pub fn whole_number(text: &str, point: Point) -> Number {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
            match exponent.parse::<usize>() {
                Ok(exponent) if exponent < 1_000 && is_digits(mantissa.get(..1).unwrap_or("")) => {
                    (mantissa, Some(exponent))
                }
                _ => return Number::Other,
            }
        }
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
        Some((whole, "")) => (whole, ""),
        Some(_) => return Number::Other,
        None if exponent.is_none() && is_digits(text) => return Number::Whole(text.to_owned()),
        None => (mantissa, ""),
    };
    if !is_digits(whole) {
        return Number::Other;
    }
    let in_groups = fraction.len() == 3 && whole.len() <= 3 && exponent.is_none();
    if in_groups && point == Point::DecimalOrThousands {
        return Number::Other;
    }
    let shift = exponent.unwrap_or(0);
    if shift > fraction.len() {
        return Number::DigitsLost;
    }
    let (more, rest) = fraction.split_at(shift);
    let digits = format!("{whole}{more}");
    if rest.bytes().any(|byte| byte != b'0') {
        return Number::Other;
    }
    match digits.trim_start_matches('0') {
        significant if significant.len() > 16 => Number::DigitsLost,
        significant if significant.parse().unwrap_or(0) >= FIRST_INEXACT => Number::DigitsLost,
        _ => Number::Whole(digits),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(text: &str) -> Written {
        read(text, Point::DecimalOrThousands)
    }

    #[test]
    fn every_spelling_of_one_id_is_that_id() {
        for text in [
            "789",
            " 789\t",
            "\u{a0}789",
            "\u{feff}789",
            "789\u{200b}",
            "0789",
            "00789",
            "789.0",
            "789.00",
            "789.",
            "789,0",
            "789.000000",
            "\"789\"",
            "'789",
            "'789'",
            "=\"00789\"",
            "=\"789.0\"",
            "\" 789 \"",
            "7.89E+02",
            "7.89e2",
            "7,89E+02",
            "7.890E+02",
            "7.8900000E+02",
        ] {
            assert_eq!(cell(text), Written::Id(PersonnelId::trusted("789")), "{text:?}");
        }
        assert_eq!(cell("000"), Written::Id(PersonnelId::trusted("0")));
        assert_eq!(cell("18446744073709551615"), Written::Id(PersonnelId::trusted("18446744073709551615")));
    }

    /// Spreadsheets with a decimal point and with a comma; pandas; the shortest text of a double; SQLite.
    #[test]
    fn a_number_that_lost_digits_is_never_an_id() {
        for text in [
            "1.23457E+11",
            "4,687E+11",
            "1.05514380400001E+016",
            "1E+3",
            "1e3",
            "1.2345678901234568e+17",
            "9007199254740993.0",
            "12345678901234567890.0",
            "9.007199254740993e+15",
            "1.0e+15",
        ] {
            assert_eq!(cell(text), Written::DigitsLost, "{text:?}");
        }
        assert_eq!(cell("9007199254740991.0"), Written::Id(PersonnelId::trusted("9007199254740991")));
    }

    #[test]
    fn no_value_is_told_from_a_wrong_one() {
        for text in
            ["", "  ", "NaN", "nan", "NULL", "None", "N/A", "#N/A", "<NA>", "-", "\\N", "'", "\"\"", "=\"\""]
        {
            assert_eq!(cell(text), Written::Nothing, "{text:?}");
        }
        for text in [
            "x",
            "-789",
            "+789",
            "1.5",
            "789.5",
            "7.891E+02",
            "1,234,567",
            "1.234",
            "789 790",
            "789,790",
            "789;790",
            "0x315",
            "e5",
            "5e",
            "1e-3",
            ".5",
            ".",
            "７８９",
            "#789",
            "=",
            "=789+1",
            "true",
            "2024-01-05",
            "123456789012345678901",
            "#REF!",
        ] {
            assert_eq!(cell(text), Written::NotAnId, "{text:?}");
        }
    }

    #[test]
    fn a_point_before_three_digits_divides_thousands_in_a_cell_only() {
        assert_eq!(cell("789.000"), Written::NotAnId);
        assert_eq!(cell("1789.000"), Written::Id(PersonnelId::trusted("1789")));
        assert_eq!(read("789.000", Point::Decimal), Written::Id(PersonnelId::trusted("789")));
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in any::<String>()) {
            let _ = cell(&text);
        }

        #[test]
        fn a_double_is_read_as_itself_or_not_at_all(number in 0_u64..1 << 60, digits in 0_usize..18) {
            for text in [format!("{:.1}", number as f64), format!("{:.digits$e}", number as f64)] {
                if let Written::Id(id) = cell(&text) {
                    prop_assert_eq!(id.as_str(), number.to_string(), "{}", text);
                }
            }
        }
    }
}
