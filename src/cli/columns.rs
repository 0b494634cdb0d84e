//! The width of a text on a screen, and how it is cut to fit.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes: two for each Chinese, Japanese or Korean character, none for a combining one.
pub(super) fn width_of(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The part of the text that fits into this many columns.
pub(super) fn clipped(text: &str, columns: usize) -> &str {
    let mut width = 0;
    let end = text.char_indices().find(|(_, char)| {
        width += char.width().unwrap_or(0);
        width > columns
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// A line in pieces of at most `width`, cut between words if possible; the later pieces are indented like the
/// first.
pub(super) fn wrapped(line: &str, width: usize) -> Vec<String> {
    let indent = " ".repeat(line.chars().take_while(|char| *char == ' ').count().min(width / 2));
    let (mut pieces, mut rest) = (Vec::new(), line.to_owned());
    while width_of(&rest) > width && width > 0 {
        // At least one character after the indent, even if it is wider than the whole line.
        let first = rest[indent.len()..].chars().next().map_or(0, char::len_utf8);
        let end = clipped(&rest, width).len().max(indent.len() + first);
        if end == rest.len() {
            break;
        }
        let is_between_words = rest[end..].starts_with(' ');
        let blank = rest[..end].rfind(' ').filter(|at| *at > indent.len() && !is_between_words);
        let cut = blank.unwrap_or(end);
        let tail = format!("{indent}{}", rest[cut..].trim_start());
        rest.truncate(cut);
        pieces.push(std::mem::replace(&mut rest, tail));
    }
    pieces.push(rest);
    pieces
}
