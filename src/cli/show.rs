//! Results on standard output: tables for people, JSON for programs.
//!
//! Text of another program (a reference, an error code of the API) is shown with escaped control characters,
//! so that it can neither forge a line nor control the terminal.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

pub(super) use super::columns::{clipped, fit, width_of, wrapped};
use crate::domain::Credits;
pub(super) use crate::store::report::plural;
use crate::store::report::{OutcomeCount, progress::Entry};

/// One JSON document, on lines of its own.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let escapes = out.is_terminal();
    json_to(&mut out, value, escapes)
}

/// The same, to any writer. For a terminal it is escaped; it is the same document.
pub(super) fn json_to(out: &mut impl Write, value: &impl Serialize, escapes: bool) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(out, "{}", if escapes { escaped(&text) } else { text })
}

/// One JSON document on one line. For a terminal it is escaped; it is the same document.
pub(super) fn json_line(out: &mut impl Write, value: &impl Serialize, escapes: bool) -> io::Result<()> {
    if escapes {
        return writeln!(out, "{}", escaped(&serde_json::to_string(value)?));
    }
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Escapes the control characters that JSON leaves as they are; they occur only in strings.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '\n' => escaped.push('\n'),
            char if is_command(char) => escaped.push_str(&format!("\\u{:04x}", char as u32)),
            char => escaped.push(char),
        }
    }
    escaped
}

/// Whether a terminal treats it as a command, or as a change of the writing direction.
fn is_command(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}'
            | '\u{2028}' | '\u{2029}')
}

/// The columns of a table. If a terminal is too narrow, the columns in `may_go` are left out, the last one
/// first. A pipe and `--json` get all columns.
pub(super) struct Columns<const N: usize> {
    pub(super) names: [&'static str; N],
    pub(super) may_go: &'static [&'static str],
}

/// A listing: JSON for programs; for people a table, or a sentence when there is nothing to show.
pub(super) fn listing<T: Serialize, const N: usize>(
    json: bool,
    rows: &[T],
    columns: &Columns<N>,
    cells: impl Fn(&T) -> [String; N],
    empty: &str,
) -> io::Result<()> {
    if json {
        return self::json(&rows);
    }
    table(&mut io::stdout().lock(), columns, rows.iter().map(cells).collect(), empty)
}

/// A table that fits the terminal. In a pipe: no borders and no wrapping, one line for each row, columns two
/// blanks apart, `-` for a missing value.
pub(super) fn table<const N: usize>(
    out: &mut impl Write,
    columns: &Columns<N>,
    rows: Vec<[String; N]>,
    empty: &str,
) -> io::Result<()> {
    table_of_width(out, columns, rows, empty, width())
}

/// A table in the form for pipes, to write into a file.
pub(super) fn table_in_file<const N: usize>(
    out: &mut impl Write,
    columns: &Columns<N>,
    rows: Vec<[String; N]>,
    empty: &str,
) -> io::Result<()> {
    table_of_width(out, columns, rows, empty, None)
}

fn table_of_width<const N: usize>(
    out: &mut impl Write,
    columns: &Columns<N>,
    rows: Vec<[String; N]>,
    empty: &str,
    width: Option<u16>,
) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "{empty}");
    }
    let rows: Vec<[String; N]> = rows.into_iter().map(|row| row.map(|cell| plain(&cell))).collect();
    match width {
        Some(width) => {
            let rows: Vec<_> = rows.into_iter().map(|row| row.map(shortened)).collect();
            writeln!(out, "{}", fitted(columns, &rows, width))
        }
        None => aligned(out, columns, &rows),
    }
}

/// Columns of one cell on a terminal, at most; a pipe gets the whole.
const WIDEST_CELL: usize = 1_000;

fn shortened(cell: String) -> String {
    match clipped(&cell, WIDEST_CELL) {
        whole if whole.len() == cell.len() => cell,
        start => format!("{start}…"),
    }
}

fn fitted<const N: usize>(columns: &Columns<N>, rows: &[[String; N]], width: u16) -> String {
    let mut kept: Vec<usize> = (0..N).collect();
    let mut may_go = columns.may_go.iter().rev();
    loop {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_header(kept.iter().map(|at| columns.names[*at]));
        for row in rows {
            table.add_row(kept.iter().map(|at| row[*at].as_str()));
        }
        for (at, column) in kept.iter().zip(table.column_iter_mut()) {
            if is_numeric(rows, *at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let text = table.to_string();
        let fits = text.lines().next().is_none_or(|line| width_of(line) <= usize::from(width));
        match may_go.next() {
            Some(name) if !fits => kept.retain(|at| columns.names[*at] != *name),
            _ if fits => return text,
            _ => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
                return table.to_string();
            }
        }
    }
}

fn aligned<const N: usize>(
    out: &mut impl Write,
    columns: &Columns<N>,
    rows: &[[String; N]],
) -> io::Result<()> {
    let header = columns.names.map(|name| name.replace(' ', "_"));
    let widths: [usize; N] = std::array::from_fn(|at| {
        rows.iter().chain([&header]).map(|row| width_of(&row[at])).max().unwrap_or(0).max(1)
    });
    for row in [&header].into_iter().chain(rows) {
        let cells = row.iter().zip(widths).enumerate().map(|(at, (cell, width))| {
            let cell = if cell.is_empty() { "-" } else { cell };
            let blanks = " ".repeat(width.saturating_sub(width_of(cell)));
            if is_numeric(rows, at) { format!("{blanks}{cell}") } else { format!("{cell}{blanks}") }
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn is_numeric<const N: usize>(rows: &[[String; N]], at: usize) -> bool {
    rows.iter().all(|row| row[at].is_empty() || row[at].parse::<i64>().is_ok())
}

/// One line `name: value` for each value that is present.
pub(super) fn facts(out: &mut impl Write, facts: &[(&str, Option<String>)]) -> io::Result<()> {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in facts {
        if let Some(value) = value {
            writeln!(out, "  {name:width$}  {}", plain(value))?;
        }
    }
    Ok(())
}

/// The timeline, one event a line.
pub(super) fn timeline(out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
    writeln!(out, "\nTimeline")?;
    for entry in entries {
        let job = entry.job_id.map(|id| format!("job {id} ")).unwrap_or_default();
        let detail = entry.detail.as_deref().map(|detail| format!(": {}", plain(detail))).unwrap_or_default();
        writeln!(out, "  {}  {job}{}{detail}", entry.at, plain(&entry.event))?;
    }
    Ok(())
}

/// Counts in words, such as "71 delivered, 3 failed".
pub(super) fn counts(outcomes: &[OutcomeCount]) -> String {
    let mut parts: Vec<(&str, i64)> = Vec::new();
    for count in outcomes {
        match parts.iter_mut().find(|(outcome, _)| *outcome == count.outcome) {
            Some((_, contacts)) => *contacts += count.contacts,
            None => parts.push((&count.outcome, count.contacts)),
        }
    }
    let parts: Vec<String> =
        parts.iter().map(|(outcome, contacts)| format!("{contacts} {outcome}")).collect();
    if parts.is_empty() { "no contacts known".to_owned() } else { parts.join(", ") }
}

/// A value that may be missing, as a cell.
pub(super) fn cell(value: &Option<impl ToString>) -> String {
    value.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// 12,345: easier to read off than 12345.
pub(super) fn grouped(number: i64) -> String {
    Credits(number).to_string()
}

/// A length of time in its largest unit: 3 s, 5 min, 2 h, 6 d.
pub(super) fn span(ms: i64) -> String {
    match ms / 1_000 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Escapes control characters, and those that change the writing direction: `\x1b`.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            '\t' => plain.push_str("\\t"),
            char if char.is_control() => plain.push_str(&format!("\\x{:02x}", char as u32)),
            char if is_command(char) => plain.push_str(&format!("\\u{{{:x}}}", char as u32)),
            char => plain.push(char),
        }
    }
    plain
}

/// Whether the screen can be drawn on: a terminal that can move its cursor.
pub(super) fn is_live() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal() && !is_dumb(|name| std::env::var_os(name))
}

/// Whether a bar can be drawn on standard error.
pub(super) fn draws_bars() -> bool {
    io::stderr().is_terminal() && !is_dumb(|name| std::env::var_os(name))
}

/// Whether standard output is to be coloured.
pub(super) fn colour() -> bool {
    wants_colour(io::stdout().is_terminal(), |name| std::env::var_os(name))
}

fn is_dumb(env: impl Fn(&str) -> Option<OsString>) -> bool {
    env("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// no-color.org and bixense.com/clicolors: NO_COLOR and CLICOLOR=0 turn colours off.
fn wants_colour(terminal: bool, env: impl Fn(&str) -> Option<OsString>) -> bool {
    let unwanted = env("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env("CLICOLOR").is_some_and(|value| value == "0");
    terminal && !unwanted && !is_dumb(env)
}

/// Columns of the terminal on standard output; `None` in a pipe.
fn width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (columns, _) = ratatui::crossterm::terminal::size().unwrap_or((80, 24));
    Some(columns.max(40))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns<4> =
        Columns { names: ["id", "status", "created at", "reference"], may_go: &["reference", "created at"] };

    fn rows() -> Vec<[String; 4]> {
        [
            ["9", "done", "2026-11-21T08:00:00.000Z", "crm-export-17"],
            ["12", "new", "2026-11-21T08:00:01.000Z", ""],
        ]
        .map(|row| row.map(str::to_owned))
        .into()
    }

    #[test]
    fn a_table_is_never_wider_than_the_terminal() {
        for width in 40..120 {
            let text = fitted(&COLUMNS, &rows(), width);
            for line in text.lines() {
                assert!(line.chars().count() <= usize::from(width), "{width}:\n{text}");
            }
            assert!(text.contains("done"), "{width}:\n{text}");
        }
        let whole = fitted(&COLUMNS, &rows(), 120);
        assert!(whole.contains("crm-export-17") && whole.contains("08:00:00"));
        let narrow = fitted(&COLUMNS, &rows(), 40);
        assert!(narrow.contains("crm-export-17") && !narrow.contains("08:00:00"), "{narrow}");
    }

    #[test]
    fn what_cannot_go_is_wrapped() {
        let columns = Columns { names: ["a", "b"], may_go: &[] };
        let text = fitted(&columns, &[["word ".repeat(20), "x".to_owned()]], 40);
        assert!(text.lines().count() > 5 && text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn a_row_is_one_line_in_a_pipe() {
        let mut out = Vec::new();
        let mut rows = rows();
        rows[0][3] = plain("two\nlines");
        aligned(&mut out, &COLUMNS, &rows).expect("written");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[0], "id  status  created_at                reference");
        assert_eq!(lines[1], " 9  done    2026-11-21T08:00:00.000Z  two\\nlines");
        assert_eq!(lines[2], "12  new     2026-11-21T08:00:01.000Z  -");
    }

    #[test]
    fn signs_of_two_columns_do_not_shift_what_follows() {
        let mut rows = rows();
        rows[0][1] = "完了".to_owned();
        rows[1][1] = "e\u{301}te\u{301}".to_owned();
        let mut out = Vec::new();
        aligned(&mut out, &COLUMNS, &rows).expect("written");
        let text = String::from_utf8(out).expect("text");
        let column = |line: &str| width_of(&line[..line.find("2026").expect("a time")]);
        let columns: Vec<usize> = text.lines().skip(1).map(column).collect();
        assert_eq!(columns, [12, 12], "{text}");
        for width in [40, 60, 80] {
            rows[0][3] = "株式会社ソリューションズ".repeat(4);
            let text = fitted(&COLUMNS, &rows, width);
            assert!(text.lines().all(|line| width_of(line) <= usize::from(width)), "{text}");
        }
        assert_eq!(wrapped("株式会社 ソリューション", 9), ["株式会社", "ソリュー", "ション"]);
        assert_eq!((clipped("株式", 3), clipped("abc", 3), clipped("株", 1)), ("株", "abc", ""));
        assert_eq!(wrapped("株式", 1), ["株", "式"]);
        assert_eq!(wrapped("   株式", 2), ["  ", " 株", " 式"]);
    }

    /// The table library panicked at 65,536 columns.
    #[test]
    fn a_cell_of_any_length_is_a_cell() {
        let rows = vec![["9".to_owned(), "株".repeat(70_000), String::new(), String::new()]];
        assert!(table_of_width(&mut Vec::new(), &COLUMNS, rows, "", Some(80)).is_ok());
    }

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(plain("a\x1b[31mb\u{9b}c\r\n\t\0"), "a\\x1b[31mb\\x9bc\\r\\n\\t\\x00");
        let json = serde_json::to_string(&["a\x1b[31m\u{9b}b \u{202e}ß\n"]).expect("JSON");
        assert_eq!(escaped(&json), "[\"a\\u001b[31m\\u009bb \\u202eß\\n\"]");
        let same: Vec<String> = serde_json::from_str(&escaped(&json)).expect("the same document");
        assert_eq!(same, ["a\x1b[31m\u{9b}b \u{202e}ß\n"]);
        assert_eq!(plain("gro\u{df}e \u{202e}fdp.exe"), "gro\u{df}e \\u{202e}fdp.exe");
    }

    #[test]
    fn colours_are_for_terminals_whose_owner_wants_them() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            }
        };
        assert!(wants_colour(true, env(&[("TERM", "xterm")])));
        assert!(wants_colour(true, env(&[("TERM", "xterm"), ("NO_COLOR", "")])));
        assert!(!wants_colour(false, env(&[("TERM", "xterm")])));
        assert!(!wants_colour(true, env(&[("TERM", "xterm"), ("NO_COLOR", "1")])));
        assert!(!wants_colour(true, env(&[("TERM", "xterm"), ("CLICOLOR", "0")])));
        assert!(!wants_colour(true, env(&[("TERM", "dumb")])));
        assert!(!wants_colour(true, env(&[])));
    }

    #[test]
    fn a_long_line_is_cut_between_words_and_keeps_its_indent() {
        assert_eq!(wrapped("  one two three", 9), ["  one two", "  three"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrapped("  abcdefgh", 5), ["  abc", "  def", "  gh"]);
        assert_eq!(wrapped("", 5), [""]);
        for width in 0..30 {
            let pieces = wrapped("   a bb ccc dddd eeeee ffffff äöü", width);
            assert!(
                width == 0 || pieces.iter().all(|piece| piece.chars().count() <= width),
                "{width} {pieces:?}"
            );
        }
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(grouped(-1_234_567), "-1,234,567");
        let spans = [0, 119_999, 120_000, 7_200_000, 172_800_000].map(span);
        assert_eq!(spans, ["0 s", "119 s", "2 min", "2 h", "2 d"]);
    }
}
