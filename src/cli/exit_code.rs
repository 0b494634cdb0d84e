//! How a command ends: the exit codes, and which failure has which.
//!
//! 0 done; 1 it failed; 2 wrong usage or configuration; 3 the thing named does not exist; 4 refused in the
//! present state.

use std::path::Path;

use crate::store::StoreError;

/// How a command failed: its exit code and its message.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) code: u8,
    pub(super) error: anyhow::Error,
}

impl Failure {
    /// Wrong usage or configuration.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure { code: 2, error: error.into() }
    }

    /// The thing named does not exist.
    pub(crate) fn missing(message: String) -> Failure {
        Failure { code: 3, error: anyhow::Error::msg(message) }
    }

    /// Refused in the present state.
    pub(crate) fn refused(message: String) -> Failure {
        Failure { code: 4, error: anyhow::Error::msg(message) }
    }

    /// Whether the reader of the output has gone away.
    pub(super) fn is_broken_pipe(&self) -> bool {
        self.error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        let error = error.into();
        // Another program changed the row first, or the schema is not this version's: nothing was changed here.
        let code = match error.downcast_ref() {
            Some(StoreError::Stale { .. } | StoreError::Schema { .. }) => 4,
            // An inbox file of its own; only a worker makes one.
            Some(StoreError::Inbox { path, .. }) if !Path::new(path).exists() => 3,
            _ => 1,
        };
        Failure { code, error }
    }
}

pub(crate) type Outcome = Result<(), Failure>;
