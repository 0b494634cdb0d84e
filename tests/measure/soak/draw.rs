//! The measured figures as `soak.csv`, and as a drawing made without a library: `soak.svg`.

use std::fmt::Write;
use std::path::Path;

use unlockd::sandbox::Call;

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
type Panel = (&'static str, &'static [(&'static str, &'static str, Value)]);

const PANELS: [Panel; 5] = [
    (
        "memory of the worker, MB (shaded: no kills, one process lives on)",
        &[("RSS", "#1f5fa8", |s| Some(s.memory_mb))],
    ),
    (
        "files, MB (history is kept by design; emails and phones are erased after 5 minutes)",
        &[("database", "#1f5fa8", |s| Some(s.database_mb)), ("WAL", "#c2571a", |s| Some(s.wal_mb))],
    ),
    ("database and WAL, MB for 1,000 contacts bought", &[("MB", "#1f5fa8", Sample::growth)]),
    (
        "poll time minus due time, ms (restarts, faults and the rate limit included)",
        &[
            ("p50", "#1f5fa8", |s| s.late_p50_ms.map(|ms| ms as f64)),
            ("p99", "#c2571a", |s| s.late_p99_ms.map(|ms| ms as f64)),
        ],
    ),
    ("kills so far", &[("kill -9", "#1f5fa8", |s| Some(f64::from(s.kills)))]),
];

const WIDTH: f64 = 900.0;
const LEFT: f64 = 70.0;
const HEIGHT: f64 = 120.0;
const STEP: f64 = 170.0;

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
    let height = STEP * PANELS.len() as f64 + 30.0;
    let total = WIDTH + LEFT + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"{total}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let end = samples.last().map_or(1.0, |sample| sample.seconds.max(1.0));
    for (index, panel) in PANELS.iter().enumerate() {
        draw(&mut svg, panel, samples, 30.0 + STEP * index as f64, end);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, (title, lines): &Panel, samples: &[Sample], top: f64, end: f64) {
    let values = lines.iter().flat_map(|(_, _, value)| samples.iter().filter_map(value));
    let most = round_up(values.fold(0.0, f64::max));
    let x = |seconds: f64| LEFT + seconds / end * WIDTH;
    let y = |value: f64| top + HEIGHT - value / most * HEIGHT;
    for pair in samples.windows(2).filter(|pair| pair[0].calm) {
        let (from, to) = (x(pair[0].seconds), x(pair[1].seconds));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"#eef2e6\"/>",
            to - from
        );
    }
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 8.0);
    for part in [0.0, 0.5, 1.0] {
        let (value, at) = (most * part, y(most * part));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}h{WIDTH}\" stroke=\"#bbb\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for part in 0..=6 {
        let seconds = end * f64::from(part) / 6.0;
        let (at, under) = (x(seconds), top + HEIGHT + 16.0);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"middle\">{:.1} min</text>",
            seconds / 60.0
        );
    }
    for (index, (name, colour, value)) in lines.iter().enumerate() {
        let points: Vec<String> = samples
            .iter()
            .filter_map(|sample| Some(format!("{:.1},{:.1}", x(sample.seconds), y(value(sample)?))))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/><text x=\"{}\" y=\"{}\" \
             text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            LEFT + WIDTH - 70.0 * index as f64,
            top - 8.0
        );
    }
}

/// 1, 2 or 5 times a power of ten: an axis that can be read.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 3.0, 5.0, 8.0, 10.0];
    let fitting = steps.iter().map(|step| step * power).find(|step| *step >= value);
    fitting.unwrap_or(value.max(1.0))
}
