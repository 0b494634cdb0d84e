//! Contact ids from arguments, files and standard input.
//!
//! A file has one id on each line, or is CSV as spreadsheets, CRMs and pandas write it. Every line that is
//! not taken is counted and named: a list that becomes shorter without a message loses leads.

mod records;
mod sheet;
mod text;

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use self::sheet::{NotTaken, Sheet};
use super::show::{grouped, plural};
use crate::domain::rounded::Rounded;

/// All ids that were given, in their order, repeats included.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) ids: Vec<String>,
    pub(super) lists: Vec<List>,
}

/// A file or standard input, and its contents.
#[derive(Serialize)]
pub(super) struct List {
    name: String,
    rows: usize,
    without_id: usize,
    not_taken: Vec<NotTaken>,
    /// Ids that a tool may have rounded, and the line of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    looks_rounded: Option<LooksRounded>,
}

#[derive(Serialize)]
struct LooksRounded {
    ids: usize,
    line: usize,
}

/// Reads the ids, and reports for each file how many rows it had and which were not taken.
pub(super) fn collect(
    arguments: &[String],
    file: Option<&Path>,
    column: Option<&str>,
    event: Option<&str>,
) -> anyhow::Result<Collected> {
    let (mut collected, mut given) = (Collected::default(), Rounded::default());
    let mut sources: Vec<PathBuf> = file.map(Path::to_owned).into_iter().collect();
    for argument in arguments {
        match argument.as_str() {
            "-" if sources.iter().any(|source| source.as_os_str() == "-") => {}
            "-" => sources.push(PathBuf::from("-")),
            id => {
                given.note(id.trim(), collected.ids.len() + 1);
                collected.ids.push(id.trim().to_owned());
            }
        }
    }
    if let Some((ids, at)) = given.found() {
        super::say(&look_rounded(ids, &format!("id {at} of the command line"), "take them from the source"));
    }
    if sources.is_empty() && column.is_some() {
        return Err(anyhow!("--column names a column of a file: give --file FILE, or - for standard input"));
    }
    for source in &sources {
        let (name, bytes) = read(source)?;
        let sheet = parse(&bytes, column).map_err(|problem| anyhow!("{name} {problem}"))?;
        super::say(&told(&name, &sheet));
        of_one_event(&sheet, event).map_err(|problem| anyhow!("{name} {problem}"))?;
        collected.ids.extend(sheet.ids);
        let (rows, without_id) = (sheet.rows, sheet.not_taken.len());
        let looks_rounded = sheet.rounded.found().map(|(ids, line)| LooksRounded { ids, line });
        collected.lists.push(List { name, rows, without_id, not_taken: sheet.not_taken, looks_rounded });
    }
    if collected.ids.is_empty() {
        return Err(anyhow!("{}", no_ids(&collected.lists)));
    }
    Ok(collected)
}

/// Why there is nothing to ask for.
fn no_ids(lists: &[List]) -> String {
    if lists.is_empty() {
        return "no contact ids were given: name them (unlockd enqueue 789 790), or give --file FILE, or - for \
                standard input"
            .to_owned();
    }
    let said = lists.iter().map(|List { name, rows, not_taken, .. }| match not_taken.first() {
        Some(first) => {
            let rows = plural(*rows as i64, "row");
            format!("{name} has no contact id in {rows}; line {}: {}", first.line, first.reason.words())
        }
        None => {
            format!("{name} has no contact ids: it is empty, or has nothing below the names of its columns")
        }
    });
    said.collect::<Vec<_>>().join("\n")
}

fn read(source: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    if source.as_os_str() != "-" {
        let bytes = std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        return Ok((source.display().to_string(), bytes));
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(("standard input".to_owned(), bytes))
}

/// The ids of a file. An error text continues after the file's name.
fn parse(bytes: &[u8], column: Option<&str>) -> Result<Sheet, String> {
    sheet::read(&text::decoded(bytes)?, column)
}

/// One request is for one event: contacts of another would be bought under the wrong one.
fn of_one_event(sheet: &Sheet, event: Option<&str>) -> Result<(), String> {
    let Some(event) = event.map(str::trim) else { return Ok(()) };
    let others: Vec<_> = sheet.events.iter().filter(|(other, _)| *other != event).collect();
    let Some((other, line)) = others.iter().min_by_key(|(_, line)| **line) else { return Ok(()) };
    Err(format!(
        "has contacts of {} than --event {event}; the first is {other}, line {line}: make a file for each event, or leave \
         the column of the events out",
        plural(others.len() as i64, "other event")
    ))
}

/// How many rows there were, and each line that was not taken, by reason.
fn told(name: &str, sheet: &Sheet) -> String {
    let rows = if sheet.rows == 1 { "row" } else { "rows" };
    let (count, without) = (grouped(sheet.rows as i64), grouped(sheet.not_taken.len() as i64));
    let mut text = format!("{name}: {count} {rows} read, {without} without an id");
    if let Some(column) = &sheet.column {
        let _ = write!(text, "; the ids are those of the column {column}");
    }
    let mut reasons: Vec<_> = sheet.not_taken.iter().map(|row| row.reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        let lines = sheet.not_taken.iter().filter(|row| row.reason == reason).map(|row| row.line);
        let _ = write!(text, "\n  {}: {}", reason.words(), runs(lines));
    }
    if let Some((ids, line)) = sheet.rounded.found() {
        let warning = look_rounded(ids, &format!("line {line}"), "export the column as text");
        let _ = write!(text, "\n  {warning}");
    }
    text
}

/// The same for every way in: such ids may be true ones, so they are taken.
fn look_rounded(ids: usize, place: &str, to_do: &str) -> String {
    let (look, first) = if ids == 1 { ("looks", "") } else { ("look", " first") };
    let ids = plural(ids as i64, "id");
    format!(
        "WARNING: {ids} {look} rounded by a spreadsheet or by a tool that computes with floats, and may be another \
         contact's: {place}{first}. Compare with the source, and {to_do}"
    )
}

/// `line 3, line 5 to line 90`.
fn runs(lines: impl Iterator<Item = usize>) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for line in lines {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => runs.push((line, line)),
        }
    }
    let words = runs.iter().map(|(first, last)| match last - first {
        0 => format!("line {first}"),
        1 => format!("line {first}, line {last}"),
        _ => format!("line {first} to line {last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    /// No file makes the parser panic; it accepts only ids, every row is taken or named, and an error is
    /// short.
    #[test]
    fn fuzz_csv() {
        crate::fuzz::run("csv", |bytes| match parse(bytes, None) {
            Ok(sheet) => {
                assert_eq!(sheet.rows, sheet.ids.len() + sheet.not_taken.len());
                assert!(sheet.ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_digit())));
                assert!(sheet.not_taken.is_sorted_by_key(|row| row.line));
            }
            Err(problem) => assert!(problem.chars().count() < 4_000, "{problem}"),
        });
    }

    /// The expected result for a file of `tests/corpus/lists`.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expected {
        #[serde(default)]
        ids: Vec<String>,
        /// The program that writes such a file.
        #[serde(rename = "note")]
        _note: String,
        column: Option<String>,
        /// The lines that hold no id.
        #[serde(default)]
        not_taken: Vec<usize>,
        /// A part of the expected error.
        error: Option<String>,
    }

    #[test]
    fn every_list_of_the_corpus_is_read_as_its_manifest_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/lists");
        let manifest = std::fs::read(folder.join("manifest.json")).expect("a manifest");
        let manifest: BTreeMap<String, Expected> = serde_json::from_slice(&manifest).expect("JSON");
        for (name, expected) in &manifest {
            let bytes = std::fs::read(folder.join(name)).expect(name);
            match (parse(&bytes, expected.column.as_deref()), &expected.error) {
                (Ok(sheet), None) => {
                    let lines: Vec<usize> = sheet.not_taken.iter().map(|row| row.line).collect();
                    assert_eq!((&sheet.ids, &lines), (&expected.ids, &expected.not_taken), "{name}");
                }
                (Err(problem), Some(part)) => assert!(problem.contains(part), "{name} {problem}"),
                (read, _) => panic!("{name}: {read:?}"),
            }
        }
        let files = std::fs::read_dir(&folder).expect("a folder").count();
        assert_eq!(files, manifest.len() + 1, "a file that the manifest does not know");
    }

    fn ids(text: &str) -> Vec<String> {
        parse(text.as_bytes(), None).unwrap_or_else(|problem| panic!("{text:?} {problem}")).ids
    }

    #[test]
    fn one_id_a_line_or_a_column_called_personnel_id() {
        let cases: [(&str, &[&str]); 17] = [
            ("789\n790\n", &["789", "790"]),
            ("\u{feff}789\r\n\r\n# a comment\r\n  790  \r\n", &["789", "790"]),
            ("# a comment, with a comma\n789\n", &["789"]),
            ("personnel_id\n789\n", &["789"]),
            ("Personnel ID\n789\n\n790,0\n", &["789", "790"]),
            ("name,personnel_id,city\nJane,789,Ulm\n,,\n# note\nJoe,790\nx\n", &["789", "790"]),
            ("company,personnel_id\n#1 Plumbing,790\nAcme,789\n", &["790", "789"]),
            ("# made by hand\npersonnel_id,name\n789,Jane\n", &["789"]),
            ("#,personnel_id\n1,789\n", &["789"]),
            ("\u{feff}\"Personnel_ID\";\"name\"\r\n\"789\";\"Doe; Jane\"\r\n", &["789"]),
            ("personnel_id;\"Revenue (EUR, m)\"\n789;\"1,5\"\n", &["789"]),
            ("sep=;\npersonnelId;name\n789;Doe, Jane\n", &["789"]),
            ("\"sep=|\"\r\nname|PERSONNEL-ID\r\nJane|789\r\n", &["789"]),
            ("sep=\t\nname\tpersonnel id\nJane\t789\n", &["789"]),
            ("sep=^\nname^personnel_id\nJane^789\n", &["789"]),
            ("\"789\"\n\"790\"\n", &["789", "790"]),
            ("\n# nothing\n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(ids(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_row_is_counted_and_those_without_an_id_are_named() {
        let text = "name,personnel_id\nAda,789\nBo,\nCy,1.23457E+11\nDi,unknown\nEve,500,790\nFay,\nGil,\n";
        let sheet = parse(text.as_bytes(), None).expect("read");
        let told = told("leads.csv", &sheet);
        let (first, rest) = told.split_once('\n').expect("several lines");
        assert_eq!(first, "leads.csv: 7 rows read, 6 without an id");
        for line in
            ["no id: line 3, line 7, line 8", "1.23457E+11), so", "as text: line 4", "digits): line 5"]
        {
            assert!(rest.contains(line), "{told}");
        }
        assert!(rest.contains("shifted: line 6") && !rest.contains("Eve"), "{told}");
        assert_eq!(runs([3, 4, 5, 9].into_iter()), "line 3 to line 5, line 9");
        let all = parse(b"789\n", None).expect("read");
        assert_eq!(super::told("x", &all), "x: 1 row read, 0 without an id");
    }

    /// A cell may hold line ends, and a row may be left out of the count of rows: a line is one of the file all the same.
    #[test]
    fn lines_are_those_of_the_file_whatever_its_cells_hold() {
        let rows = "\"Notes,\nof the call\",personnel_id\n\"one\n\ntwo\",789\n\n# x\n\"a\nb\",\nJoe,unknown\n\"c\",790\n";
        for (ends, shift) in [("\n", 0), ("\r\n", 0), ("\r", 0), ("\n", 2)] {
            let head = if shift > 0 { "sep=,\n# made by hand\n" } else { "" };
            let text = format!("{head}{rows}").replace('\n', ends);
            let sheet = parse(text.as_bytes(), None).expect("read");
            assert_eq!(sheet.ids, ["789", "790"], "{ends:?}");
            let said = told("leads.csv", &sheet);
            for (reason, line) in [("no id: line", 7), ("no id", 8), ("(1 to 20 digits): line", 10)] {
                let line = line + shift;
                assert!(said.contains(reason) && said.contains(&format!("line {line}")), "{ends:?}: {said}");
            }
        }
        let open = parse(b"a,personnel_id\n\"x\ny\",789\n\"z,790\n", None).expect_err("open");
        assert!(open.contains("on line 4"), "{open}");
    }

    /// A cell that contains the delimiter without quotes shifts the cells after it: 500 is not an id here.
    #[test]
    fn a_row_whose_columns_have_shifted_is_not_bought() {
        let text = b"name,employees,personnel_id\nAcme, Inc,500,789\nRoe,20,790\nDoe,30,791,,\n";
        let sheet = parse(text, None).expect("read");
        assert_eq!((sheet.ids.as_slice(), sheet.not_taken[0].line), (&["790".into(), "791".into()][..], 2));
    }

    #[test]
    fn columns_without_the_right_name_are_listed() {
        let csv = "Record ID;Lensmor ID;Notes\n51;789;x\n";
        let said = parse(csv.as_bytes(), None).expect_err("which one?");
        for word in ["Record ID", "Lensmor ID", "Notes", "--column"] {
            assert!(said.contains(word), "{said}");
        }
        for name in ["Lensmor ID", "lensmor id", "lensmor_id"] {
            assert_eq!(parse(csv.as_bytes(), Some(name)).expect(name).ids, ["789"]);
        }
        let other = parse(csv.as_bytes(), Some("id")).expect_err("no such column");
        assert!(other.contains("called id; it has: Record ID"), "{other}");
        let two = parse(b"personnel_id,Personnel ID\n1,2\n", None).expect_err("two");
        assert!(two.contains("2 columns") && two.contains("personnel_id, Personnel ID"), "{two}");
        let exact = parse(b"personnel_id,Personnel ID\n1,2\n", Some("Personnel ID")).expect("the exact name");
        assert_eq!(exact.ids, ["2"]);
        let list = parse(b"789\n", Some("id")).expect_err("a list has no columns");
        assert!(!list.contains("789"), "{list}");
    }

    /// HubSpot, Salesforce, Clay, and the inbox table's own name.
    #[test]
    fn a_name_that_contains_personnel_id_is_taken_if_no_other_does() {
        for name in [
            "Lensmor Personnel ID",
            "LENSMOR_PERSONNEL_ID__C",
            "Personnel ID (Lensmor)",
            "personnel_ids",
            "\"Lensmor personnelId\"",
        ] {
            for csv in
                [format!("{name}\n789\n"), format!("Record ID;{name};\"Revenue (EUR, m)\"\n51;789;\"1,5\"\n")]
            {
                let sheet = parse(csv.as_bytes(), None).unwrap_or_else(|problem| panic!("{csv} {problem}"));
                assert_eq!(sheet.ids, ["789"], "{csv}");
                let is_named = told("leads.csv", &sheet).contains(name.trim_matches('"'));
                assert_eq!(is_named, name != "personnel_ids", "{csv}");
            }
        }
        for name in ["personnel_id", "personnel_ids"] {
            let csv = format!("Old Personnel ID,{name},Personnel ID 2\n1,789,3\n");
            assert_eq!(ids(&csv), ["789"], "the exact name wins");
        }
        let two = parse(b"Old Personnel ID,Lensmor Personnel ID,x\n1,2,3\n", None).expect_err("two");
        assert!(
            two.contains("Old Personnel ID, Lensmor Personnel ID. ") && two.contains("--column"),
            "{two}"
        );
    }

    #[test]
    fn ids_that_look_rounded_are_counted_with_their_first_line() {
        let sheet =
            parse(b"personnel_id\n789\n123456789012345680\n20251000000000000000\n", None).expect("read");
        let said = told("leads.csv", &sheet);
        assert!(said.contains("2 ids look rounded") && said.contains("line 3 first."), "{said}");
        let exact = parse(b"20251000000000001401\n123456789012345678\n", None).expect("read");
        assert!(!told("leads.csv", &exact).contains("rounded"));
    }

    #[test]
    fn a_file_in_which_nothing_is_an_id_says_how_many_lines_it_has() {
        for (text, said) in [
            ("jane\njoe\n", "x.csv has no contact id in 2 rows; line 1: that is not an id (1 to 20 digits)"),
            ("name,personnel_id\nJane,\n", "x.csv has no contact id in 1 row; line 2: there is no id"),
            ("personnel_id\n", "x.csv has no contact ids: it is empty"),
            ("", "x.csv has no contact ids: it is empty"),
        ] {
            let folder = tempfile::tempdir().expect("a temporary directory");
            let file = folder.path().join("x.csv");
            std::fs::write(&file, text).expect("written");
            let problem = collect(&[], Some(&file), None, None).err().expect("no ids").to_string();
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn a_first_line_of_data_is_not_repeated() {
        for text in ["jane@acme.example,789\n", "Jane Doe;789\n", "Jane Doe\t1.23457E+11\n"] {
            let said = parse(text.as_bytes(), None).expect_err("no names");
            assert!(said.contains("personnel_id") && !said.to_lowercase().contains("jane"), "{said}");
        }
    }

    /// BurntSushi/rust-csv 289: one quote too many swallows the rest of the file without an error.
    #[test]
    fn an_open_quote_is_an_error_with_its_line() {
        for text in ["city,personnel_id\nUlm,789\n\"Bonn,790\nKiel,791\n", "personnel_id\n789\n\"790\n791\n"]
        {
            let said = parse(text.as_bytes(), None).expect_err("open");
            assert!(said.contains("line 3") && said.contains("never closed"), "{said}");
        }
    }
}
