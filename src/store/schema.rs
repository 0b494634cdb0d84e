//! Which schema a database has, compared with the one that this version needs.
//!
//! A schema changes under the lease only: by `unlockd run` once it has it, or by `unlockd migrate` while nobody
//! has it. A worker of an older version that finds its tables changed could not record what it has paid for.

/// The schema of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// No table of ours: a file that was just made.
    Empty,
    /// This version's.
    Current,
    /// An older version's; `at` is its newest step.
    Older { at: i64, needs: i64 },
    /// A newer version's: it has steps that this one does not know, such as `at`.
    Newer { at: i64, needs: i64 },
}

impl Schema {
    /// Judges by the steps that a database has, those that this version knows, and those among them that it needs there.
    pub(in crate::store) fn of(applied: &[i64], known: &[i64], needed: &[i64]) -> Schema {
        let newest = |steps: &[i64]| steps.iter().max().copied().unwrap_or_default();
        let (at, needs) = (newest(applied), newest(needed));
        let has = |step: &i64| applied.contains(step);
        match applied.iter().rev().find(|step| !known.contains(step)) {
            Some(unknown) => Schema::Newer { at: *unknown, needs },
            None if needed.iter().all(has) => Schema::Current,
            None if needed.iter().any(has) => Schema::Older { at, needs },
            None => Schema::Empty,
        }
    }

    /// What keeps this version from working on it, and what to do.
    pub(in crate::store) fn problem(self) -> Option<String> {
        Some(match self {
            Schema::Current => return None,
            Schema::Empty => {
                "it has no tables yet. They are made by: unlockd run, or unlockd migrate".to_owned()
            }
            Schema::Older { at, needs } => format!(
                "its schema is of an older unlockd (step {at}; this version needs step {needs}), and this command changes \
                 no schema. To upgrade it: stop the worker, then unlockd migrate, or start this version's unlockd run; \
                 until then use the older version's commands"
            ),
            Schema::Newer { at, needs } => format!(
                "it was written by a newer unlockd (step {at}; this version knows step {needs}): install that version, \
                 or restore a backup that was made before the upgrade"
            ),
        })
    }
}

/// What opening a database may do to its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Make missing files, and bring them to this version's schema.
    Migrate,
    /// Make missing files; a schema that is there stays, even an older one.
    Keep,
    /// Make nothing; a schema that is not this version's is an error.
    Existing,
    /// Make nothing, and take any version's schema: to copy the file, not to understand it.
    Copy,
}

impl Opening {
    /// Whether a file that is missing is made.
    pub(in crate::store) fn makes(self) -> bool {
        matches!(self, Opening::Migrate | Opening::Keep)
    }

    /// Whether the schema that was found is to be brought to this version's; or why it cannot be opened so.
    pub(in crate::store) fn migrates(self, found: Schema) -> Result<bool, String> {
        match (self, found) {
            (Opening::Copy, Schema::Older { .. } | Schema::Newer { .. }) => Ok(false),
            (_, Schema::Newer { .. })
            | (Opening::Existing | Opening::Copy, Schema::Empty)
            | (Opening::Existing, Schema::Older { .. }) => Err(found.problem().unwrap_or_default()),
            (_, Schema::Current) | (Opening::Keep, Schema::Older { .. }) => Ok(false),
            // Nobody can be using what has no tables.
            (Opening::Migrate, _) | (Opening::Keep, Schema::Empty) => Ok(true),
        }
    }
}
