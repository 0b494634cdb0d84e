//! What a build needs besides the sources: new migrations are seen, and a release knows its commit.

use std::process::Command;

fn main() {
    // Cargo does not see a new migration file by itself; this rebuilds the binary that embeds the migrations.
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-env-changed=BUILD_COMMIT");
    println!("cargo:rustc-env=BUILD_COMMIT={}", commit());
}

/// The commit, for `unlockd --version`; empty where it is not known. Only a release asks git: a build for tests is not
/// repeated for each commit.
fn commit() -> String {
    if let Ok(named) = std::env::var("BUILD_COMMIT") {
        return named;
    }
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return String::new();
    }
    let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) else { return String::new() };
    println!("cargo:rerun-if-changed={log}");
    git(&["rev-parse", "HEAD"]).unwrap_or_default()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
