//! Cells that a spreadsheet could read as a formula.

use std::borrow::Cow;

/// A cell that no spreadsheet reads as a formula. Numbers and phone numbers stay as they are: programs read
/// them, and they cannot compute anything.
pub(super) fn guarded(cell: &str) -> Cow<'_, str> {
    if can_be_formula(cell) { format!("'{cell}").into() } else { cell.into() }
}

/// Spreadsheets treat the wide forms of these characters like the characters themselves, and may skip blanks
/// before them.
const FIRST: [char; 12] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫'];

fn can_be_formula(cell: &str) -> bool {
    if cell.starts_with(['\t', '\r', '\n']) {
        return true;
    }
    let unseen =
        |char: char| char.is_whitespace() || char.is_control() || char == '\u{feff}' || char == '\u{200b}';
    cell.trim_start_matches(unseen).starts_with(FIRST) && !is_number(cell) && !is_phone(cell)
}

/// `-5`, `+1.5`.
fn is_number(cell: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(unsigned) = cell.strip_prefix(['+', '-']) else { return false };
    match unsigned.split_once(['.', ',']) {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

/// `+1 (555) 010-0100 ext. 12`: enough digits for a phone number, and no two operators in a row. A short sum
/// such as `+1-1` is not one.
fn is_phone(cell: &str) -> bool {
    let Some(number) = cell.strip_prefix('+') else { return false };
    let in_number = |char: char| char.is_ascii_digit() || " ()-./\u{a0}".contains(char);
    let end = number.find(|char| !in_number(char)).unwrap_or(number.len());
    let (number, extension) = number.split_at(end);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    let signs_apart = !["--", "//", "-/", "/-", "-.", "()", "(("].iter().any(|pair| number.contains(pair));
    let begins = number.starts_with(|char: char| char.is_ascii_digit() || char == '(');
    (7..=20).contains(&digits) && signs_apart && begins && is_extension(extension)
}

fn is_extension(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let names = ["extension", "ext", ";ext=", "x", "#", ","];
    let Some(rest) = names.iter().find_map(|name| text.strip_prefix(name)) else { return text.is_empty() };
    let digits = rest.trim_start_matches(['.', ':', ' ']);
    (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_formula_gets_an_apostrophe() {
        for cell in [
            "=1+1",
            "+1+1",
            "+1-1",
            "-1+1",
            "-1-1",
            "@sum",
            "\tx",
            "\rx",
            "\n=1",
            " =1+1",
            "\u{feff}=1",
            "＝1+1",
            "＋A1",
            "－1",
            "＠sum",
            "﹦1",
            "+A1",
            "+cmd|' /C calc'!A0",
            "-2+3+cmd|' /C calc'!A0",
            "+15550100*2",
            "+15550100&A1",
            "+1 555 0100 x=1",
            "+1--5550100",
            "-",
            "+",
            "-x",
            "+1555010,B2",
            "+()5550100",
        ] {
            assert_eq!(guarded(cell), format!("'{cell}"), "{cell:?}");
        }
    }

    /// iris-connect 443: an importer copied the apostrophe into the phone number; grafana 17363: negative
    /// numbers became text.
    #[test]
    fn numbers_and_phones_are_written_as_they_are() {
        for cell in [
            "+1 555 0100",
            "+1-555-01789",
            "+1 (555) 010-0100",
            "+49.89.123456",
            "+44 20/7946 0018",
            "+15550100",
            "+1 415 555 0100 ext. 12",
            "+1 415 555 0100 x12",
            "+14155550100;ext=12",
            "+14155550100,12",
            "-5",
            "+7",
            "-0.02",
            "-1,5",
            "0",
            "",
            "a=b",
            "a@b.example",
            "(555) 0100",
            "'+1",
            "x\ty",
        ] {
            assert_eq!(guarded(cell), cell, "{cell:?}");
        }
    }
}
