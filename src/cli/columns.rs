//! How wide a text is on a screen, and how it is cut to fit.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes: two for each sign of Chinese, Japanese and Korean, none for a combining one.
pub(super) fn width_of(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// As much of the text as fits into so many columns.
pub(super) fn clipped(text: &str, columns: usize) -> &str {
    let mut width = 0;
    let end = text.char_indices().find(|(_, char)| {
        width += char.width().unwrap_or(0);
        width > columns
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// A line in pieces of at most `width`, cut between words where there are any; what follows the
/// first piece is indented as it.
pub(super) fn wrapped(line: &str, width: usize) -> Vec<String> {
    let indent = " ".repeat(line.chars().take_while(|char| *char == ' ').count().min(width / 2));
    let (mut pieces, mut rest) = (Vec::new(), line.to_owned());
    while width_of(&rest) > width && width > 0 {
        // At least one sign after the indent, also where it is wider than all there is.
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
