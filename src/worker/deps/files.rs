//! When the configuration and key files were last read, for rows that may be newer than that.

use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::Notify;

use crate::clock::LEAST_STEP_MS;
use crate::domain::Millis;

/// Rows are dated by another clock: the wall clock, which ours follows only when it was set by more than some seconds.
const CLOCKS_DIFFER_BY_MS: i64 = 1_000;

/// The files, as the process that reads them again tells of them.
#[derive(Debug, Default)]
pub struct Files {
    /// When they were last read. `None`: nobody reads them again, so what was read counts.
    read_at: Mutex<Option<Millis>>,
    wanted: Notify,
}

impl Files {
    /// Somebody reads them from now on. What was read until now is of an unknown age.
    pub fn will_be_read(&self) {
        self.were_read(Millis(0));
    }

    /// They were read after this moment.
    pub fn were_read(&self, began: Millis) {
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
    }

    /// Asks to read them again, soon.
    pub(in crate::worker) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Returns when somebody wants them to be read.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether what was read is newer than a row that another program wrote at `written`: then what it names and the files
    /// do not is an error. Otherwise the files may name it by now.
    pub(in crate::worker) fn are_newer_than(&self, written: Millis, now: Millis) -> bool {
        let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_dated_ahead = written.0 > now.0 + LEAST_STEP_MS;
        read_at.is_none_or(|read_at| is_dated_ahead || read_at.0 - CLOCKS_DIFFER_BY_MS >= written.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_judged_by_files_that_were_read_after_it_was_written() {
        let (files, now) = (Files::default(), Millis(100_000));
        assert!(files.are_newer_than(now, now), "nobody reads them again");
        files.will_be_read();
        assert!(!files.are_newer_than(now, now), "not read yet");
        files.were_read(Millis(50_000));
        for (written, is_judged) in [(49_000, true), (49_001, false), (109_999, false), (110_001, true)] {
            assert_eq!(files.are_newer_than(Millis(written), now), is_judged, "{written}");
        }
    }
}
