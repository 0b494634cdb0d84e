//! What the global options say, and the configuration that a command reads by them.

use std::path::PathBuf;

use super::{Failure, say};
use crate::config::{self, Config, ConfigError, Inputs, Overrides};

/// Everything a command needs of the global options.
#[derive(Clone)]
pub(crate) struct Context {
    pub(super) config: Option<PathBuf>,
    pub(super) database: Option<PathBuf>,
    pub(super) log_level: Option<String>,
}

impl Context {
    /// The sources of the configuration as they are now.
    pub(crate) fn inputs(&self) -> Inputs {
        let overrides = Overrides { database: self.database.clone(), log_level: self.log_level.clone() };
        Inputs::from_process(self.config.clone(), overrides)
    }

    /// Reads the configuration; a mistake is exit code 2.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        config::load(&self.inputs()).map_err(Failure::usage)
    }

    /// The same for a command that needs only the database and buys nothing: a worker that runs keeps its earlier
    /// configuration, so a mistake in the file must not take `pause` away. It is told, and left out.
    pub(crate) fn load_in_part(&self) -> Result<Config, Failure> {
        match config::load_in_part(&self.inputs()) {
            Ok((config, None)) => Ok(config),
            Ok((config, Some(error))) => {
                say(&format!(
                    "WARNING: {error}\nthis command goes on without what is wrong there; a worker that runs keeps its \
                     earlier configuration"
                ));
                Ok(config)
            }
            Err(error @ (ConfigError::Syntax { .. } | ConfigError::Invalid(_))) => {
                Err(Failure::usage(anyhow::anyhow!(
                    "{error}\na worker that runs keeps its earlier configuration. This file does not surely say which \
                     database is its own; name it, and the command works as the file is: unlockd pause --database FILE"
                )))
            }
            Err(error) => Err(Failure::usage(error)),
        }
    }
}
