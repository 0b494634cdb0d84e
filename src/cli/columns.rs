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

/// The text, or as many whole words of it as fit, with a sign that there is more.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width_of(text) <= columns {
        return text.to_owned();
    }
    let room = clipped(text, columns.saturating_sub(1));
    let is_between_words = text[room.len()..].starts_with(' ');
    let words = if is_between_words { room } else { room.rfind(' ').map_or("", |at| &room[..at]) };
    // A single long word, such as a reference: its beginning says more than nothing. A figure is never cut.
    let cut = if words.trim().is_empty() && !text.contains(|char: char| char.is_ascii_digit()) {
        room
    } else {
        words
    };
    if columns == 0 { String::new() } else { format!("{}\u{2026}", cut.trim_end()) }
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
