//! The findings of `unlockd check`: one line for each item, with a suggested fix.
//!
//! A table for people, a JSON array for programs. The exit code is the highest of the failures; a warning
//! alone is not a failure.

use std::io::Write;

use serde::Serialize;

use super::{Failure, Outcome, show};

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

#[derive(Serialize)]
pub(super) struct Finding {
    check: String,
    level: Level,
    /// False only for a failure.
    ok: bool,
    detail: String,
    /// The suggested fix. The JSON field keeps its first name, `mend`.
    #[serde(rename = "mend")]
    fix: Option<String>,
    #[serde(skip)]
    code: u8,
}

#[derive(Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, check: impl Into<String>, detail: impl Into<String>) {
        self.add(check, Level::Ok, detail, None, 0);
    }

    pub(super) fn warn(
        &mut self,
        check: impl Into<String>,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(check, Level::Warn, detail, Some(fix.into()), 0);
    }

    /// A problem whose description already says what to do.
    pub(super) fn problem(&mut self, check: impl Into<String>, detail: impl Into<String>, code: u8) {
        self.add(check, Level::Fail, detail, None, code);
    }

    pub(super) fn fail(
        &mut self,
        check: impl Into<String>,
        detail: impl Into<String>,
        fix: impl Into<String>,
        code: u8,
    ) {
        self.add(check, Level::Fail, detail, Some(fix.into()), code);
    }

    fn add(
        &mut self,
        check: impl Into<String>,
        level: Level,
        detail: impl Into<String>,
        fix: Option<String>,
        code: u8,
    ) {
        let (check, detail, ok) = (check.into(), detail.into(), level != Level::Fail);
        self.0.push(Finding { check, level, ok, detail, fix, code });
    }
}

pub(super) fn tell(findings: &[Finding], json: bool) -> Outcome {
    if json {
        show::json(&findings)?;
    } else {
        let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut out = std::io::stdout().lock();
        for finding in findings {
            let word = match finding.level {
                Level::Ok => "ok",
                Level::Warn => "warn",
                Level::Fail => "FAIL",
            };
            let fix = finding.fix.as_ref().map(|fix| format!(". Fix: {fix}")).unwrap_or_default();
            let detail = show::plain(&finding.detail);
            writeln!(out, "{word:4}  {:width$}  {detail}{fix}", finding.check)?;
        }
    }
    match findings.iter().map(|finding| finding.code).max() {
        None | Some(0) => Ok(()),
        Some(code) => {
            let count = findings.iter().filter(|finding| !finding.ok).count() as i64;
            let problems = show::plural(count, "problem");
            let error = anyhow::anyhow!("{problems} found");
            Err(Failure { code, error })
        }
    }
}
