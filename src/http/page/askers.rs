//! Who asks: the agent or token of a request, and the tokens that exist.

use maud::{Markup, html};

use super::Look;
use super::words::{number, visible};
use crate::config::Token;
use crate::store::report::requests::Request;

/// Who asks for a request, and what for; for a visitor who is not signed in, only whether an agent does.
pub(super) fn of(look: &Look<'_>, request: &Request) -> Markup {
    let own = |text: &Option<String>| text.as_deref().map(visible).filter(|_| look.is_trusted());
    let (agent, caller, purpose) = (own(&request.agent), own(&request.caller), own(&request.purpose));
    if request.agent.is_none() && caller.is_none() && purpose.is_none() {
        return html! {};
    }
    html! {
        p #(format!("approve-{}-asker", request.id)) {
            @if request.agent.is_some() {
                strong { "An agent" } @if let Some(agent) = agent { " (" (agent) ")" } " asks for this"
            } @else { "A program asks for this" }
            @if let Some(caller) = caller { ", as caller " (caller) } "."
            @if let Some(purpose) = purpose { " What for: " q { (purpose) } }
        }
    }
}

/// The same in a word or two, for a list.
pub(super) fn short(look: &Look<'_>, request: &Request) -> Markup {
    html! {
        @if request.agent.is_some() { "agent " }
        @if let Some(caller) = request.caller.as_deref().filter(|_| look.is_trusted()) { (visible(caller)) }
    }
}

/// The tokens of the HTTP API: names and what each may do. A token itself is a file, and is shown nowhere.
pub(super) fn tokens(look: &Look<'_>) -> Markup {
    let config = look.site.config();
    let tokens = &config.http.tokens;
    if tokens.is_empty() || !look.is_trusted() {
        return html! {};
    }
    html! {
        section #tokens aria-labelledby="tokens-title" {
            h2 #tokens-title { "Callers of the HTTP API" }
            div .scroll role="group" aria-labelledby="tokens-title" tabindex="0" {
                table {
                    caption .visually-hidden { "Each token of http.tokens, and what its holder may do" }
                    thead { tr {
                        th scope="col" { "Token" } th scope="col" { "Scopes" } th scope="col" { "Accounts" }
                        th scope="col" .n { "Credits a day" }
                    } }
                    tbody { @for (name, token) in tokens { tr {
                        th scope="row" { (visible(name)) }
                        td { (scopes(token)) }
                        td { (token.accounts.as_ref().map_or("all".to_owned(), |names| visible(&names.join(", ")))) }
                        td .n { (token.daily_credits.map_or("no limit".to_owned(), number)) }
                    } } }
                }
            }
        }
    }
}

fn scopes(token: &Token) -> String {
    token.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(", ")
}
