//! `help`: the help of a command, or a topic of the handbook.

use std::io::{IsTerminal as _, Write as _};

use clap::CommandFactory as _;

use super::{Cli, Failure, Outcome};
use crate::handbook::{self, TOPICS, Topic};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  unlockd help          lists the topics of the handbook\n  unlockd help money\n  unlockd help enqueue"
)]
pub(super) struct Args {
    /// A topic of the handbook, or a command
    #[arg(value_name = "TOPIC")]
    name: Option<String>,
}

/// The widest text that is easy to read.
const WIDEST: usize = 110;

pub(super) fn help(args: &Args) -> Outcome {
    let mut out = std::io::stdout();
    let Some(name) = &args.name else {
        return Ok(out.write_all(contents().as_bytes())?);
    };
    if let Some(topic) = handbook::topic(name) {
        return Ok(out.write_all(shown(topic, out.is_terminal()).as_bytes())?);
    }
    let mut command = super::command();
    match command.find_subcommand_mut(name) {
        Some(found) => {
            let text = found.render_long_help().to_string();
            Ok(out.write_all(text.as_bytes())?)
        }
        None => Err(Failure::usage(anyhow::anyhow!(
            "there is no topic and no command {name:?}; see the topics with: unlockd help, and the commands with: unlockd --help"
        ))),
    }
}

/// In a pipe the text as it is written; in a terminal its tables fit the width.
fn shown(topic: &Topic, is_terminal: bool) -> String {
    let mut text = topic.text();
    if is_terminal {
        let (width, _) = termimad::terminal_size();
        let skin = termimad::MadSkin::no_style();
        text = skin.text(&text, Some(usize::from(width).min(WIDEST))).to_string();
    }
    if Cli::command().find_subcommand(topic.name).is_some() {
        text.push_str(&format!("\nFor the command: unlockd {} --help\n", topic.name));
    }
    text
}

/// The list of topics.
fn contents() -> String {
    let widest = TOPICS.iter().map(|topic| topic.name.len()).max().unwrap_or_default();
    let mut text = "The handbook, by topic (unlockd help TOPIC):\n\n".to_owned();
    for topic in TOPICS {
        text.push_str(&format!("  {:widest$}  {}\n", topic.name, topic.about));
    }
    text.push_str("\nThe commands: unlockd --help, and unlockd help COMMAND\n");
    text
}
