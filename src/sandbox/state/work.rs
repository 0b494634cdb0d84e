//! Free work: the analysis of LinkedIn activity, and drafts of messages.

use std::collections::{HashMap, HashSet};

use crate::sandbox::words::event::Event;
use crate::sandbox::words::results::Refusal;

/// The state of a LinkedIn analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Analysis {
    Absent,
    Running(u64),
    Ready,
}

struct Started {
    at_ms: i64,
    task: u64,
}

pub(in crate::sandbox) struct Work {
    length_ms: i64,
    next_task: u64,
    analyses: HashMap<String, Started>,
    drafts: HashMap<Option<Event>, i64>,
    drafted: HashSet<String>,
}

impl Work {
    /// Its tasks have much higher numbers than those of unlocks.
    pub(in crate::sandbox) fn new(length_ms: i64, first_task: u64) -> Self {
        Self {
            length_ms,
            next_task: first_task + 500_000,
            analyses: HashMap::new(),
            drafts: HashMap::new(),
            drafted: HashSet::new(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next_task += 1;
        self.next_task
    }

    pub(in crate::sandbox) fn analysis(&self, id: &str, now_ms: i64) -> Analysis {
        match self.analyses.get(id) {
            None => Analysis::Absent,
            Some(started) if started.at_ms + self.length_ms > now_ms => Analysis::Running(started.task),
            Some(_) => Analysis::Ready,
        }
    }

    /// Starts an analysis if there is none, and returns the state before.
    pub(in crate::sandbox) fn analyse(&mut self, id: &str, now_ms: i64) -> Analysis {
        let before = self.analysis(id, now_ms);
        if before == Analysis::Absent {
            let task = self.number();
            self.analyses.insert(id.to_owned(), Started { at_ms: now_ms, task });
        }
        before
    }

    /// Starts drafts for these, one batch at a time for each event; returns the batch's number.
    pub(in crate::sandbox) fn draft(
        &mut self,
        ids: &[String],
        event: Option<Event>,
        now_ms: i64,
    ) -> Result<u64, Refusal> {
        if self.drafts.get(&event).is_some_and(|at_ms| at_ms + self.length_ms > now_ms) {
            return Err(Refusal::BeingPrepared);
        }
        self.drafts.insert(event, now_ms);
        self.drafted.extend(ids.iter().cloned());
        Ok(self.number())
    }

    pub(in crate::sandbox) fn has_draft(&self, id: &str) -> bool {
        self.drafted.contains(id)
    }
}
