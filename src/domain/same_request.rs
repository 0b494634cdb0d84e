//! Two rows with one dedupe key: the same request again, or a different one?

use std::collections::BTreeSet;

use super::id_list;
use super::request::{self, RawRow};

/// The columns in which two rows of one account ask for different things; empty if they ask for the same.
/// `approved` is not compared: the worker itself resets an approval when a quote has grown.
pub fn differing_columns(one: &RawRow, other: &RawRow) -> Vec<&'static str> {
    let text = |column: &Option<String>| column.as_deref().map(str::trim).unwrap_or_default().to_owned();
    let id = |column: &Option<String>| request::id_column(&text(column), "").map(|id| id.into_owned());
    let columns = [
        ("action", one.action == other.action),
        ("event_id", id(&one.event_id) == id(&other.event_id)),
        ("personnel_ids", contacts(one) == contacts(other)),
        ("task_id", id(&one.task_id) == id(&other.task_id)),
        ("query", text(&one.query) == text(&other.query)),
        ("max_pages", one.max_pages == other.max_pages),
        ("max_credits", one.max_credits == other.max_credits),
        ("reference", text(&one.reference) == text(&other.reference)),
    ];
    columns.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// What a row asks for, as a text that is the same for the same request.
pub fn content(row: &RawRow) -> String {
    let id = |column: &Option<String>| {
        let text = column.as_deref().map(str::trim).unwrap_or_default();
        request::id_column(text, "").map_or_else(|_| text.to_owned(), |id| id.into_owned())
    };
    let contacts = format!("{:?}", contacts(row));
    let query = row.query.as_deref().map(str::trim).unwrap_or_default();
    let (event, task) = (id(&row.event_id), id(&row.task_id));
    format!("{:?}", (&row.account, &row.action, event, contacts, task, query, row.max_pages))
}

/// The contacts as a set; a list that cannot be read equals only the same text.
fn contacts(row: &RawRow) -> Result<BTreeSet<String>, &str> {
    let text = row.personnel_ids.as_deref().unwrap_or("[]");
    let contacts = id_list::read(text).map_err(|_| text)?;
    let valid = contacts.valid.iter().map(|id| id.as_str().to_owned());
    Ok(valid.chain(contacts.invalid).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(personnel_ids: &str) -> RawRow {
        RawRow {
            action: "unlock_contact_emails".into(),
            event_id: Some("139574".into()),
            personnel_ids: Some(personnel_ids.into()),
            max_pages: 1,
            ..RawRow::default()
        }
    }

    #[test]
    fn the_same_request_may_be_spelled_otherwise() {
        let one = row("[\"789\",\"790\"]");
        let other = RawRow {
            event_id: Some(" 139574.0 ".into()),
            reference: Some(String::new()),
            approved: 1,
            ..row("[790.0, \"0789\", 790]")
        };
        assert_eq!(differing_columns(&one, &other), Vec::<&str>::new());
        assert_eq!(differing_columns(&row("no list"), &row("no list")), Vec::<&str>::new());
    }

    #[test]
    fn each_column_that_asks_for_something_else_is_named() {
        let one = row("[1]");
        let changed: [(&str, RawRow); 9] = [
            ("action", RawRow { action: "unlock_contact_phones".into(), ..one.clone() }),
            ("event_id", RawRow { event_id: None, ..one.clone() }),
            ("personnel_ids", row("[1,2]")),
            ("personnel_ids", row("[1")),
            ("task_id", RawRow { task_id: Some("321".into()), ..one.clone() }),
            ("query", RawRow { query: Some("Acme".into()), ..one.clone() }),
            ("max_pages", RawRow { max_pages: 2, ..one.clone() }),
            ("max_credits", RawRow { max_credits: Some(0), ..one.clone() }),
            ("reference", RawRow { reference: Some("r".into()), ..one.clone() }),
        ];
        for (column, other) in changed {
            assert_eq!(differing_columns(&one, &other), [column]);
        }
    }
}
