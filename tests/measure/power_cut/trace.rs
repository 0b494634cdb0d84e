//! The trace of one process, written by strace, as operations on its database files.

use std::collections::HashMap;

use super::{FILES, Image};

/// In the order in which they may have taken effect: a write at its beginning, a sync at its end, a POST at
/// its first byte.
pub(super) enum Operation {
    Write {
        file: &'static str,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: &'static str,
        length: usize,
    },
    Sync(&'static str),
    /// A paid POST begins to go out.
    Post,
}

impl Operation {
    pub(super) fn is_of(&self, name: &str) -> bool {
        match self {
            Operation::Write { file, .. } | Operation::Truncate { file, .. } => *file == name,
            Operation::Sync(_) | Operation::Post => false,
        }
    }

    pub(super) fn apply(&self, image: &mut Image) {
        match self {
            Operation::Write { file, at, bytes } => {
                let content = image.entry(*file).or_default();
                let length = content.len().max(at + bytes.len());
                content.resize(length, 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Operation::Truncate { file, length } => image.entry(*file).or_default().resize(*length, 0),
            Operation::Sync(_) | Operation::Post => {}
        }
    }
}

/// Reads `strace -f -xx`: a line for each call, or two when another thread came in between.
pub(super) fn read(trace: &str) -> Vec<Operation> {
    let mut reader = Reader::default();
    for line in trace.lines() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            reader.begin(begun);
            reader.unfinished.insert(thread.to_owned(), begun.to_owned());
        } else if rest.starts_with("<... ") {
            let Some(begun) = reader.unfinished.remove(thread) else { continue };
            reader.end(&begun, result(rest));
        } else if rest.contains('(') {
            reader.begin(rest);
            reader.end(rest, result(rest));
        }
    }
    reader.operations
}

/// What the call returned.
fn result(line: &str) -> i64 {
    let value = line.rsplit_once(" = ").map_or("", |(_, value)| value);
    value.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(-1)
}

#[derive(Default)]
struct Reader {
    operations: Vec<Operation>,
    unfinished: HashMap<String, String>,
    /// The database's files by their file descriptors.
    open: HashMap<i64, &'static str>,
}

impl Reader {
    fn begin(&mut self, call: &str) {
        let Some((name, arguments)) = call.split_once('(') else { return };
        match name {
            "pwrite64" => {
                let Some(file) = self.file(arguments) else { return };
                let bytes = bytes(arguments);
                // pwrite64(7, "…", 4096, 0): the last number before the result.
                let inner = arguments.rsplit_once(')').map_or(arguments, |(inner, _)| inner);
                let at = inner.rsplit_once(", ").and_then(|(_, at)| at.trim().parse().ok());
                self.operations.push(Operation::Write { file, at: at.expect("an offset"), bytes });
            }
            "sendto" | "write" | "writev" => {
                const POST: &[u8] = b"POST /external/contacts/unlock";
                if self.file(arguments).is_none() && bytes(arguments).starts_with(POST) {
                    self.operations.push(Operation::Post);
                }
            }
            "close" => drop(self.open.remove(&number(arguments))),
            _ => {}
        }
    }

    fn end(&mut self, call: &str, result: i64) {
        let Some((name, arguments)) = call.split_once('(') else { return };
        match name {
            "openat" if result >= 0 => {
                let path = String::from_utf8_lossy(&bytes(arguments)).into_owned();
                let name = path.rsplit('/').next().unwrap_or_default();
                self.open.remove(&result);
                if let Some(file) = FILES.into_iter().find(|file| *file == name) {
                    self.open.insert(result, file);
                }
            }
            "ftruncate" if result == 0 => {
                let length = arguments.split(", ").nth(1).map_or(0, |text| number(text) as usize);
                if let Some(file) = self.file(arguments) {
                    self.operations.push(Operation::Truncate { file, length });
                }
            }
            "fsync" | "fdatasync" if result == 0 => {
                if let Some(file) = self.file(arguments) {
                    self.operations.push(Operation::Sync(file));
                }
            }
            _ => {}
        }
    }

    fn file(&self, arguments: &str) -> Option<&'static str> {
        self.open.get(&number(arguments)).copied()
    }
}

/// The number that a text begins with.
fn number(text: &str) -> i64 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(-1)
}

/// The first text of a call's arguments, written as \x2f\x74…
fn bytes(arguments: &str) -> Vec<u8> {
    let quoted = arguments.split('"').nth(1).unwrap_or_default();
    quoted.split("\\x").skip(1).filter_map(|pair| u8::from_str_radix(pair.get(..2)?, 16).ok()).collect()
}
