//! Results on standard output: tables for people, JSON for programs.
//!
//! What another program wrote (a reference, an account) is shown without its control characters,
//! so that it cannot forge a line or talk to the terminal.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

pub(super) use crate::store::report::plural;
use crate::store::report::{OutcomeCount, requests::Entry};

/// One JSON document, on lines of its own.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

/// A table, or the sentence for when there is nothing to show.
pub(super) fn table<const N: usize>(
    out: &mut impl Write,
    header: [&str; N],
    rows: Vec<[String; N]>,
    empty: &str,
) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "{empty}");
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| plain(&cell)));
    }
    writeln!(out, "{table}")
}

/// A line `name: value` for each value that is there.
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

/// Without control characters.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}
