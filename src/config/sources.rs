//! The sources of layers: which file is read, and which environment variables name keys.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{ConfigError, Inputs, trust};

const PREFIX: &str = "UNLOCKD_";

/// The file in use, or the one that the user named, which must exist; otherwise the first of the usual ones
/// that exists.
pub(super) fn read_file(
    inputs: &Inputs,
    in_force: Option<&Path>,
) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let from_env = inputs.env.iter().find(|(name, text)| name == "UNLOCKD_CONFIG" && !text.is_empty());
    let named = match (in_force, &inputs.file, from_env) {
        (Some(path), ..) => Some((path.to_owned(), "which is in force")),
        (None, Some(path), _) => Some((inputs.cwd.join(path), "named by --config")),
        (None, None, Some((_, path))) => {
            Some((inputs.cwd.join(path), "named by environment variable UNLOCKD_CONFIG"))
        }
        (None, None, None) => None,
    };
    let unreadable =
        |path: &Path, why_this, cause| ConfigError::Unreadable { path: path.to_owned(), why_this, cause };
    if let Some((path, why_this)) = named {
        return match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(cause) => Err(unreadable(&path, why_this, cause)),
        };
    }
    let of_cwd = inputs.cwd.join("unlockd.toml");
    if let Ok(found) = std::fs::metadata(&of_cwd) {
        match trust::distrust(&of_cwd, &found) {
            Ok(None) => {}
            Ok(Some(why)) => return Err(ConfigError::Untrusted { path: of_cwd, why }),
            Err(cause) => return Err(unreadable(&of_cwd, "looked for by default", cause)),
        }
    }
    for path in [of_cwd, inputs.system_file.clone()] {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            // An existing file that cannot be read is an error: the user meant it to be read.
            Err(cause) => return Err(unreadable(&path, "looked for by default", cause)),
        }
    }
    Ok(None)
}

/// Whether a variable must be a key: it has our prefix, and is not one that clap or the tests read, or that
/// Kubernetes makes.
pub(super) fn is_configuration(name: &str) -> bool {
    let ours = name.strip_prefix(PREFIX).filter(|rest| *rest != "CONFIG");
    let of_tests = |rest: &str| cfg!(debug_assertions) && rest.starts_with("FAIL");
    ours.is_some_and(|rest| !of_tests(rest)) && !is_of_kubernetes(name)
}

/// Whether Kubernetes sets this variable for a Service of the namespace, in each pod: a Service `unlockd-page`
/// with a port `metrics` makes `UNLOCKD_PAGE_SERVICE_HOST`, `UNLOCKD_PAGE_SERVICE_PORT`,
/// `UNLOCKD_PAGE_SERVICE_PORT_METRICS`, `UNLOCKD_PAGE_PORT`, and `UNLOCKD_PAGE_PORT_8787_TCP` with and without
/// `_PROTO`, `_PORT` or `_ADDR`. No part of such a name is empty, so it has no two underscores in
/// these places, which a key has between its levels.
fn is_of_kubernetes(name: &str) -> bool {
    let is_part = |text: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        edge(text.chars().next()) && edge(text.chars().next_back())
    };
    let is_of = |service: &str, port: &str| {
        is_part(service) && (port.is_empty() || port.strip_prefix('_').is_some_and(is_part))
    };
    let is_link = |port: &str| {
        let mut parts = port.split('_');
        parts.next().is_some_and(|number| number.parse::<u16>().is_ok())
            && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
            && parts.next().is_none_or(|what| ["PROTO", "PORT", "ADDR"].contains(&what))
            && parts.next().is_none()
    };
    name.strip_suffix("_SERVICE_HOST").is_some_and(is_part)
        || name.rsplit_once("_SERVICE_PORT").is_some_and(|(service, port)| is_of(service, port))
        || name.strip_suffix("_PORT").is_some_and(is_part)
        || name.rsplit_once("_PORT_").is_some_and(|(service, port)| is_part(service) && is_link(port))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::suggest;

    #[test]
    fn what_kubernetes_makes_for_a_service_is_no_configuration() {
        // The parts of the name of a Service: also one that itself has words of Kubernetes in it.
        for service in
            ["UNLOCKD", "UNLOCKD_METRICS", "UNLOCKD_PORT_8", "UNLOCKD_API", "UNLOCKD_2", "UNLOCKD__X"]
        {
            for variable in [
                "SERVICE_HOST",
                "SERVICE_PORT",
                "SERVICE_PORT_HTTP",
                "SERVICE_PORT_HTTP_METRICS",
                "PORT",
                "PORT_8787_TCP",
                "PORT_8787_TCP_PROTO",
                "PORT_8787_TCP_PORT",
                "PORT_8787_TCP_ADDR",
                "PORT_53_UDP",
                "PORT_53_SCTP_ADDR",
            ] {
                let name = format!("{service}_{variable}");
                assert!(!is_configuration(&name), "{name}");
            }
        }
    }

    #[test]
    fn no_key_is_taken_for_a_variable_of_kubernetes() {
        for key in suggest::keys() {
            assert!(is_configuration(&suggest::variable(&key)), "{key}");
        }
        // An account may be called anything; and a port of ours would be a level of its own.
        for name in [
            "UNLOCKD_ACCOUNTS__CRM_PORT__API_KEY",
            "UNLOCKD_ACCOUNTS__X_SERVICE_PORT__API_KEY",
            "UNLOCKD_ACCOUNTS__X_PORT_80_TCP__API_KEY_FILE",
            "UNLOCKD_HTTP__PORT",
            "UNLOCKD_SERVICE_HOSTS",
            "UNLOCKD_PORT_X_TCP",
            "UNLOCKD_PORT_80_TCP_SPEED",
        ] {
            assert!(is_configuration(name), "{name}");
        }
    }
}
