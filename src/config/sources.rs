//! Where layers come from: which file is read, and which environment variables name keys.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{ConfigError, Inputs};

const PREFIX: &str = "UNLOCKD_";

/// The file the user named, which must exist, or the first of the usual ones that does.
pub(super) fn read_file(inputs: &Inputs) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let from_env = inputs.env.iter().find(|(name, text)| name == "UNLOCKD_CONFIG" && !text.is_empty());
    let named = match (&inputs.file, from_env) {
        (Some(path), _) => Some((inputs.cwd.join(path), "named by --config")),
        (None, Some((_, path))) => {
            Some((inputs.cwd.join(path), "named by environment variable UNLOCKD_CONFIG"))
        }
        (None, None) => None,
    };
    let unreadable =
        |path: &Path, why_this, cause| ConfigError::Unreadable { path: path.to_owned(), why_this, cause };
    if let Some((path, why_this)) = named {
        return match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(cause) => Err(unreadable(&path, why_this, cause)),
        };
    }
    for path in [inputs.cwd.join("unlockd.toml"), inputs.system_file.clone()] {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            // A file that is there and cannot be read was meant to be read.
            Err(cause) => return Err(unreadable(&path, "looked for by default", cause)),
        }
    }
    Ok(None)
}

/// Variables with our prefix that are not keys: what clap and the tests read, and what Kubernetes sets in
/// every pod when a Service is called `unlockd`.
pub(super) fn is_configuration(name: &str) -> bool {
    let ours = name.strip_prefix(PREFIX).filter(|rest| *rest != "CONFIG");
    ours.is_some_and(|rest| {
        let of_kubernetes = rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_");
        let of_tests = cfg!(debug_assertions) && (rest.starts_with("FAIL") || rest == "WITHOUT");
        !of_kubernetes && !of_tests
    })
}

/// The key that a variable names. An account's name may itself contain two underscores, and keeps the
/// capitals that the file gives it.
pub(super) fn path_of(variable: &str, known: &[String]) -> Vec<String> {
    let lower = variable[PREFIX.len()..].to_lowercase();
    let mut path: Vec<String> = lower.split("__").map(str::to_owned).collect();
    if let [first, name @ .., last] = &path[..]
        && first == "accounts"
        && !name.is_empty()
    {
        let name = name.join("__");
        let same = known.iter().find(|k| **k == name);
        let same = same.or_else(|| known.iter().find(|k| k.eq_ignore_ascii_case(&name))).cloned();
        path = vec![first.clone(), same.unwrap_or(name), last.clone()];
    }
    path
}
