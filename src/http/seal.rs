//! Texts that this process hands out and takes back: nobody else can make or change one.
//!
//! They are sealed, not stored, so they cost no memory; and with a key of this process, so they end with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::session::random_text;

/// A key of its own: what one seals, another does not open.
pub(super) struct Seal {
    key: String,
}

impl Seal {
    pub(super) fn new() -> Seal {
        Seal { key: random_text() }
    }

    /// The text with its seal, for this context only.
    pub(super) fn seal(&self, context: &[u8], text: &str) -> String {
        let seal = self.mac(context, text).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(seal))
    }

    /// The text, if it was sealed here for this context.
    pub(super) fn open(&self, context: &[u8], sealed: &str) -> Option<String> {
        let (text, seal) = sealed.split_once('.')?;
        let decode = |part| URL_SAFE_NO_PAD.decode(part).ok();
        let text = String::from_utf8(decode(text)?).ok()?;
        self.mac(context, &text).verify_slice(&decode(seal)?).ok()?;
        Some(text)
    }

    fn mac(&self, context: &[u8], text: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes());
        mac.expect("any length of key will do").chain_update(context).chain_update(text)
    }
}
