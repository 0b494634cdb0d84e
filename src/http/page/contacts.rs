//! The contacts of a request: their values are shown only after signing in, masked until one is revealed.

use maud::{Markup, html};

use super::words::{moment, number, state, visible};
use super::{Look, Wanted, forms, lists};
use crate::domain::outcome::Outcome;
use crate::store::StoreError;
use crate::store::report::OutcomeCount;
use crate::store::report::export::{self, Contact};

/// Contacts on one page.
const ROWS: u32 = 25;

/// The counts, and for signed-in people a page of contacts. `revealed`: the item whose value is shown
/// unmasked.
pub(super) async fn section(
    look: &Look<'_>,
    request: i64,
    outcomes: &[OutcomeCount],
    wanted: &Wanted,
    revealed: Option<i64>,
) -> Result<Markup, StoreError> {
    let all: i64 = outcomes.iter().map(|count| count.contacts).sum();
    let chosen = wanted.outcome.as_deref().filter(|outcome| Outcome::NAMES.contains(outcome));
    let rows = match look.is_trusted() {
        true => read(look, request, chosen, wanted.after.unwrap_or(0)).await?,
        false => Vec::new(),
    };
    let next = (rows.len() > ROWS as usize).then(|| rows[ROWS as usize - 1].item_id);
    let rows = &rows[..rows.len().min(ROWS as usize)];
    Ok(html! {
        section #contacts aria-labelledby="contacts-title" {
            h2 #contacts-title { "Contacts" @if let Some(chosen) = chosen { ": " (state(chosen)) } }
            p .counts {
                (number(all)) " in all" @if all > 0 { ": " (lists::outcome_links(request, outcomes)) }
                @if chosen.is_some() { " \u{00b7} " a href=(format!("/requests/{request}#contacts")) { "show all" } }
            }
            @if !look.is_trusted() {
                p .hint { "Sign in to see which contacts these are." }
            } @else if rows.is_empty() {
                p .calm { "No contact to show." }
            } @else {
                (table(look, request, rows, revealed))
                p .hint { (lists::of_all(rows.len(), all)) }
                @if wanted.after.is_some() || next.is_some() {
                    (pages(request, chosen, wanted.after.is_some(), next))
                }
            }
        }
    })
}

async fn read(
    look: &Look<'_>,
    request: i64,
    outcome: Option<&str>,
    after: i64,
) -> Result<Vec<Contact>, StoreError> {
    let outcomes = match outcome {
        Some(outcome) => serde_json::json!([outcome]),
        None => serde_json::json!(Outcome::NAMES),
    };
    let wanted = export::Wanted {
        request_id: Some(request),
        outcomes: Some(outcomes.to_string()),
        ..Default::default()
    };
    // One more than is shown, to know whether there is a next page.
    export::page(&look.site.store, &wanted, after, ROWS + 1).await
}

fn table(look: &Look<'_>, request: i64, rows: &[Contact], revealed: Option<i64>) -> Markup {
    html! {
        div .scroll role="group" aria-labelledby="contacts-title" tabindex="0" {
            table {
                caption .visually-hidden { "Contacts of the request, in the order in which they were asked for" }
                thead { tr {
                    th scope="col" { "Contact" } th scope="col" { "Outcome" } th scope="col" { "Value" }
                    th scope="col" { "Source" } th scope="col" { "Error code" } th scope="col" .n { "Job" } th scope="col" { "Resolved" }
                } }
                tbody { @for row in rows { tr #(format!("item-{}", row.item_id)) {
                    th scope="row" { (visible(&row.personnel_id)) }
                    td { (state(&row.outcome)) }
                    td { (value(look, request, row, revealed)) }
                    td {
                        @if let Some(source) = &row.source { (source) }
                        @if let (Some("store"), Some(at)) = (row.source.as_deref(), row.obtained_at) { ", read " (moment(at, look.now)) }
                    }
                    td { @if let Some(code) = &row.error_code { (visible(code)) } }
                    td .n { @if let Some(job) = row.job_id { a href=(format!("/jobs/{job}")) { (job) } } }
                    td { @if let Some(at) = row.resolved_at { (moment(at, look.now)) } }
                } } }
            }
        }
    }
}

fn value(look: &Look<'_>, request: i64, row: &Contact, revealed: Option<i64>) -> Markup {
    let masked = match (&row.email, &row.phone) {
        (Some(email), _) => masked_email(email),
        (None, Some(phone)) => masked_phone(phone),
        (None, None) if row.outcome == "delivered" => return html! { span .hint { "erased" } },
        (None, None) => return html! {},
    };
    html! {
        @if revealed == Some(row.item_id) {
            @for value in [&row.email, &row.phone].into_iter().flatten() {
                strong .revealed { (visible(value)) }
            }
        } @else {
            span .masked { (masked) } " " (forms::reveal(look, request, row.item_id, &visible(&row.personnel_id)))
        }
    }
}

fn pages(request: i64, outcome: Option<&str>, is_later: bool, next: Option<i64>) -> Markup {
    let of_outcome = outcome.map(|outcome| format!("outcome={outcome}&")).unwrap_or_default();
    html! {
        nav .filters aria-label="Pages of contacts" {
            @if is_later { a href=(format!("/requests/{request}?{of_outcome}#contacts")) { "First page" } }
            @if let Some(next) = next {
                a #next-contacts href=(format!("/requests/{request}?{of_outcome}after={next}#contacts")) { "Next page" }
            }
        }
    }
}

/// The first letter and the domain: enough to tell people apart, too little to write to.
fn masked_email(email: &str) -> String {
    let (name, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let first: String = name.chars().take(1).collect();
    visible(&format!("{first}\u{2022}\u{2022}\u{2022}@{domain}"))
}

/// The last two digits.
fn masked_phone(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    let shown: String = digits[digits.len().saturating_sub(2)..].iter().collect();
    // A number with only a few digits would be shown completely.
    format!("\u{2022}\u{2022}\u{2022}\u{2022}{}", if digits.len() > 4 { shown.as_str() } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_value_cannot_be_used() {
        assert_eq!(masked_email("john.smith@acme.com"), "j\u{2022}\u{2022}\u{2022}@acme.com");
        assert_eq!(masked_email("x"), "x\u{2022}\u{2022}\u{2022}@");
        assert_eq!(masked_phone("+1 (555) 01-42"), "\u{2022}\u{2022}\u{2022}\u{2022}42");
        assert_eq!(masked_phone("42"), "\u{2022}\u{2022}\u{2022}\u{2022}");
    }
}
