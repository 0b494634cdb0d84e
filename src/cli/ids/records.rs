//! The records of a CSV text, each with the line on which it begins.
//!
//! Our own parser: the csv crate reads an unclosed quote as one cell up to the end of the file, and so loses
//! all later rows without an error.

use std::borrow::Cow;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) line: usize,
    pub(super) cells: Vec<Cow<'a, str>>,
}

/// A quote that opens on this line and is not closed at the end of a cell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OpenQuote {
    pub(super) line: usize,
}

/// Reads records one by one; skips blank lines.
pub(super) struct Records<'a> {
    rest: &'a str,
    line: usize,
    /// `None`: each line is one cell.
    delimiter: Option<char>,
}

impl<'a> Records<'a> {
    /// The records of `text`, whose first line is line `line` of the file.
    pub(super) fn new(text: &'a str, line: usize, delimiter: Option<char>) -> Records<'a> {
        Records { rest: text, line, delimiter }
    }

    /// The unread text, and its line.
    pub(super) fn rest(&self) -> (&'a str, usize) {
        (self.rest, self.line)
    }

    /// The text after the next line, if that line is blank. `""` is not blank: pandas writes a row of one
    /// empty cell like that.
    fn after_blank_line(&self) -> Option<&'a str> {
        let (line, after) = match self.rest.split_once('\n') {
            Some(split) => split,
            None if self.rest.is_empty() => return None,
            None => (self.rest, ""),
        };
        let is_blank = line.chars().all(|char| char.is_whitespace() && Some(char) != self.delimiter);
        is_blank.then_some(after)
    }

    fn record(&mut self) -> Result<Record<'a>, OpenQuote> {
        let mut record = Record { line: self.line, cells: Vec::new() };
        loop {
            let (cell, length) = self.cell()?;
            record.cells.push(cell);
            self.line += self.rest[..length].matches('\n').count();
            let after = &self.rest[length..];
            let mut chars = after.chars();
            let end = chars.next();
            self.rest = chars.as_str();
            if end.is_none() || end == Some('\n') {
                self.line += usize::from(end.is_some());
                return Ok(record);
            }
        }
    }

    /// The cell at the beginning of the rest, and its length there.
    fn cell(&self) -> Result<(Cow<'a, str>, usize), OpenQuote> {
        let blanks = self.rest.len() - self.rest.trim_start_matches(' ').len();
        let plain = || {
            let end = self.end_of_cell(0);
            Ok((Cow::Borrowed(&self.rest[..end]), end))
        };
        let Some(quoted) = self.rest[blanks..].strip_prefix('"') else { return plain() };
        let Some((content, length)) = closed(quoted) else { return Err(OpenQuote { line: self.line }) };
        let close = blanks + 1 + length;
        let end = self.end_of_cell(close);
        match self.rest[close..end].trim().is_empty() {
            true => Ok((content, end)),
            // Text after the closing quote. `"Best" Ltd` is a name; but if it spans several lines, the quote
            // was the opening quote of a later cell.
            false if content.contains('\n') => Err(OpenQuote { line: self.line }),
            false => Ok((Cow::Borrowed(&self.rest[..end]), end)),
        }
    }

    /// The end of the cell, searched from `from`.
    fn end_of_cell(&self, from: usize) -> usize {
        let ends = |char: char| char == '\n' || Some(char) == self.delimiter;
        self.rest[from..].find(ends).map_or(self.rest.len(), |at| from + at)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, OpenQuote>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(after) = self.after_blank_line() {
            self.rest = after;
            self.line += 1;
        }
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = "";
        }
        Some(record)
    }
}

/// The content before the closing quote, and the length including that quote; two quotes mean one quote
/// inside.
fn closed(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find('"')?;
        if !text[at + 1..].starts_with('"') {
            let content = &text[..at];
            let content =
                if from == 0 { Cow::Borrowed(content) } else { Cow::Owned(content.replace("\"\"", "\"")) };
            return Some((content, at + 1));
        }
        from = at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, Vec<String>)> {
        let records = Records::new(text, 1, Some(','));
        let record = |record: Result<Record<'_>, OpenQuote>| {
            let record = record.unwrap_or_else(|open| panic!("{open:?} in {text:?}"));
            (record.line, record.cells.iter().map(ToString::to_string).collect())
        };
        records.map(record).collect()
    }

    #[test]
    fn cells_are_told_apart_as_spreadsheets_write_them() {
        type Lines<'a> = &'a [(usize, &'a [&'a str])];
        let cases: [(&str, Lines<'_>); 10] = [
            ("a\n\"\"\nb\n", &[(1, &["a"]), (2, &[""]), (3, &["b"])]),
            ("a,b\nc,d\n", &[(1, &["a", "b"]), (2, &["c", "d"])]),
            ("a,b\nc,d", &[(1, &["a", "b"]), (2, &["c", "d"])]),
            ("\n\na\n \nb,", &[(3, &["a"]), (5, &["b", ""])]),
            ("\"a,1\",\"say \"\"hi\"\"\"\nx", &[(1, &["a,1", "say \"hi\""]), (2, &["x"])]),
            ("\"two\nlines\",1\nx,2", &[(1, &["two\nlines", "1"]), (3, &["x", "2"])]),
            ("5\" pipe,=\"0789\"\n", &[(1, &["5\" pipe", "=\"0789\""])]),
            (" \"a,1\" , b\n", &[(1, &["a,1", " b"])]),
            ("\"Best\" Ltd,1\n", &[(1, &["\"Best\" Ltd", "1"])]),
            (",,\n", &[(1, &["", "", ""])]),
        ];
        for (text, expected) in cases {
            let expected: Vec<(usize, Vec<String>)> = expected
                .iter()
                .map(|(line, cells)| (*line, cells.iter().map(ToString::to_string).collect()))
                .collect();
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_is_an_error_with_its_line() {
        for (text, line) in [
            ("a,b\n1,\"x\n2,y\n", 2),
            ("a,b\n1,\"x\n2,\"y\"\n3,z\n", 2),
            ("a,b\n1,\"two\nlines\"\n2,\"x\n3,\"\"\n", 4),
            ("\"", 1),
            ("\"two\nlines\",\"x", 2),
        ] {
            let last = Records::new(text, 1, Some(',')).last().expect("something");
            assert_eq!(last, Err(OpenQuote { line }), "{text:?}");
        }
    }
}
