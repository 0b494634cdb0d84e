//! What can be called, and the header that names each call.

use reqwest::Method;

/// Our own id of a call; the API answers with its trace id under the same name.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// What is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    /// Method and path pattern, for error messages.
    pub(super) name: &'static str,
    pub(super) method: &'static Method,
    /// Whether the call spends credits: then only proof counts.
    pub(super) paid: bool,
}
