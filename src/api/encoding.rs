//! Answers that are compressed although no compression was requested.
//!
//! Every call sends `Accept-Encoding: identity`, but some servers and CDNs compress anyway, or leave out the
//! header that says so. So the bytes count more than the header. The unpacked size is limited like that of
//! any answer, since a few kilobytes can unpack to gigabytes.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Why a body cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    /// An unknown compression, or damaged data.
    Unreadable,
}

/// A body may be packed twice: by the server and by a gateway in front of it.
const MOST_LAYERS: usize = 2;

/// The unpacked body: at most `most` bytes. `encoding` is the `Content-Encoding` header.
pub(super) fn plain(mut bytes: Vec<u8>, encoding: &str, most: usize) -> Result<Vec<u8>, Fault> {
    let encoding = encoding.to_ascii_lowercase();
    for _ in 0..MOST_LAYERS {
        bytes = match bytes.as_slice() {
            [0x1f, 0x8b, ..] => unpacked(MultiGzDecoder::new(bytes.as_slice()), most)?,
            body if is_plain(body) => return Ok(bytes),
            // Documented as zlib, but some servers send it without the zlib header.
            body if encoding.contains("deflate") => match unpacked(ZlibDecoder::new(body), most) {
                Err(Fault::Unreadable) => unpacked(DeflateDecoder::new(body), most)?,
                unpacked => unpacked?,
            },
            _ if encoding.is_empty() || encoding == "identity" => return Ok(bytes),
            _ => return Err(Fault::Unreadable),
        };
    }
    Ok(bytes)
}

/// Whether it begins like a text. No compressed body of the known kinds begins like that.
fn is_plain(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, None | Some(b'{' | b'[' | b'<' | b'"' | 0xef))
}

fn unpacked(packed: impl Read, most: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    // One byte more than allowed shows that a body is too large.
    packed.take(most as u64 + 1).read_to_end(&mut bytes).map_err(|_| Fault::Unreadable)?;
    if bytes.len() > most { Err(Fault::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const BODY: &[u8] = br#"{"status":"accepted","task_id":"321"}"#;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(body).expect("in memory");
        packer.finish().expect("in memory")
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
        packer.write_all(body).expect("in memory");
        packer.finish().expect("in memory")
    }

    fn deflate(body: &[u8]) -> Vec<u8> {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::default());
        packer.write_all(body).expect("in memory");
        packer.finish().expect("in memory")
    }

    #[test]
    fn an_answer_that_is_packed_is_unpacked_whatever_its_header_says() {
        for (bytes, encoding) in [
            (BODY.to_vec(), ""),
            (BODY.to_vec(), "gzip"),
            (BODY.to_vec(), "br"),
            (gzip(BODY), "gzip"),
            (gzip(BODY), "X-GZIP"),
            (gzip(BODY), ""),
            (gzip(BODY), "identity"),
            (gzip(&gzip(BODY)), "gzip, gzip"),
            (zlib(BODY), "deflate"),
            (deflate(BODY), "deflate"),
            (gzip(&zlib(BODY)), "deflate, gzip"),
            ([gzip(&BODY[..9]), gzip(&BODY[9..])].concat(), "gzip"),
        ] {
            assert_eq!(plain(bytes, encoding, 1_000).as_deref(), Ok(BODY), "{encoding}");
        }
        assert_eq!(plain(Vec::new(), "gzip", 1_000).as_deref(), Ok(&b""[..]), "an answer without a body");
    }

    #[test]
    fn what_unpacks_into_more_than_is_read_is_refused() {
        let bomb = gzip(&vec![b' '; 50_000_000]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        assert_eq!(plain(bomb.clone(), "gzip", 8 << 20), Err(Fault::TooLarge));
        assert_eq!(plain(gzip(&bomb), "gzip, gzip", 8 << 20), Err(Fault::TooLarge));
        assert_eq!(plain(gzip(BODY), "gzip", BODY.len()).as_deref(), Ok(BODY), "it just fits");
        assert_eq!(plain(gzip(BODY), "gzip", BODY.len() - 1), Err(Fault::TooLarge));
    }

    #[test]
    fn what_is_damaged_or_packed_in_another_way_is_not_guessed_at() {
        let cut = gzip(BODY);
        for (bytes, encoding) in [
            (cut[..cut.len() - 9].to_vec(), "gzip"),
            (vec![0x1f, 0x8b], "gzip"),
            (b"\x28\xb5\x2f\xfd zstd".to_vec(), "zstd"),
            (b"\x0b\x02\x80 brotli".to_vec(), "br"),
            (b"neither".to_vec(), "deflate"),
        ] {
            assert_eq!(plain(bytes, encoding, 1_000), Err(Fault::Unreadable), "{encoding}");
        }
    }
}
