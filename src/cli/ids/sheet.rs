//! A text → the ids in it, and the lines without an id.
//!
//! A plain list has one id on each line, and comments after `#`. Everything else is a table: its first line
//! names the columns, and one of them holds the ids.

use std::collections::BTreeMap;

use serde::Serialize;

use super::records::{OpenQuote, Record, Records};
use crate::domain::id_text::{self, Point, Written, trimmed};
use crate::domain::rounded::Rounded;

/// The ids of a file, in its order, and how they were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sheet {
    pub(super) ids: Vec<String>,
    /// Rows with or without an id; without blank lines, comments and the header line.
    pub(super) rows: usize,
    pub(super) not_taken: Vec<NotTaken>,
    /// The column's name, if it only contains `personnel_id`.
    pub(super) column: Option<String>,
    pub(super) rounded: Rounded,
    /// The events in a column `event_id` beside the ids, each with its first line.
    pub(super) events: BTreeMap<String, usize>,
}

/// A row without an id. Its content is left out, since it may be personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct NotTaken {
    /// The line on which the row begins.
    pub(super) line: usize,
    pub(super) reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    Empty,
    DigitsLost,
    NotAnId,
    MoreCells,
}

impl Reason {
    pub(super) fn words(self) -> &'static str {
        match self {
            Reason::Empty => "there is no id",
            Reason::DigitsLost => {
                "a spreadsheet rounded the number (like 1.23457E+11), so the id is lost: export the column as text"
            }
            Reason::NotAnId => "that is not an id (1 to 20 digits)",
            Reason::MoreCells => "it has more cells than the first line, so the columns may have shifted",
        }
    }
}

/// The delimiters that tools write; `sep=` in the first line can name any other.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// Reads the ids of a file. `wanted` names the column. An error text continues after the file's name, and
/// repeats only column names from the content.
pub(super) fn read(text: &str, wanted: Option<&str>) -> Result<Sheet, String> {
    if text.trim_start().starts_with(['[', '{']) {
        return Err(
            "is JSON: give one id a line, or CSV; programs write a JSON array into the inbox table".into()
        );
    }
    let (sep, text, line) = match named_delimiter(text) {
        Some((delimiter, rest)) => (Some(delimiter), rest, 2),
        None => (None, text, 1),
    };
    let (text, line) = without_comments(text, line, wanted);
    let delimiters = match &sep {
        Some(delimiter) => std::slice::from_ref(delimiter),
        None => &DELIMITERS,
    };
    let mut best: Option<(Header, Option<usize>)> = None;
    let mut open = None;
    for delimiter in delimiters {
        let header = match header(text, line, *delimiter) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(Sheet::default()),
            Err(quote) => {
                open = Some(quote);
                continue;
            }
        };
        let at = find(&header.record, wanted)?;
        let rank = |header: &Header, at: Option<usize>| (at.is_some(), header.record.cells.len());
        if best.as_ref().is_none_or(|(other, found)| rank(&header, at) > rank(other, *found)) {
            best = Some((header, at));
        }
    }
    match (best, open) {
        (Some((header, Some(at))), _) => rows(&header, at).map_err(unclosed),
        (Some((header, None)), _) if header.record.cells.len() > 1 || wanted.is_some() => {
            Err(no_column(&header.record, wanted))
        }
        (Some(_), _) => Ok(list(text, line)),
        (None, open) => Err(open.map(unclosed).unwrap_or_default()),
    }
}

fn unclosed(quote: OpenQuote) -> String {
    format!(
        "has a quote on line {} that is never closed, so the rows behind it cannot be told apart",
        quote.line
    )
}

/// `sep=;` in the first line, as Excel reads and writes it.
fn named_delimiter(text: &str) -> Option<(char, &str)> {
    let (first, rest) = text.split_once('\n')?;
    let first = first.strip_prefix('"').map_or(first, |inner| inner.trim_end().trim_end_matches('"'));
    let (sep, value) = first.split_at_checked(4)?;
    if !sep.eq_ignore_ascii_case("sep=") {
        return None;
    }
    match value {
        "\\t" => Some(('\t', rest)),
        value => value.chars().next().filter(|char| *char != '"').map(|delimiter| (delimiter, rest)),
    }
}

/// The text from its first line that is not a comment: a comment begins with `#` and names no column.
fn without_comments<'a>(text: &'a str, line: usize, wanted: Option<&str>) -> (&'a str, usize) {
    let (mut rest, mut line) = (text, line);
    while let Some((first, after)) = rest.split_once('\n') {
        let first = trimmed(first);
        let names = |cell: &str| is_called(trimmed(cell).trim_matches('"'), wanted);
        let is_comment = first.starts_with('#') && !first.split(DELIMITERS).any(names);
        if !first.is_empty() && !is_comment {
            break;
        }
        (rest, line) = (after, line + 1);
    }
    (rest, line)
}

/// The header line, and the text after it.
struct Header<'a> {
    record: Record<'a>,
    delimiter: char,
    rest: (&'a str, usize),
}

fn header(text: &str, line: usize, delimiter: char) -> Result<Option<Header<'_>>, OpenQuote> {
    let mut records = Records::new(text, line, Some(delimiter));
    let record = records.next().transpose()?;
    Ok(record.map(|record| Header { record, delimiter, rest: records.rest() }))
}

/// Only letters and digits count: `personnel_id`, `Personnel ID` and `personnelId` are one name.
fn folded(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_called(cell: &str, wanted: Option<&str>) -> bool {
    let wanted = folded(wanted.unwrap_or("personnel_id"));
    !wanted.is_empty() && folded(cell) == wanted
}

/// The names that we use ourselves, for one id and for a list.
const OWN_NAMES: [&str; 2] = ["personnelid", "personnelids"];

/// The column with the ids: called as wanted, or else the only one whose name contains `personnel_id`, as CRMs name the
/// fields that people add.
fn find(header: &Record<'_>, wanted: Option<&str>) -> Result<Option<usize>, String> {
    let at = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
        let cells = header.cells.iter().enumerate();
        cells.filter(|(_, cell)| is(trimmed(cell))).map(|(at, _)| at).collect()
    };
    let exact = at(&|cell| wanted.is_some_and(|wanted| cell == wanted.trim()));
    let mut found = if exact.is_empty() { at(&|cell| is_called(cell, wanted)) } else { exact };
    if found.is_empty() && wanted.is_none() {
        found = at(&|cell| folded(cell) == OWN_NAMES[1]);
    }
    if found.is_empty() && wanted.is_none() {
        // A cell with a delimiter may be several names, read with the wrong one.
        found = at(&|cell| folded(cell).contains(OWN_NAMES[0]) && !cell.contains(DELIMITERS));
    }
    match found.as_slice() {
        [] => Ok(None),
        [at] => Ok(Some(*at)),
        several => {
            let names: Vec<String> =
                several.iter().take(MOST_NAMES).map(|at| shown(&header.cells[*at])).collect();
            Err(format!(
                "has {} columns that may be called {}: {}. Name the one with the ids: --column NAME (rename it, if \
                 they are called alike)",
                several.len(),
                wanted.unwrap_or("personnel_id"),
                names.join(", ")
            ))
        }
    }
}

/// At most this many column names are listed in an error.
const MOST_NAMES: usize = 40;

fn no_column(header: &Record<'_>, wanted: Option<&str>) -> String {
    let wanted = wanted.unwrap_or("personnel_id");
    let is_data = |cell: &str| {
        cell.contains('@')
            || matches!(id_text::read(cell, Point::Decimal), Written::Id(_) | Written::DigitsLost)
    };
    if header.cells.iter().any(|cell| is_data(cell)) {
        return "has several columns, and its first line does not name them: put a line of names above, \
                and call the column with the ids personnel_id"
            .into();
    }
    let names: Vec<String> = header.cells.iter().take(MOST_NAMES).map(|cell| shown(cell)).collect();
    let more = match header.cells.len().saturating_sub(MOST_NAMES) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(
        "has no column called {wanted}; it has: {}{more}. Name the one with the ids: --column NAME",
        names.join(", ")
    )
}

fn shown(name: &str) -> String {
    let name: String = trimmed(name).chars().take(60).collect();
    if name.is_empty() { "(without a name)".to_owned() } else { name }
}

fn rows(header: &Header<'_>, at: usize) -> Result<Sheet, OpenQuote> {
    let (text, line) = header.rest;
    let width = header.record.cells.len();
    // If there is only one column, a comma belongs to the cell: `789,0`.
    let delimiter = (width > 1).then_some(header.delimiter);
    let name = trimmed(&header.record.cells[at]);
    let is_own = OWN_NAMES.contains(&folded(name).as_str());
    let mut sheet = Sheet { column: (!is_own).then(|| shown(name)), ..Sheet::default() };
    let event_at = header.record.cells.iter().position(|cell| folded(trimmed(cell)) == "eventid");
    for record in Records::new(text, line, delimiter) {
        let record = record?;
        if let Some(event) = event_at.and_then(|at| event(record.cells.get(at)?)) {
            sheet.events.entry(event).or_insert(record.line);
        }
        let cell = record.cells.get(at).map_or("", |cell| cell);
        let has_more = record.cells.iter().skip(width).any(|cell| !trimmed(cell).is_empty());
        match has_more {
            true => sheet.leave(record.line, Reason::MoreCells),
            false => sheet.take(record.line, cell),
        }
    }
    Ok(sheet)
}

/// The event in a cell, spelt as its id.
fn event(cell: &str) -> Option<String> {
    match id_text::read(cell, Point::Decimal) {
        Written::Nothing => None,
        Written::Id(id) => Some(id.as_str().to_owned()),
        _ => Some(shown(cell)),
    }
}

/// One id a line.
fn list(text: &str, line: usize) -> Sheet {
    let mut sheet = Sheet::default();
    for (at, text) in text.split('\n').enumerate() {
        let text = trimmed(text);
        if !text.is_empty() && !text.starts_with('#') {
            sheet.take(line + at, text);
        }
    }
    sheet
}

impl Sheet {
    fn take(&mut self, line: usize, cell: &str) {
        match id_text::read(cell, Point::DecimalOrThousands) {
            Written::Id(id) => {
                self.rows += 1;
                self.rounded.note(id.as_str(), line);
                self.ids.push(id.as_str().to_owned());
            }
            Written::Nothing => self.leave(line, Reason::Empty),
            Written::DigitsLost => self.leave(line, Reason::DigitsLost),
            Written::NotAnId => self.leave(line, Reason::NotAnId),
        }
    }

    fn leave(&mut self, line: usize, reason: Reason) {
        self.rows += 1;
        self.not_taken.push(NotTaken { line, reason });
    }
}
