//! The endpoints, and the header with the id of each call.

use reqwest::Method;

/// Our own id of a call; the API returns its trace id in the same header.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// An endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    /// Method and path pattern, for error messages.
    pub(super) name: &'static str,
    pub(super) method: &'static Method,
    /// Whether the call spends credits: then its effect is assumed until the opposite is proven.
    pub(super) paid: bool,
}
