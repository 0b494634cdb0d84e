//! Contact ids from arguments, files and standard input.
//!
//! A file has one id a line, or is CSV with a column `personnel_id`; other columns are ignored. A
//! byte order mark, CRLF, blank lines and lines that begin with `#` are nothing to complain about.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

const COLUMN: &str = "personnel_id";

/// All ids that were given, in their order, repeats included.
pub(super) fn collect(arguments: &[String], file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut sources: Vec<PathBuf> = file.map(Path::to_owned).into_iter().collect();
    for argument in arguments {
        match argument.as_str() {
            "-" if sources.iter().any(|source| source.as_os_str() == "-") => {}
            "-" => sources.push(PathBuf::from("-")),
            id => ids.push(id.trim().to_owned()),
        }
    }
    for source in &sources {
        let (name, bytes) = if source.as_os_str() == "-" {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
            ("standard input".to_owned(), bytes)
        } else {
            let bytes = std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
            (source.display().to_string(), bytes)
        };
        ids.extend(parse(&bytes).map_err(|problem| anyhow!("{name} {problem}"))?);
    }
    if ids.is_empty() {
        return Err(anyhow!(
            "no contact ids were given: name them (unlockd enqueue 789 790), or give --file FILE, or - for standard input"
        ));
    }
    Ok(ids)
}

/// The ids of a file. The error goes on from the file's name, and repeats nothing of its content.
fn parse(bytes: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "is not UTF-8 text: save it as plain text or as CSV in UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(first) = lines().next() else { return Ok(Vec::new()) };
    let delimiter = [',', ';', '\t'].into_iter().find(|delimiter| first.contains(*delimiter));
    let named = first.split([',', ';', '\t']).any(|cell| is_column(cell.trim().trim_matches('"')));
    match (named, delimiter) {
        (true, delimiter) => column(text, delimiter.unwrap_or(',')),
        (false, Some(_)) => {
            Err(format!("has several columns, and none is called {COLUMN}: name the one with the ids so"))
        }
        (false, None) => Ok(lines().map(|line| line.trim_matches('"').trim().to_owned()).collect()),
    }
}

fn is_column(cell: &str) -> bool {
    cell.eq_ignore_ascii_case(COLUMN)
}

fn column(text: &str, delimiter: char) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter as u8)
        .comment(Some(b'#'))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let broken = |error: csv::Error| match error.position() {
        Some(position) => format!("is no CSV that can be read, at line {}", position.line()),
        None => "is no CSV that can be read".to_owned(),
    };
    let headers = reader.headers().map_err(broken)?;
    let at = headers.iter().position(is_column).ok_or_else(|| format!("has no column {COLUMN}"))?;
    let mut ids = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        // A line of empty cells is what a spreadsheet makes of a blank one.
        if let Some(id) = record.get(at).filter(|id| !id.is_empty()) {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No file makes the reader panic; an id is one trimmed line, and an error repeats nothing of the file.
    #[test]
    fn fuzz_csv() {
        crate::fuzz::run("csv", |bytes| match parse(bytes) {
            Ok(ids) => assert!(ids.iter().all(|id| id == id.trim())),
            Err(problem) => assert!(problem.len() < 200, "{problem}"),
        });
    }

    #[test]
    fn one_id_a_line_or_a_column_called_personnel_id() {
        let cases: [(&str, &[&str]); 8] = [
            ("789\n790\n", &["789", "790"]),
            ("\u{feff}789\r\n\r\n# a comment\r\n  790  \r\n", &["789", "790"]),
            ("personnel_id\n789\n", &["789"]),
            ("name,personnel_id,city\nJane,789,Ulm\n,,\n# note\nJoe,790\nx\n", &["789", "790"]),
            ("\u{feff}\"Personnel_ID\";\"name\"\r\n\"789\";\"Doe; Jane\"\r\n", &["789"]),
            ("name\tpersonnel_id\nJane\t789\n", &["789"]),
            ("\"789\"\n\"790\"\n", &["789", "790"]),
            ("\n# nothing\n", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()).expect(text), expected, "{text:?}");
        }
    }

    #[test]
    fn columns_without_the_right_name_are_refused_and_not_repeated() {
        let said = parse(b"jane@acme.example,789\n").expect_err("no such column");
        assert!(said.contains("personnel_id") && !said.contains("jane"), "{said}");
        assert!(parse(b"\xff\xfe7\x008\x00").expect_err("UTF-16").contains("UTF-8"));
    }
}
