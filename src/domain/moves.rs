//! The common part of the three state machines: [`super::request_state`], [`super::item`] and [`super::job`].
//!
//! Each has states, events and one function `next(state, event)`. A test in each file prints all legal moves
//! and compares them with a written table. The diagrams below are generated from the same moves, and a test
//! keeps them up to date.
//!
#![doc = include_str!("states.md")]

/// An event that does not fit the state: an error of the program, never ignored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal move: {subject} in state {from} cannot take the event {event}")]
pub struct IllegalMove {
    /// `a request`, `an item` or `a job`.
    pub subject: &'static str,
    pub from: &'static str,
    pub event: &'static str,
}

/// A legal move, in words: for the tables and the diagrams of the tests.
#[cfg(test)]
pub(super) struct Move {
    pub(super) from: String,
    pub(super) event: &'static str,
    pub(super) to: String,
}

/// One line for each move.
#[cfg(test)]
pub(super) fn table(moves: &[Move]) -> String {
    moves.iter().map(|step| format!("{} + {} -> {}\n", step.from, step.event, step.to)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A Mermaid diagram: one arrow from a state to another, with all events that lead there.
    fn diagram(title: &str, moves: &[Move]) -> String {
        let mut nodes: Vec<&str> = Vec::new();
        let mut arrows: Vec<(&str, &str)> = Vec::new();
        let mut events: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for Move { from, event, to } in moves {
            for node in [from.as_str(), to.as_str()] {
                if !nodes.contains(&node) {
                    nodes.push(node);
                }
            }
            let arrow = (from.as_str(), to.as_str());
            if !arrows.contains(&arrow) {
                arrows.push(arrow);
            }
            let known = events.entry(arrow).or_default();
            if !known.contains(event) {
                known.push(event);
            }
        }
        let id = |node: &str| node.replace(" (", "_").replace(')', "");
        let mut text = format!("## {title}\n\n```mermaid\nstateDiagram-v2\n");
        for node in nodes.iter().filter(|node| id(node) != **node) {
            text += &format!("    state \"{node}\" as {}\n", id(node));
        }
        for arrow in arrows {
            text += &format!("    {} --> {}: {}\n", id(arrow.0), id(arrow.1), events[&arrow].join(", "));
        }
        text + "```\n"
    }

    /// The same moves, with each state renamed by `name`.
    fn by_name(moves: Vec<Move>, name: impl Fn(&str) -> String) -> Vec<Move> {
        let named = |step: Move| Move { from: name(&step.from), event: step.event, to: name(&step.to) };
        moves.into_iter().map(named).collect()
    }

    #[test]
    fn the_diagrams_show_the_moves_of_the_tables() {
        // The reason of a queued job, the seen state of an item and the outcome do not decide the next moves.
        let plain = |state: &str| {
            let name = state.split(' ').next().unwrap_or_default();
            let says_why = matches!(name, "in_doubt" | "reading");
            if says_why { state.to_owned() } else { name.to_owned() }
        };
        let job = by_name(super::super::job::tests::moves(), plain);
        let item = by_name(super::super::item::tests::moves(), plain);
        let diagrams = [
            diagram("A request", &super::super::request_state::tests::moves()),
            diagram("An item", &item),
            diagram("A job", &job),
        ]
        .join("\n");
        println!("{diagrams}");
        assert_eq!(include_str!("states.md"), diagrams);
    }
}
