//! Buttons: each says what it does, and works once, for the figures on the screen. Each form is confirmed by more
//! than the cookie: see [`crate::http::session`].

use maud::{Markup, html};

use super::Look;
use super::words::number;
use crate::http::ticket::Act;

/// A form with a ticket; nothing for people who may not decide.
fn form(look: &Look<'_>, act: Act, action: &str, inside: Markup) -> Markup {
    let Some(session) = look.visitor.session() else { return html! {} };
    let ticket = look.site.tickets.issue(session, act, look.now);
    html! {
        form method="post" action=(action) {
            input type="hidden" name="ticket" value=(ticket);
            // The script puts the session's proof in its place; without the script the token is typed.
            div .proof {
                label { "Token " input name="token" type="password" required autocomplete="current-password" size="9"; }
            }
            (inside)
        }
    }
}

/// A button that acts at once.
pub(super) fn button(look: &Look<'_>, act: Act, id: &str, label: &str) -> Markup {
    form(look, act, "/decisions", html! { button id=(id) type="submit" { (label) } })
}

/// The same for narrow places.
pub(super) fn small(look: &Look<'_>, act: Act, id: &str, label: &str) -> Markup {
    form(look, act, "/decisions", html! { button id=(id) .small type="submit" { (label) } })
}

/// A button behind a summary that says what it will do: one click alone decides nothing.
pub(super) fn careful(look: &Look<'_>, act: Act, id: &str, label: &str, effect: &str) -> Markup {
    if !look.visitor.is_signed_in() {
        return html! {};
    }
    html! {
        details id=(format!("{id}-more")) .careful {
            // The script returns the focus to the element with this id.
            summary #(format!("{id}-summary")) { (label) "\u{2026}" }
            p { (effect) }
            (button(look, act, id, label))
        }
    }
}

/// A button that may spend: the person must type the amount.
pub(super) fn spending(look: &Look<'_>, act: Act, id: &str, label: &str, credits: i64) -> Markup {
    let field = format!("{id}-credits");
    let inside = html! {
        label for=(field) { "Type " strong { (number(credits)) } " to " (label.to_lowercase()) }
        div .together {
            input id=(field) name="credits" type="text" inputmode="numeric" required autocomplete="off" size="9";
            button id=(id) type="submit" .primary { (label) }
        }
    };
    form(look, act, "/decisions", inside)
}

/// The button that shows one contact's value.
pub(super) fn reveal(look: &Look<'_>, request: i64, item: i64, whose: &str) -> Markup {
    let label = html! {
        button .small id=(format!("reveal-{item}")) type="submit" {
            "Reveal" span .visually-hidden { " the value of contact " (whose) }
        }
    };
    form(look, Act::Reveal { request, item }, "/reveal", label)
}
