//! Files that a command is pointed at: those of strangers, and secrets in the place of their paths.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{postgres, program, said, town};

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
}

/// The file names the server that gets the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_file_of_the_working_directory_that_others_may_change_is_not_used() {
    let town = town().await;
    let file = town.dir.path().join("unlockd.toml");
    for (of_file, of_folder) in [(0o666, 0o700), (0o644, 0o777)] {
        set(&file, of_file);
        set(town.dir.path(), of_folder);
        for command in [&["requests"][..], &["check"], &["run", "--until-idle"]] {
            let refused = town.run(command);
            let told = format!("{}{}", refused.out, refused.err);
            assert_eq!(refused.code, 2, "{command:?}: {told}");
            assert!(told.contains("can be changed by other users") && told.contains("--config"), "{told}");
        }
        // Named, it was chosen.
        town.ok(&["--config", "unlockd.toml", "requests"]);
    }
    set(town.dir.path(), 0o700);
    set(&file, 0o644);
    town.ok(&["requests"]);
    assert!(town.sandbox.journal().is_empty(), "nothing was sent anywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_place_of_its_file_is_printed_nowhere() {
    let town = town().await;
    for (variable, secret) in [
        ("UNLOCKD_ACCOUNTS__SPARE__API_KEY_FILE", "uak_live_canary_1"),
        ("UNLOCKD_HTTP__TOKEN_FILE", "canary-token-0815-4711"),
        ("UNLOCKD_NOTIFY__SECRET_FILE", "whsec_canary"),
    ] {
        for command in [
            &["check", "--offline"][..],
            &["check", "--offline", "--json"],
            &["balance", "--account", "spare"],
        ] {
            let mut command_line = program(town.dir.path());
            command_line.args(command).env(variable, secret).env("UNLOCKD_HTTP__LISTEN", "127.0.0.1:0");
            command_line.env("UNLOCKD_NOTIFY__URL", "https://example.com/hook");
            if variable != "UNLOCKD_NOTIFY__SECRET_FILE" {
                command_line.env("UNLOCKD_NOTIFY__SECRET_FILE", "no-such-file");
            }
            let told = said(command_line.output().expect("it starts"));
            let told = format!("{}{}", told.out, told.err);
            assert!(!told.contains("canary"), "{variable} {command:?}: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_to_a_name_that_is_no_text_is_refused_before_anything_is_written() {
    if postgres::has_no("backup to a file") {
        return;
    }
    let town = town().await;
    let name = OsStr::from_bytes(b"copy\xff.db");
    let refused =
        said(program(town.dir.path()).arg("backup").arg(name).output().expect("it starts")).with_code(4);
    assert!(refused.err.contains("not valid UTF-8"), "{}", refused.err);
    let left = std::fs::read_dir(town.dir.path()).expect("readable");
    let left: Vec<_> = left.map(|entry| entry.expect("readable").file_name()).collect();
    assert!(!left.iter().any(|name| name.as_bytes().starts_with(b"copy")), "{left:?}");
}
