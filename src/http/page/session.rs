//! Signing in and out, and why it may be impossible.

use maud::{Markup, html};

use super::{Look, Page, Spot};
use crate::http::session::Visitor;

/// The corner of each page: a link to sign in, or a button to sign out.
pub(super) fn corner(look: &Look<'_>) -> Markup {
    html! {
        div .corner {
            @match &look.visitor {
                Visitor::SignedIn(_) => {
                    form method="post" action="/session/end" {
                        button #sign-out type="submit" { "Sign out" }
                    }
                }
                Visitor::Stranger => a #sign-in href="/session" { "Sign in" },
                Visitor::NoToken | Visitor::BadToken(_) => span { "Read only" },
            }
        }
    }
}

/// Why there are no buttons; nothing for people who are signed in.
pub(super) fn why_read_only(look: &Look<'_>) -> Markup {
    html! {
        @match &look.visitor {
            Visitor::SignedIn(_) => {}
            Visitor::Stranger => p .hint {
                a href="/session" { "Sign in" } " to decide here, and to see references and contacts."
            },
            Visitor::NoToken => p .hint {
                "To decide here, and to see references and contacts, set " code { "http.token_file" }
                " and restart unlockd. The command line can do all of it."
            },
            Visitor::BadToken(reason) => p .hint {
                "Nobody can sign in: " (reason) ". Fix the file; it is read again at once."
            },
        }
    }
}

/// The form for the token, with the error of the last try. `is_private`: the token does not leave this
/// machine unencrypted.
pub(in crate::http) fn sign_in(look: &Look<'_>, is_private: bool, problem: Option<&str>) -> Page {
    let body = html! {
        h1 { "Sign in" }
        @if let Some(problem) = problem {
            p #problem .problem role="alert" { (problem) }
        }
        @match &look.visitor {
            Visitor::SignedIn(_) => p { "You are signed in. " a href="/" { "To the overview" } },
            Visitor::NoToken | Visitor::BadToken(_) => (why_read_only(look)),
            Visitor::Stranger => {
                form .sign-in method="post" action="/session" {
                    label for="token" { "Token" }
                    input #token name="token" type="password" required autocomplete="current-password"
                        aria-describedby="token-hint";
                    p #token-hint .hint { "The contents of the file named by " code { "http.token_file" } "." }
                    button type="submit" .primary { "Sign in" }
                }
                @if !is_private {
                    p .hint {
                        "Browsers keep the session only over TLS, or on this machine. Without a TLS proxy use a \
                         tunnel, such as " code { "ssh -L 8787:127.0.0.1:8787 HOST" }
                        ", and open " code { "http://localhost:8787/" } "."
                    }
                }
            }
        }
    };
    Page { title: "Sign in".to_owned(), body, is_live: false, spot: Spot::Elsewhere }
}
