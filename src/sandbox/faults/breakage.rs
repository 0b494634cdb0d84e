//! Answers with broken bodies.
//!
//! Status and headers stay correct, since a client might trust them.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::response::Parts;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::kinds::Breakage;
use crate::sandbox::words::answer::Answer;
use crate::sandbox::words::headers::set;

const HUGE_BYTES: usize = 200 << 20;
const HUGE_PIECE: usize = 64 << 10;
/// Deep enough to overflow the stack of a parser that recurses without a limit.
const DEPTH: usize = 500_000;
const PAGE: &str = "<html><head><title>Error</title></head><body><h1>Something went wrong</h1>\
                    <p>nginx</p></body></html>\n";

pub(in crate::sandbox) fn page(head: &mut Parts) -> Body {
    set(head, "content-type", "text/html");
    Body::from(PAGE)
}

pub(in crate::sandbox) fn damage(
    head: &mut Parts,
    bytes: Bytes,
    answer: &Answer,
    breakage: Breakage,
) -> Body {
    match breakage {
        Breakage::Html => page(head),
        Breakage::Empty => Body::empty(),
        Breakage::Truncated => Body::from(bytes.slice(..bytes.len() / 2)),
        Breakage::Twice => Body::from(with_first_field_twice(&bytes, answer)),
        Breakage::Bom => Body::from([b"\xef\xbb\xbf", &bytes[..]].concat()),
        Breakage::Gzip => {
            set(head, "content-encoding", "gzip");
            Body::from(gzip(&bytes))
        }
        Breakage::Deflate => {
            set(head, "content-encoding", "deflate");
            Body::from(zlib(&bytes))
        }
        Breakage::Deep => Body::from("[".repeat(DEPTH)),
        Breakage::Huge => huge(),
        // These change the fields, which was done earlier.
        Breakage::Types
        | Breakage::Strangers
        | Breakage::Odd
        | Breakage::Unlisted
        | Breakage::NullItems
        | Breakage::Unknown
        | Breakage::Groups
        | Breakage::WordId => Body::from(bytes),
    }
}

/// The JSON of an object in which the first field appears again at the end.
fn with_first_field_twice(bytes: &[u8], answer: &Answer) -> Vec<u8> {
    let first = answer.body.as_object().and_then(|fields| fields.iter().next());
    match (bytes.strip_suffix(b"}"), first) {
        (Some(start), Some((name, value))) => {
            let again = format!(",{}:{value}}}", Value::from(name.as_str()));
            [start, again.as_bytes()].concat()
        }
        _ => bytes.to_vec(),
    }
}

/// A deflate stream of stored blocks, without compression, which is valid, too.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::with_capacity(bytes.len() + 16);
    let count = bytes.chunks(0xffff).count();
    for (place, block) in bytes.chunks(0xffff).enumerate() {
        let length = block.len() as u16;
        stream.push(u8::from(place + 1 == count));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let crc = bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let length = bytes.len() as u32;
    [&head[..], &stored(bytes), &(!crc).to_le_bytes(), &length.to_le_bytes()].concat()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    [&[0x78, 0x01][..], &stored(bytes), &(high << 16 | low).to_be_bytes()].concat()
}

/// A JSON text that is too large for any sensible limit.
fn huge() -> Body {
    let piece = Bytes::from(vec![b'x'; HUGE_PIECE]);
    let start = stream::iter([Bytes::from_static(b"{\"status\":\"")]);
    let rest = stream::iter((0..HUGE_BYTES / HUGE_PIECE).map(move |_| piece.clone()));
    Body::from_stream(start.chain(rest).map(Ok::<_, Infallible>))
}

/// Sends the first byte at once, then one byte a second.
pub(in crate::sandbox) fn drip(bytes: Bytes) -> Body {
    let length = bytes.len();
    let pieces = stream::unfold(0, move |at| {
        let bytes = bytes.clone();
        async move {
            if at >= length {
                return None;
            }
            if at > 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Some((Ok::<_, Infallible>(bytes.slice(at..=at)), at + 1))
        }
    });
    Body::from_stream(pieces)
}
