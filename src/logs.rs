//! Log lines: one event, one line, on standard error.
//!
//! JSON lines are flat: `timestamp`, `level`, `message`, `target` and the event's own fields side by side.
//! The human format is our own, because the library's format prints line breaks in values unchanged: a value
//! from outside (an error text of the API, a reference of a caller) must not be able to forge a line or to
//! send control codes to a terminal. Spans are not printed; an event has its own fields.
//!
//! `log.level` is the default and `RUST_LOG` refines it. Our libraries log little that is useful at `info`
//! and much at `debug`, so they stay at `warn` unless a directive names them. The level can be changed while
//! the program runs; the format cannot.
//!
//! A log line shows the time when it is made, which this module reads itself.

mod queue;

use std::{
    ffi::OsString,
    fmt::{self, Write as _},
    io::{self, IsTerminal},
    sync::Arc,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, ParseError, filter_fn},
    fmt::{
        FmtContext, FormatEvent, MakeWriter,
        format::{FormatFields, Writer},
        time::FormatTime,
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat};
use queue::Queue;

const NOISY: [&str; 8] = ["hyper", "hyper_util", "reqwest", "rustls", "sqlx", "notify", "h2", "tower_http"];

/// It writes whole messages, with the values in them.
const SILENT: &str = "rmcp";

/// Changes the level of a running program.
#[derive(Clone)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    rust_log: Option<String>,
    #[expect(dead_code, reason = "held until the last handle is dropped, which writes what is left")]
    lines: Option<Arc<Lines>>,
}

/// Writes what is still in the queue when the last handle is gone.
struct Lines(Queue);

impl Drop for Lines {
    fn drop(&mut self) {
        self.0.flush();
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    #[error("log.level is not understood")]
    Level(#[from] ParseError),
    #[error("the log is closed")]
    Closed(#[from] reload::Error),
}

impl LogHandle {
    /// `level` as in `log.level`; `RUST_LOG` still refines it.
    pub fn set_level(&self, level: &str) -> Result<(), LevelError> {
        let (filter, _) = filter(level, self.rust_log.as_deref())?;
        Ok(self.filter.reload(filter)?)
    }
}

/// Starts logging for the whole process. A second call in one process has no effect on what is printed.
/// The last lines are written when the last handle is dropped.
#[must_use]
pub fn init(log: &Log) -> LogHandle {
    let style = style(log.format, io::stderr().is_terminal(), |name| std::env::var_os(name));
    let rust_log = std::env::var("RUST_LOG").ok();
    let (handle, ignored) = match Queue::start(queue::LIMIT, io::stderr()) {
        Ok(queue) => {
            let (subscriber, handle, ignored) = build(&log.level, rust_log, style, queue.clone());
            // Fails if this process logs already; then the first logger stays, as documented above.
            let _ = subscriber.try_init();
            (LogHandle { lines: Some(Arc::new(Lines(queue))), ..handle }, ignored)
        }
        // Without a thread for them, lines that wait are better than none.
        Err(_) => {
            let (subscriber, handle, ignored) = build(&log.level, rust_log, style, io::stderr);
            let _ = subscriber.try_init();
            (handle, ignored)
        }
    };
    if let Some(error) = ignored {
        tracing::warn!(%error, "RUST_LOG is not valid and is ignored");
    }
    handle
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Json,
    Plain,
    Colour,
}

/// Colours are for terminals only, and not if NO_COLOR is set or the terminal is dumb.
fn style(format: LogFormat, terminal: bool, env: impl Fn(&str) -> Option<OsString>) -> Style {
    let unwanted = env("NO_COLOR").is_some_and(|value| !value.is_empty())
        || env("TERM").is_some_and(|term| term == "dumb");
    match format {
        LogFormat::Json => Style::Json,
        LogFormat::Auto if !terminal => Style::Json,
        LogFormat::Auto | LogFormat::Pretty if terminal && !unwanted => Style::Colour,
        LogFormat::Auto | LogFormat::Pretty => Style::Plain,
    }
}

type Ignored = Option<ParseError>;

fn build<W>(
    level: &str,
    rust_log: Option<String>,
    style: Style,
    writer: W,
) -> (impl Subscriber + Send + Sync + for<'a> LookupSpan<'a>, LogHandle, Ignored)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The configuration has checked the level; a caller without it still gets a log.
    let (filter, ignored) =
        filter(level, rust_log.as_deref()).unwrap_or_else(|error| (EnvFilter::new("info"), Some(error)));
    let (filter, handle) = reload::Layer::new(filter);
    // The library would report a failed write with eprintln!, which panics if standard error is closed.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(style == Style::Colour)
        .log_internal_errors(false);
    let layer = if style == Style::Json {
        let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
        layer.with_timer(Milliseconds).boxed()
    } else {
        layer.event_format(OneLine).boxed()
    };
    let handle = LogHandle { filter: handle, rust_log, lines: None };
    let layer = layer.with_filter(filter_fn(|metadata| !metadata.target().starts_with(SILENT)));
    (tracing_subscriber::registry().with(filter).with(layer), handle, ignored)
}

/// The filter, and why `RUST_LOG` could not be used in it.
fn filter(level: &str, rust_log: Option<&str>) -> Result<(EnvFilter, Ignored), ParseError> {
    if let Some(rust_log) = rust_log.filter(|text| !text.trim().is_empty()) {
        let both = format!("{level},{rust_log}");
        return match EnvFilter::builder().parse(with_caps(&both)) {
            Ok(filter) => Ok((filter, None)),
            Err(error) => Ok((EnvFilter::builder().parse(with_caps(level))?, Some(error))),
        };
    }
    Ok((EnvFilter::builder().parse(with_caps(level))?, None))
}

/// Of two directives for one target the later counts, so the limits come first. A limit must not raise a
/// level that is lower by default, for example `error` or `off`.
fn with_caps(directives: &str) -> String {
    let default =
        directives.split(',').filter_map(|part| part.trim().parse::<LevelFilter>().ok()).next_back();
    let cap = default.unwrap_or(LevelFilter::WARN).min(LevelFilter::WARN);
    let mut all = String::new();
    for target in NOISY {
        let _ = write!(all, "{target}={cap},");
    }
    // It quotes the line of a password file that it cannot read.
    all += "sqlx_postgres::options::pgpass=off,";
    all + directives
}

/// RFC 3339 in UTC with milliseconds.
struct Milliseconds;

impl FormatTime for Milliseconds {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{:.3}", jiff::Timestamp::now())
    }
}

/// `2026-11-21T10:00:00.123Z  INFO task ended job_id=41 status=200 (unlockd::worker)`
struct OneLine;

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut w: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let (dim, end) = if w.has_ansi_escapes() { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        let colour = if w.has_ansi_escapes() { colour(*level) } else { "" };
        write!(w, "{dim}")?;
        Milliseconds.format_time(&mut w)?;
        write!(w, "{end} {colour}{level:>5}{end} {}", line.message)?;
        writeln!(w, "{} {dim}({target}){end}", line.fields)
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[34m",
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            push_escaped(&mut self.message, value);
            return;
        }
        let _ = write!(self.fields, " {}=", field.name());
        // Quoted if it contains something that looks like the end of the value.
        if value.is_empty() || value.contains([' ', '"', '=']) {
            self.fields.push('"');
            push_escaped(&mut self.fields, &value.replace('\\', "\\\\").replace('"', "\\\""));
            self.fields.push('"');
        } else {
            push_escaped(&mut self.fields, value);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// Escapes control characters, and invisible ones that end a line or change the writing direction.
fn push_escaped(to: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            to.extend(c.escape_debug());
        } else {
            to.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn written(
        style: Style,
        level: &str,
        rust_log: Option<&str>,
        log: impl FnOnce(&LogHandle, &Written),
    ) -> String {
        let to = Written::default();
        let writer = to.clone();
        let (subscriber, handle, _) =
            build(level, rust_log.map(str::to_owned), style, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || log(&handle, &to));
        to.take()
    }

    const NASTY: &str = "a\nb\r\u{1b}[31m\u{7}\u{9b}2J\t\u{2028}\u{202e}\"q\" x=1";

    fn say_nasty(_: &LogHandle, _: &Written) {
        let error = io::Error::other(NASTY);
        tracing::warn!(display = %NASTY, debug = ?NASTY, text = NASTY, error = &error as &dyn std::error::Error, "{NASTY}");
    }

    #[test]
    fn a_json_line_is_flat_and_has_the_contracts_names() {
        let text = written(Style::Json, "info", None, |_, _| {
            let span = tracing::info_span!("pass", hidden = 1);
            let _in = span.enter();
            tracing::info!(method = "POST", status = 200, job_id = 41_i64, "API call");
        });
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        let mut names: Vec<&str> = line.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["job_id", "level", "message", "method", "status", "target", "timestamp"]);
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"API call".into()));
        assert_eq!((&line["status"], &line["job_id"]), (&200.into(), &41.into()));
        assert_eq!(line["target"], "unlockd::logs::tests");
        let at = line["timestamp"].as_str().unwrap();
        assert!(at.parse::<jiff::Timestamp>().is_ok() && at.len() == 24 && at.ends_with('Z'), "{at}");
    }

    #[test]
    fn control_characters_stay_on_their_line_in_every_style() {
        for style in [Style::Json, Style::Plain, Style::Colour] {
            let text = written(style, "info", None, say_nasty);
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(text.ends_with('\n'));
            let text = text.trim_end().replace("\x1b[2m", "").replace("\x1b[0m", "").replace("\x1b[33m", "");
            assert!(!text.contains(|c: char| c.is_control() && style != Style::Json), "{text:?}");
            assert!(!text.contains(['\n', '\r', '\u{1b}']), "{text:?}");
        }
    }

    #[test]
    fn the_human_line_reads_from_time_to_target() {
        let text = written(Style::Plain, "info", None, |_, _| {
            tracing::info!(job_id = 41, reference = "crm 17", "task ended")
        });
        let rest = text.split_once("Z ").unwrap().1;
        assert_eq!(rest, " INFO task ended job_id=41 reference=\"crm 17\" (unlockd::logs::tests)\n");
    }

    #[test]
    fn auto_is_for_people_on_a_terminal_and_json_elsewhere() {
        use LogFormat::{Auto, Json, Pretty};
        let none = |_: &str| None;
        assert_eq!(style(Auto, true, none), Style::Colour);
        assert_eq!(style(Auto, false, none), Style::Json);
        assert_eq!(style(Pretty, false, none), Style::Plain);
        assert_eq!(style(Json, true, none), Style::Json);
        let set = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| OsString::from(value))
        };
        assert_eq!(style(Auto, true, set("NO_COLOR", "1")), Style::Plain);
        assert_eq!(style(Auto, true, set("NO_COLOR", "")), Style::Colour);
        assert_eq!(style(Auto, true, set("TERM", "dumb")), Style::Plain);
    }

    #[test]
    fn only_the_colour_style_has_colours() {
        let say = |_: &LogHandle, _: &Written| tracing::info!("x");
        assert!(!written(Style::Plain, "info", None, say).contains('\x1b'));
        assert!(!written(Style::Json, "info", None, say).contains('\x1b'));
        assert!(written(Style::Colour, "info", None, say).contains("\x1b[32m INFO"));
    }

    #[test]
    fn the_level_reloads() {
        written(Style::Plain, "warn", None, |handle, to| {
            tracing::info!("unseen");
            assert_eq!(to.take(), "");
            handle.set_level("info").unwrap();
            tracing::info!("seen");
            assert!(to.take().contains("seen"));
            assert!(handle.set_level("unlockd=loud").is_err());
            tracing::info!("still seen");
            assert!(to.take().contains("still seen"));
        });
    }

    fn heard(level: &str, rust_log: Option<&str>) -> Vec<&'static str> {
        let text = written(Style::Plain, level, rust_log, |_, _| {
            tracing::debug!("own-debug");
            tracing::warn!("own-warn");
            tracing::info!(target: "sqlx::query", "sqlx-info");
            tracing::warn!(target: "hyper_util::client", "hyper-warn");
        });
        let all = ["own-debug", "own-warn", "sqlx-info", "hyper-warn"];
        all.into_iter().filter(|m| text.contains(m)).collect()
    }

    #[test]
    fn libraries_are_held_at_warn_until_named() {
        assert_eq!(heard("info", None), ["own-warn", "hyper-warn"]);
        assert_eq!(heard("trace", None), ["own-debug", "own-warn", "hyper-warn"]);
        assert_eq!(heard("off", None), [""; 0]);
        assert_eq!(heard("error", None), [""; 0], "the cap raises nothing");
        assert_eq!(heard("info", Some("sqlx=info")), ["own-warn", "sqlx-info", "hyper-warn"]);
        assert_eq!(heard("info,sqlx=debug", None), ["own-warn", "sqlx-info", "hyper-warn"]);
        assert_eq!(heard("info", Some("debug")), ["own-debug", "own-warn", "hyper-warn"]);
        assert_eq!(heard("info", Some("unlockd::logs=debug,hyper_util=off")), ["own-debug", "own-warn"]);
    }

    #[test]
    fn a_rust_log_that_is_not_understood_is_reported_and_ignored() {
        assert!(filter("info", Some("unlockd=loud")).unwrap().1.is_some());
        assert!(filter("info", Some("unlockd=debug")).unwrap().1.is_none());
        assert_eq!(heard("info", Some("unlockd=loud")), ["own-warn", "hyper-warn"]);
    }
}
