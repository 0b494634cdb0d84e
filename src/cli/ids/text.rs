//! The bytes of a file → text with lines that end in `\n`.

/// The first bytes of common files that are not text.
const NO_TEXT: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "is a workbook (xlsx, ods) or an archive"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook (xls)"),
    (b"\x1f\x8b", "is compressed"),
    (b"%PDF", "is a PDF"),
    (b"SQLite format 3", "is a database"),
    (b"PAR1", "is a Parquet file"),
];

const SAVE_AS: &str = "save it as plain text or as CSV in UTF-8";

/// Reads UTF-8, and UTF-16 with or without its mark. Other encodings keep ASCII characters, so ids,
/// delimiters and quotes stay correct; their other letters become replacement characters.
pub(super) fn decoded(bytes: &[u8]) -> Result<String, String> {
    if let Some((_, what)) = NO_TEXT.iter().find(|(start, _)| bytes.starts_with(start)) {
        return Err(format!("{what}: {SAVE_AS}"));
    }
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [1..=255, 0, 1..=255, 0, ..] => utf16(bytes, u16::from_le_bytes)?,
        [0, 1..=255, 0, 1..=255, ..] => utf16(bytes, u16::from_be_bytes)?,
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    if text.contains('\0') {
        return Err(format!("is no text: {SAVE_AS}"));
    }
    Ok(with_plain_line_ends(text.strip_prefix('\u{feff}').unwrap_or(&text)))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let text = String::from_utf16(&units.iter().map(|bytes| unit(*bytes)).collect::<Vec<u16>>());
    match text {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(format!("is damaged or cut off UTF-16: {SAVE_AS}")),
    }
}

/// `\r\n`, a `\r` alone (old Macs) and `\r\r\n` (a program that translated line ends twice) each end one line.
fn with_plain_line_ends(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((line, after)) = rest.split_once('\r') {
        plain.push_str(line);
        plain.push('\n');
        rest = ["\r\n", "\n"].iter().find_map(|end| after.strip_prefix(end)).unwrap_or(after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16_of(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes_of).collect()
    }

    #[test]
    fn every_line_end_ends_one_line() {
        for text in ["a\nb\n\nc", "a\r\nb\r\n\r\nc", "a\rb\r\rc", "a\r\r\nb\r\r\n\r\r\nc"] {
            assert_eq!(with_plain_line_ends(text), "a\nb\n\nc", "{text:?}");
        }
    }

    #[test]
    fn text_is_read_in_each_encoding_that_tools_write() {
        let text = "\u{feff}Größe;789\n";
        let plain = "Größe;789\n";
        assert_eq!(decoded(text.as_bytes()).expect("UTF-8"), plain);
        assert_eq!(decoded(plain.as_bytes()).expect("UTF-8"), plain);
        assert_eq!(decoded(&utf16_of(text, u16::to_le_bytes)).expect("UTF-16LE"), plain);
        assert_eq!(decoded(&utf16_of(text, u16::to_be_bytes)).expect("UTF-16BE"), plain);
        assert_eq!(decoded(&utf16_of("789\n", u16::to_le_bytes)).expect("without a mark"), "789\n");
        assert_eq!(decoded(&utf16_of("789\n", u16::to_be_bytes)).expect("without a mark"), "789\n");
        // Windows-1252: Excel's "CSV" without more.
        assert_eq!(decoded(b"Gr\xf6\xdfe;789\r\n").expect("its ASCII"), "Gr\u{fffd}\u{fffd}e;789\n");
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, said) in [
            (&b"PK\x03\x04rest"[..], "workbook"),
            (b"\xd0\xcf\x11\xe0\xa1", "xls"),
            (b"\x1f\x8b\x08", "compressed"),
            (b"789\n\0\0\0", "no text"),
            (b"\xff\xfe7\x008", "UTF-16"),
            (b"\xff\xfe\x00\xd8", "UTF-16"),
        ] {
            let problem = decoded(bytes).expect_err(said);
            assert!(problem.contains(said) && problem.contains("CSV"), "{problem}");
        }
    }
}
