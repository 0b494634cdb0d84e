//! `completions` and `man`, made from the same definitions as the command line itself.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory;

use super::{Cli, Outcome};

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  unlockd completions bash > /usr/share/bash-completion/completions/unlockd"
)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(super) fn completions(args: &Completions) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "unlockd", &mut text);
    Ok(std::io::stdout().write_all(&text)?)
}

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd man | man -l -
  unlockd man --dir /usr/share/man/man1")]
pub(super) struct Man {
    /// Write a page for each command into this directory, instead of the main one to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn man(args: &Man) -> Outcome {
    if let Some(dir) = &args.dir {
        clap_mangen::generate_to(Cli::command(), dir)
            .with_context(|| format!("cannot write into {}", dir.display()))?;
        return Ok(());
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text)?;
    Ok(std::io::stdout().write_all(&text)?)
}
