//! The events of a run: the last lines for the person who reads a failure, and a digest of all of them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

const LAST: usize = 60;

pub(crate) struct Trace {
    last: VecDeque<String>,
    digest: DefaultHasher,
    lines: u64,
    loud: bool,
}

impl Trace {
    /// `loud`: each line is printed, too.
    pub(crate) fn new(loud: bool) -> Trace {
        Trace { last: VecDeque::new(), digest: DefaultHasher::new(), lines: 0, loud }
    }

    /// A value that counts for the digest, but is not shown.
    pub(crate) fn note(&mut self, at_ms: i64, what: &str) {
        (at_ms, what).hash(&mut self.digest);
    }

    pub(crate) fn say(&mut self, at_ms: i64, what: impl FnOnce() -> String) {
        let line = format!("{:>9}.{:03} {}", at_ms / 1_000, at_ms % 1_000, what());
        line.hash(&mut self.digest);
        self.lines += 1;
        if self.loud {
            println!("{line}");
        }
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Equal for two runs with the same history.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    pub(crate) fn last(&self) -> String {
        Vec::from(self.last.clone()).join("\n")
    }
}

/// Equal for equal values.
pub(crate) fn digest(values: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    values.hash(&mut hasher);
    hasher.finish()
}
