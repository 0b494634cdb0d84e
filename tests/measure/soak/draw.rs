//! The measured figures as `soak.csv`, and as a drawing: `soak.svg`.

use std::fmt::Write;
use std::path::Path;

use unlockd::sandbox::Call;

use crate::chart::{self, BLUE, Line, ORANGE, Panel};

/// One measurement of the worker and its files.
#[derive(Clone, Default)]
pub(super) struct Sample {
    pub(super) seconds: f64,
    pub(super) memory_mb: f64,
    pub(super) database_mb: f64,
    pub(super) wal_mb: f64,
    /// Contacts charged so far.
    pub(super) contacts: u32,
    pub(super) kills: u32,
    /// No kills at present.
    pub(super) calm: bool,
    /// Of the polls of the last minute; only in the sample at its end.
    pub(super) late_p50_ms: Option<i64>,
    pub(super) late_p99_ms: Option<i64>,
}

impl Sample {
    /// Database and WAL, for 1,000 contacts.
    fn growth(&self) -> Option<f64> {
        (self.contacts >= 50).then(|| (self.database_mb + self.wal_mb) / f64::from(self.contacts) * 1_000.0)
    }
}

type Value = fn(&Sample) -> Option<f64>;

/// A title, and lines with their names and colours.
type Titled = (&'static str, &'static [(&'static str, &'static str, Value)]);

const PANELS: [Titled; 5] = [
    (
        "memory of the worker, MB (shaded: no kills, one process lives on)",
        &[("RSS", BLUE, |s| Some(s.memory_mb))],
    ),
    (
        "files, MB (history is kept by design; emails and phones are erased after 5 minutes)",
        &[("database", BLUE, |s| Some(s.database_mb)), ("WAL", ORANGE, |s| Some(s.wal_mb))],
    ),
    ("database and WAL, MB for 1,000 contacts bought", &[("MB", BLUE, Sample::growth)]),
    (
        "poll time minus due time, ms (restarts, faults and the rate limit included)",
        &[
            ("p50", BLUE, |s| s.late_p50_ms.map(|ms| ms as f64)),
            ("p99", ORANGE, |s| s.late_p99_ms.map(|ms| ms as f64)),
        ],
    ),
    ("kills so far", &[("kill -9", BLUE, |s| Some(f64::from(s.kills)))]),
];

pub(super) fn write(folder: &Path, samples: &[Sample]) {
    std::fs::write(folder.join("soak.csv"), csv(samples)).expect("soak.csv is written");
    std::fs::write(folder.join("soak.svg"), svg(samples)).expect("soak.svg is written");
}

/// The calls that the sandbox saw, for finding the cause of a violation.
pub(super) fn journal(folder: &Path, calls: &[Call]) {
    let mut text = "at_ms,method,path,key,request_id,status,carried_out,fault\n".to_owned();
    for call in calls {
        let or_blank = |value: &Option<String>| value.clone().unwrap_or_default();
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{}",
            call.at_ms,
            call.method,
            call.path,
            or_blank(&call.key),
            or_blank(&call.request_id),
            call.status.map_or(String::new(), |status| status.to_string()),
            call.carried_out,
            or_blank(&call.fault)
        );
    }
    std::fs::write(folder.join("journal.csv"), text).expect("journal.csv is written");
}

fn csv(samples: &[Sample]) -> String {
    let mut text =
        "seconds,memory_mb,database_mb,wal_mb,contacts,kills,calm,late_p50_ms,late_p99_ms\n".to_owned();
    let or_blank = |value: Option<i64>| value.map_or(String::new(), |value| value.to_string());
    for s in samples {
        let _ = writeln!(
            text,
            "{:.1},{:.1},{:.3},{:.3},{},{},{},{},{}",
            s.seconds,
            s.memory_mb,
            s.database_mb,
            s.wal_mb,
            s.contacts,
            s.kills,
            u8::from(s.calm),
            or_blank(s.late_p50_ms),
            or_blank(s.late_p99_ms),
        );
    }
    text
}

fn svg(samples: &[Sample]) -> String {
    let end = samples.last().map_or(1.0, |sample| sample.seconds.max(1.0));
    let calm = samples.windows(2).filter(|pair| pair[0].calm);
    let calm: Vec<_> = calm.map(|pair| (pair[0].seconds, pair[1].seconds)).collect();
    let line = |(name, colour, value): &(&'static str, &'static str, Value)| {
        let points = samples.iter().filter_map(|sample| Some((sample.seconds, value(sample)?))).collect();
        Line { name, colour, points }
    };
    let panels = PANELS.map(|(title, lines)| Panel {
        title,
        lines: lines.iter().map(line).collect(),
        shaded: calm.clone(),
    });
    let marks: Vec<_> = (0..=6)
        .map(|part| end * f64::from(part) / 6.0)
        .map(|seconds| (seconds, format!("{:.1} min", seconds / 60.0)))
        .collect();
    chart::svg(&panels, (0.0, end), &marks)
}
