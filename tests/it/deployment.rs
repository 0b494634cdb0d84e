//! Unit, image and compose file name only things that exist. No container engine and no systemd run here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use unlockd::config::{self, Inputs};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

#[test]
fn every_path_that_the_dockerfile_copies_is_there_and_not_left_out_of_its_context() {
    let (dockerfile, ignored) = (read("Dockerfile"), read(".dockerignore"));
    let copied: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY ").filter(|rest| !rest.starts_with("--from")))
        .flat_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[..words.len() - 1].to_vec()
        })
        .collect();
    assert!(copied.contains(&"src") && copied.contains(&"Cargo.lock"), "{copied:?}");
    for path in copied {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path} is gone");
        assert!(!ignored.lines().any(|line| line == path), "{path} is in .dockerignore");
    }
    // The image builds the dependencies with empty sources: each target in the manifest has one.
    for line in read("Cargo.toml").lines().filter(|line| line.starts_with("path = ")) {
        let path = line.trim_start_matches("path = ").trim_matches('"');
        assert!(dockerfile.contains(path), "the Dockerfile makes no empty {path}");
    }
}

#[test]
fn commands_in_unit_image_and_compose_file_are_commands() {
    let (unit, dockerfile, compose) =
        (read("config/unlockd.service"), read("Dockerfile"), read("config/compose.yaml"));
    assert!(unit.contains("\nExecStart=/usr/bin/unlockd run\n"));
    // A full disk for a minute is no reason to stay down, a mistake in the configuration is; no core has a key in it.
    for line in ["Restart=on-failure", "StartLimitIntervalSec=0", "RestartPreventExitStatus=2", "LimitCORE=0"]
    {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    assert!(dockerfile.contains("CMD [\"run\"]") && dockerfile.contains("\nUSER 65532:65532\n"));
    let health = "[\"/usr/local/bin/unlockd\", \"health\"]";
    assert!(dockerfile.contains(&format!("    CMD {health}")));
    assert!(compose.contains("test: [\"CMD\", \"/usr/local/bin/unlockd\", \"health\"]"));
    for command in ["run", "health", "check"] {
        let help = Command::new(env!("CARGO_BIN_EXE_unlockd")).args([command, "--help"]).output();
        assert!(help.expect("it starts").status.success(), "{command}");
    }
}

#[test]
fn the_compose_file_takes_every_right_away() {
    let compose = read("config/compose.yaml");
    for line in [
        "    read_only: true",
        "    cap_drop: [ALL]",
        "    security_opt: [\"no-new-privileges:true\"]",
        "    user: \"65532:65532\"",
        "    stop_grace_period: 15s",
    ] {
        assert!(compose.lines().any(|found| found == line), "{line}");
    }
    assert!(!compose.contains('\t') && !compose.contains("privileged: true"));
}

/// `UNLOCKD_A__B=value`, `UNLOCKD_A__B: value` and `-e UNLOCKD_A__B=value`, even in comments, since people
/// copy them.
fn settings(text: &str) -> BTreeMap<String, String> {
    text.match_indices("UNLOCKD_")
        .filter_map(|(at, _)| {
            let (name, rest) = text[at..].split_once(['=', ':'])?;
            let value = rest.trim_start_matches(' ').split([' ', '\n']).next()?.trim_matches('\'');
            name.chars()
                .all(|c| c.is_ascii_uppercase() || c == '_')
                .then(|| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

#[test]
fn settings_in_unit_image_and_compose_file_are_settings() {
    for (file, least) in [
        ("config/unlockd.service", 2),
        ("config/unlockd-postgres.conf", 2),
        ("Dockerfile", 2),
        ("config/compose.yaml", 5),
        ("config/compose.postgres.yaml", 2),
    ] {
        let env = settings(&read(file));
        assert!(env.len() >= least, "{file}: {env:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let inputs = Inputs {
            env: env.clone().into_iter().collect(),
            cwd: folder.path().to_owned(),
            system_file: folder.path().join("no-such-file.toml"),
            ..Inputs::default()
        };
        config::load(&inputs).unwrap_or_else(|error| panic!("{file}: {error}\n{env:?}"));
    }
}
