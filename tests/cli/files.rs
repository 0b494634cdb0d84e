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

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_used_is_named_at_start_and_by_check() {
    let town = town().await;
    let token = town.dir.path().join("crm-token");
    std::fs::write(&token, "canary-token-0815-4711").expect("written");
    set(&token, 0o644);
    for (command, code) in [(&["run", "--until-idle"][..], 0), (&["check", "--offline"], 2)] {
        let mut program = program(town.dir.path());
        program.args(command).env("UNLOCKD_HTTP__LISTEN", "127.0.0.1:0");
        program.env("UNLOCKD_HTTP__TOKENS__CRM__TOKEN_FILE", &token);
        program.env("UNLOCKD_HTTP__TOKENS__CRM__SCOPES", r#"["read"]"#);
        let told = said(program.output().expect("it starts"));
        let text = format!("{}{}", told.out, told.err);
        assert_eq!(told.code, code, "{command:?}: {text}");
        assert!(text.contains("mode 0644") && text.contains("chmod o-rwx"), "{command:?}: {text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

/// A bare Debian has none.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_certificates_of_authorities_is_told_what_to_install() {
    let town = town().await;
    for command in [&["balance"][..], &["check"]] {
        let mut program = program(town.dir.path());
        program.args(command).env("SSL_CERT_FILE", "/dev/null");
        let told =
            said(program.env("UNLOCKD_API__BASE_URL", "https://127.0.0.1:9").output().expect("it starts"));
        let text = format!("{}{}", told.out, told.err);
        assert_ne!(told.code, 0, "{text}");
        assert!(text.contains("apt-get install ca-certificates") && text.contains("SSL_CERT_FILE"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_counts_apart_what_was_paid_for_and_brought_nothing() {
    let town = town().await;
    town.ok(&["enqueue", "101", "197"]);
    town.work();
    let plan = town.ok(&["plan", "--offline", "101", "102", "197"]).out;
    for (what, credits) in [
        ("new, in 1 batch", "at most 15 credits (1 × 15)"),
        ("paid for before, brought nothing", "at most 15 credits (1 × 15) again"),
        ("had already", "0 credits"),
    ] {
        let line = format!(" 1  {what:34} {credits}\n");
        assert!(plan.contains(&line), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_may_be_named_by_a_link_before_its_file_is_there_and_what_is_in_the_way_is_named() {
    if postgres::has_no("database file") {
        return;
    }
    let town = town().await;
    let at = |name: &str| town.dir.path().join(name);
    std::os::unix::fs::symlink("real/early.db", at("early.db")).expect("linked");
    for (command, code) in [("migrate", 1), ("check", 2)] {
        let told = town.run(&["--database", "early.db", command]).with_code(code);
        let text = format!("{}{}", told.out, told.err);
        assert!(
            text.contains("is a link to real/early.db") && text.contains("does not exist: make it"),
            "{text}"
        );
        assert!(!text.contains("os error") && !text.contains("not damaged"), "{text}");
    }
    std::fs::create_dir(at("real")).expect("made");
    town.ok(&["--database", "early.db", "migrate"]);
    assert!(at("real/early.db").is_file() && at("early.db").is_symlink());
    assert_eq!(std::fs::metadata(at("real/early.db")).expect("there").permissions().mode() & 0o777, 0o600);
    town.ok(&["--database", "early.db", "requests"]);
}
