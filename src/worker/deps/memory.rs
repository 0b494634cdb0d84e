//! What passes remember between their runs. All of it may be lost with the process: it is then read or asked again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Deps;
use crate::domain::durability::Lack;
use crate::domain::sorting::Sorting;
use crate::domain::submission::Turn;
use crate::domain::{AccountId, Action, JobId};
use crate::worker::bulk::Lists;
use crate::worker::doubt::evidence::PartialLook;
use crate::worker::intake::availability::Availability;
use crate::worker::intake::requote::Looked;

#[derive(Default)]
pub(super) struct Memory {
    /// What prechecks have said about the batch of a job so far, by job and version. A restart loses it, and the (free)
    /// prechecks are made again.
    sortings: Mutex<HashMap<(JobId, i64), Sorting>>,
    /// The newest waiting item that was already compared with stored and running contacts. Lost on a restart;
    /// then the comparison is made again.
    looked_up: Mutex<HashMap<(AccountId, Action), i64>>,
    /// Which request leads an account's next batch. A restart loses it; then the turns begin again.
    batch_turns: Mutex<HashMap<AccountId, BatchTurn>>,
    /// Unfinished checks of in-doubt jobs, by job and version: each submission is checked by itself.
    looks: Mutex<HashMap<(JobId, i64), PartialLook>>,
    /// Lists from which values are read. Lost on a restart, and then read again.
    lists: Mutex<HashMap<(AccountId, Action), Lists>>,
    /// Whether the inbox can be read and written.
    availability: Mutex<Availability>,
    /// When the quotes of requests that await approval were reckoned, and from what.
    looked: Mutex<Looked>,
    /// Why nothing may rest on the server's commits.
    lack: Mutex<Option<Lack>>,
}

/// Whose turn the next batch of an account is.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::worker) struct BatchTurn {
    pub turn: Turn,
    /// The newest item of the request that led a batch last: the next request comes after it.
    pub led_up_to: i64,
}

impl Deps {
    pub(in crate::worker) fn sortings(&self) -> MutexGuard<'_, HashMap<(JobId, i64), Sorting>> {
        self.memory.sortings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn batch_turns(&self) -> MutexGuard<'_, HashMap<AccountId, BatchTurn>> {
        self.memory.batch_turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn looked_up(&self) -> MutexGuard<'_, HashMap<(AccountId, Action), i64>> {
        self.memory.looked_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn availability(&self) -> MutexGuard<'_, Availability> {
        self.memory.availability.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn looked(&self) -> MutexGuard<'_, Looked> {
        self.memory.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn lack(&self) -> MutexGuard<'_, Option<Lack>> {
        self.memory.lack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn looks(&self) -> MutexGuard<'_, HashMap<(JobId, i64), PartialLook>> {
        self.memory.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::worker) fn lists(&self) -> MutexGuard<'_, HashMap<(AccountId, Action), Lists>> {
        self.memory.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
