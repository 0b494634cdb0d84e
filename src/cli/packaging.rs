//! `completions` and `man`, made from the same definitions as the command line itself.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory;

use super::{Cli, Failure, Outcome};
use crate::handbook::TOPICS;

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
  unlockd man --dir /usr/share/man/man1
  unlockd man --section 7 --dir /usr/share/man/man7")]
pub(super) struct Man {
    /// Write a page for each command into this directory, instead of the main one to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// 1: the commands; 7: the handbook, a page for each topic
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..), requires = "dir")]
    section: u8,
}

pub(super) fn man(args: &Man) -> Outcome {
    if let Some(dir) = &args.dir {
        let written = match args.section {
            1 => clap_mangen::generate_to(Cli::command(), dir),
            7 => handbook(dir),
            other => return Err(Failure::usage(anyhow::anyhow!("there is no section {other}; say 1 or 7"))),
        };
        return Ok(written.with_context(|| format!("cannot write into {}", dir.display()))?);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text)?;
    Ok(std::io::stdout().write_all(&text)?)
}

fn handbook(dir: &Path) -> std::io::Result<()> {
    TOPICS.iter().try_for_each(|topic| {
        std::fs::write(dir.join(format!("unlockd-{}.7", topic.name)), topic.manual_page())
    })
}
