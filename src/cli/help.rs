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
        text = skin.text(&in_whole_paragraphs(&text), Some(usize::from(width).min(WIDEST))).to_string();
    }
    if Cli::command().find_subcommand(topic.name).is_some() {
        text.push_str(&format!("\nFor the command: unlockd {} --help\n", topic.name));
    }
    text
}

/// The text with each paragraph and each point of a list on one line: the terminal's width divides them.
fn in_whole_paragraphs(text: &str) -> String {
    let (mut whole, mut is_code, mut is_open) = (String::new(), false, false);
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        let is_prose = !is_code && !is_fence && !line.is_empty() && !line.starts_with(['#', '|']);
        let is_point =
            |number: &str| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        let begins =
            line.starts_with("- ") || line.split_once(". ").is_some_and(|(number, _)| is_point(number));
        match is_open && is_prose && !begins {
            true => whole.push(' '),
            false if !whole.is_empty() => whole.push('\n'),
            false => {}
        }
        whole.push_str(if is_prose { line.trim_start() } else { line });
        is_open = is_prose;
        is_code ^= is_fence;
    }
    whole.push('\n');
    whole
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

#[cfg(test)]
mod tests {
    use super::in_whole_paragraphs;

    #[test]
    fn a_paragraph_and_a_point_are_one_line_and_code_and_tables_stay() {
        let text =
            "# A\n\none\n2 two\n\n- a\n  b\n- c\n\n1. d\n   e\n\n| t |\n| - |\n\n```sh\nx\n  y\n```\nend\n";
        let whole = "# A\n\none 2 two\n\n- a b\n- c\n\n1. d e\n\n| t |\n| - |\n\n```sh\nx\n  y\n```\nend\n";
        assert_eq!(in_whole_paragraphs(text), whole);
    }
}
