//! A raw inbox row → a request, or a rejection with a reason that a person can act on.
//!
//! Any program may write the inbox table, so every value is checked. A rejection says what is wrong and what
//! would be right; it never repeats the row's content, which may hold personal data. Good ids in the same row
//! as bad ones are accepted, and the bad ones become `invalid` items.

mod rejection;

use std::borrow::Cow;

use super::action::{Action, Channel};
use super::credits::Credits;
use super::id_list;
use super::id_text::{self, Number, Point};
use super::ids::{AccountId, EventId, PersonnelId, TaskId};
use super::rounded::Rounded;

pub use super::id_list::Contacts;
pub use rejection::Rejection;

/// A row of the inbox table as it was read.
#[derive(Clone, Debug, Default)]
pub struct RawRow {
    pub account: String,
    pub action: String,
    pub event_id: Option<String>,
    pub personnel_ids: Option<String>,
    pub task_id: Option<String>,
    pub query: Option<String>,
    pub max_pages: i64,
    pub max_credits: Option<i64>,
    pub approved: i64,
    /// Anything but 0: it waits for a person, whatever it costs.
    pub needs_approval: i64,
    pub reference: Option<String>,
    pub dedupe_key: Option<String>,
    /// A column that is so long that it was not read, and the characters that it may hold.
    pub too_long: Option<(&'static str, usize)>,
}

/// The highest id of a row. SQLite counts on from the highest id, up to 2^63 - 1, after which it takes no row any
/// more; and JavaScript reads no number above this one exactly.
pub const LARGEST_ID: i64 = (1 << 53) - 1;

/// Each text column, and the characters above which it is not read. (A list of ids also ends at 100,000 ids.)
pub const LONGEST_READ: [(&str, usize); 11] = [
    ("account", 250),
    ("action", 250),
    ("event_id", 1_000),
    ("personnel_ids", 2_097_152),
    ("task_id", 1_000),
    ("query", 200),
    ("reference", LONGEST_REFERENCE),
    ("dedupe_key", LONGEST_DEDUPE_KEY),
    ("caller", 64),
    ("agent", 64),
    ("purpose", 1_000),
];

/// A text column and its longest text.
pub fn long_column(name: &str) -> Option<(&'static str, usize)> {
    LONGEST_READ.into_iter().find(|(column, _)| *column == name)
}

/// Characters allowed in a reference, which is copied to every result.
pub const LONGEST_REFERENCE: usize = 1_000;
pub const LONGEST_DEDUPE_KEY: usize = 200;

/// A valid request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlockRequest {
    pub account: AccountId,
    pub action: Action,
    pub event_id: Option<EventId>,
    pub max_credits: Option<Credits>,
    pub approved: bool,
    pub needs_approval: bool,
    pub wish: Wish,
}

/// What the request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Buy the values of these contacts that are missing.
    Contacts { channel: Channel, contacts: Contacts },
    /// Poll and record a task that another program created; buys nothing.
    Adopt { channel: Channel, task_id: TaskId, contacts: Contacts },
    /// Access to an event; the action says to what of it.
    Event,
    /// A paid search, page by page.
    Search { query: String, max_pages: u32 },
}

impl Wish {
    /// The most paid calls of a direct action; 0 for contacts, which are counted separately.
    pub fn calls(&self) -> u32 {
        match self {
            Wish::Contacts { .. } | Wish::Adopt { .. } => 0,
            Wish::Event => 1,
            Wish::Search { max_pages, .. } => *max_pages,
        }
    }
}

impl UnlockRequest {
    /// The contacts that it names; none for a direct action.
    pub fn contacts(&self) -> &Contacts {
        static NONE: Contacts =
            Contacts { valid: Vec::new(), invalid: Vec::new(), rounded: Rounded::NOTHING };
        match &self.wish {
            Wish::Contacts { contacts, .. } | Wish::Adopt { contacts, .. } => contacts,
            Wish::Event | Wish::Search { .. } => &NONE,
        }
    }

    /// The first call of a direct action as an item: the event's id, or the first page. Later pages are added
    /// when a page says that there is more.
    pub fn first_call(&self) -> Contacts {
        let key = match (&self.wish, &self.event_id) {
            (Wish::Event, Some(event_id)) => PersonnelId::trusted(event_id.as_str()),
            _ => PersonnelId::trusted("1"),
        };
        Contacts { valid: vec![key], ..Contacts::default() }
    }
}

/// Reads a row. `accounts` are the configured accounts.
pub fn parse(row: &RawRow, accounts: &[AccountId]) -> Result<UnlockRequest, Rejection> {
    if let Some((column, most)) = row.too_long {
        return Err(Rejection::TooLong { column, most });
    }
    let account = accounts
        .iter()
        .find(|account| account.as_str() == row.account)
        .ok_or_else(|| unknown_account(accounts))?;
    let action = Action::parse(&row.action).ok_or(Rejection::UnknownAction)?;
    within(&row.reference, "reference", LONGEST_REFERENCE)?;
    within(&row.dedupe_key, "dedupe_key", LONGEST_DEDUPE_KEY)?;
    let event_id = match row.event_id.as_deref().map(str::trim) {
        None | Some("") => None,
        // A search has no event: columns that an action does not use are not read.
        Some(_) if action.is_search() => None,
        Some(text) => Some(EventId::parse(&id_column(text, "event_id")?).ok_or(Rejection::BadEventId)?),
    };
    if row.max_credits.is_some_and(|max| max < 0) {
        return Err(Rejection::NegativeMaxCredits);
    }
    let request = UnlockRequest {
        account: account.clone(),
        action,
        max_credits: row.max_credits.map(Credits),
        approved: approved(row.approved)?,
        needs_approval: row.needs_approval != 0,
        wish: wish(row, action, event_id.as_ref())?,
        event_id,
    };
    refuse_unused(row, action)?;
    Ok(request)
}

/// An id as a column holds it. JavaScript has no integers, so a program that binds 139574 writes `139574.0`
/// into a text column. SQLite always writes such a number with a point.
pub(super) fn id_column<'a>(text: &'a str, column: &'static str) -> Result<Cow<'a, str>, Rejection> {
    if !text.contains('.') {
        return Ok(Cow::Borrowed(text));
    }
    match id_text::whole_number(text, Point::Decimal) {
        Number::Whole(digits) => Ok(Cow::Owned(digits)),
        Number::DigitsLost => Err(Rejection::DigitsLost { column }),
        Number::Other => Ok(Cow::Borrowed(text)),
    }
}

/// A value that the action cannot use is an error, not ignored. An empty column is allowed.
fn refuse_unused(row: &RawRow, action: Action) -> Result<(), Rejection> {
    let says = |column: &Option<String>| {
        column.as_deref().is_some_and(|text| !matches!(text.trim(), "" | "[]" | "null"))
    };
    match action.channel() {
        None if says(&row.personnel_ids) => Err(Rejection::PersonnelIdsUnused { action }),
        _ if !action.is_search() && says(&row.query) => Err(Rejection::QueryUnused { action }),
        _ => Ok(()),
    }
}

/// Any program may write the row, and its values are stored and shown for ever.
fn within(text: &Option<String>, column: &'static str, most: usize) -> Result<(), Rejection> {
    match text.as_deref().and_then(|text| text.chars().nth(most)) {
        Some(_) => Err(Rejection::TooLong { column, most }),
        None => Ok(()),
    }
}

/// Only 1 means that a person has approved the cost; -1, from a language whose true is -1, is an error.
fn approved(column: i64) -> Result<bool, Rejection> {
    match column {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Rejection::BadApproved),
    }
}

fn unknown_account(accounts: &[AccountId]) -> Rejection {
    let known: Vec<&str> = accounts.iter().map(AccountId::as_str).collect();
    Rejection::UnknownAccount { known: known.join(", ") }
}

fn wish(row: &RawRow, action: Action, event_id: Option<&EventId>) -> Result<Wish, Rejection> {
    let task_id = row.task_id.as_deref().map(str::trim).filter(|text| !text.is_empty());
    match (action.channel(), task_id) {
        (Some(channel), Some(task)) => Ok(Wish::Adopt {
            channel,
            task_id: TaskId::parse(&id_column(task, "task_id")?).ok_or(Rejection::BadTaskId)?,
            contacts: match &row.personnel_ids {
                Some(text) => id_list::read(text)?,
                None => Contacts::default(),
            },
        }),
        (None, Some(_)) => Err(Rejection::TaskIdWithoutContacts),
        (Some(channel), None) => {
            let text = row.personnel_ids.as_deref().ok_or(Rejection::NoPersonnelIds)?;
            let contacts = id_list::read(text)?;
            match (contacts.valid.is_empty(), contacts.invalid.len()) {
                (true, 0) => Err(Rejection::NoContacts),
                (true, count) => Err(Rejection::OnlyInvalidIds { count }),
                (false, _) => Ok(Wish::Contacts { channel, contacts }),
            }
        }
        (None, None) if action.layers().is_some() => {
            event_id.map(|_| Wish::Event).ok_or(Rejection::NoEventId { action })
        }
        (None, None) => search(row, action),
    }
}

/// Whose name a search asks for.
fn whose(action: Action) -> &'static str {
    match action {
        Action::SearchPersonnelEvents => "person's full",
        _ => "company",
    }
}

fn search(row: &RawRow, action: Action) -> Result<Wish, Rejection> {
    let query = row.query.as_deref().unwrap_or("").trim();
    if !(1..=200).contains(&query.chars().count()) {
        return Err(Rejection::NoQuery { action });
    }
    let max_pages = u32::try_from(row.max_pages)
        .ok()
        .filter(|pages| (1..=1000).contains(pages))
        .ok_or(Rejection::BadMaxPages)?;
    Ok(Wish::Search { query: query.to_owned(), max_pages })
}

/// The contacts that a rejected row names, as far as they can be read: each of them gets an outcome. The
/// contacts of an unknown action are not read, since it may have none.
pub fn named(row: &RawRow) -> Contacts {
    match (Action::parse(&row.action).and_then(Action::channel), &row.personnel_ids) {
        (Some(_), Some(text)) => id_list::read(text).unwrap_or_default(),
        _ => Contacts::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn accounts() -> Vec<AccountId> {
        vec![AccountId::trusted("default"), AccountId::trusted("emea")]
    }

    fn row(personnel_ids: &str) -> RawRow {
        RawRow {
            account: "default".into(),
            action: "unlock_contact_emails".into(),
            personnel_ids: Some(personnel_ids.into()),
            max_pages: 1,
            ..RawRow::default()
        }
    }

    fn taken(row: &RawRow) -> Contacts {
        match parse(row, &accounts()).expect("makes sense").wish {
            Wish::Contacts { contacts, .. } | Wish::Adopt { contacts, .. } => contacts,
            other => panic!("{other:?}"),
        }
    }

    /// No row makes the parser panic; it accepts only ids, each once, and a reason repeats nothing of the
    /// row.
    #[test]
    fn fuzz_inbox() {
        let accounts = [AccountId::trusted("default")];
        crate::fuzz::run("inbox", |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let mut columns = text.splitn(9, '\n').map(str::to_owned);
            let mut next = || columns.next().unwrap_or_default();
            let optional = |text: String| (!text.is_empty()).then_some(text);
            let row = RawRow {
                account: next(),
                action: next(),
                event_id: optional(next()),
                personnel_ids: optional(next()),
                task_id: optional(next()),
                query: optional(next()),
                max_pages: next().parse().unwrap_or(1),
                max_credits: next().parse().ok(),
                approved: next().parse().unwrap_or_default(),
                ..RawRow::default()
            };
            match parse(&row, &accounts) {
                Ok(UnlockRequest { wish: Wish::Contacts { contacts, .. }, .. }) => {
                    let distinct: HashSet<_> = contacts.valid.iter().collect();
                    assert_eq!(distinct.len(), contacts.valid.len());
                    assert!(contacts.valid.iter().all(|id| PersonnelId::parse(id.as_str()).is_some()));
                    assert!(contacts.invalid.iter().all(|text| text.chars().count() <= 100));
                }
                Ok(_) => {}
                Err(reason) => assert!(reason.to_string().len() < 400),
            }
        });
    }

    #[test]
    fn ids_are_strings_or_whole_numbers_and_repeats_count_once() {
        let contacts = taken(&row(r#"["789", 790, " 789 ", 790, 18446744073709551616]"#));
        let ids: Vec<_> = contacts.valid.iter().map(PersonnelId::as_str).collect();
        assert_eq!(ids, ["789", "790", "18446744073709551616"]);
        assert!(contacts.invalid.is_empty());
    }

    #[test]
    fn good_ids_beside_bad_ones_are_taken_and_the_bad_become_invalid() {
        let contacts = taken(&row(r#"["1", "x", null, 1.5, -2, {"id":3}, [4], "", true, "x"]"#));
        assert_eq!(contacts.valid.len(), 1);
        assert_eq!(contacts.invalid, ["x", "null", "1.5", "-2", "{\"id\":3}", "[4]", "", "true"]);
    }

    fn assert_reasons(cases: Vec<(RawRow, &str)>) {
        for (row, expected) in cases {
            let reason = parse(&row, &accounts()).expect_err(expected).to_string();
            assert!(reason.contains(expected), "{reason:?} should mention {expected:?}");
        }
    }

    #[test]
    fn personnel_ids_that_are_no_list_get_a_reason() {
        let base = row(r#"["1"]"#);
        assert_reasons(vec![
            (RawRow { personnel_ids: None, ..base.clone() }, "is missing"),
            (row("789,790"), "not JSON"),
            (row(""), "not JSON"),
            (row("\0"), "not JSON"),
            (row("789"), "a number"),
            (row("\"789\""), "a string"),
            (row("{\"ids\":[1]}"), "an object"),
            (row("null"), "null"),
            (row("[]"), "empty"),
            (row("[\"x\",\"y\"]"), "none of the 2"),
        ]);
    }

    #[test]
    fn a_row_that_makes_no_sense_gets_a_reason() {
        let base = row(r#"["1"]"#);
        assert_reasons(vec![
            (
                RawRow { too_long: long_column("action"), ..base.clone() },
                "action holds more than 250 characters",
            ),
            (RawRow { account: "acme".into(), ..base.clone() }, "default, emea"),
            (RawRow { action: "steal_emails".into(), ..base.clone() }, "unlock_contact_phones"),
            (RawRow { event_id: Some("a/b".into()), ..base.clone() }, "event_id"),
            (RawRow { task_id: Some("../x".into()), ..base.clone() }, "task_id"),
            (RawRow { max_credits: Some(-1), ..base.clone() }, "max_credits"),
            (
                RawRow { action: "unlock_event_contacts".into(), event_id: Some("7".into()), ..base.clone() },
                "personnel_ids cannot be used with unlock_event_contacts",
            ),
            (
                RawRow {
                    action: "search_exhibitor_events".into(),
                    query: Some("Acme".into()),
                    ..base.clone()
                },
                "personnel_ids cannot be used with search_exhibitor_events",
            ),
            (RawRow { query: Some("Acme".into()), ..base.clone() }, "query cannot be used"),
            (RawRow { approved: -1, ..base.clone() }, "approved must be"),
            (RawRow { approved: 2, ..base.clone() }, "approved must be"),
            (RawRow { action: "unlock_event_contacts".into(), ..base.clone() }, "needs it"),
            (RawRow { action: "unlock_event_visitors".into(), ..base.clone() }, "needs it"),
            (
                RawRow {
                    action: "unlock_event_full_access".into(),
                    event_id: Some("7".into()),
                    ..base.clone()
                },
                "personnel_ids cannot be used with unlock_event_full_access",
            ),
            (RawRow { action: "search_exhibitor_events".into(), ..base.clone() }, "the company name"),
            (RawRow { action: "search_personnel_events".into(), ..base.clone() }, "the person's full name"),
            (
                RawRow {
                    action: "search_exhibitor_events".into(),
                    query: Some("Acme".into()),
                    max_pages: 0,
                    ..base.clone()
                },
                "max_pages",
            ),
        ]);
    }

    #[test]
    fn a_text_as_long_as_allowed_is_taken_and_one_character_more_is_not() {
        let with = |reference: usize, key: usize| RawRow {
            reference: Some("é".repeat(reference)),
            dedupe_key: Some("é".repeat(key)),
            ..row("[1]")
        };
        assert!(parse(&with(1_000, 200), &accounts()).is_ok());
        for (row, column, most) in [(with(1_001, 1), "reference", 1_000), (with(1, 201), "dedupe_key", 200)] {
            assert_eq!(parse(&row, &accounts()), Err(Rejection::TooLong { column, most }));
        }
        let search = |query: &str| RawRow {
            action: "search_exhibitor_events".into(),
            personnel_ids: None,
            query: Some(query.into()),
            ..row("")
        };
        assert!(parse(&search(&"é".repeat(200)), &accounts()).is_ok());
        let reason = parse(&search(&"é".repeat(201)), &accounts()).expect_err("too long").to_string();
        assert!(reason.contains("1 to 200 characters"), "{reason}");
    }

    #[test]
    fn an_empty_column_without_use_is_no_mistake() {
        for empty in ["", " ", "[]", "null"] {
            let event = RawRow {
                action: "unlock_event_contacts".into(),
                event_id: Some("7".into()),
                query: Some(String::new()),
                ..row(empty)
            };
            assert!(parse(&event, &accounts()).is_ok(), "{empty:?}");
        }
    }

    #[test]
    fn a_direct_action_knows_its_first_call_and_how_many_there_may_be() {
        let direct = |action: &str| RawRow { action: action.into(), personnel_ids: None, ..row("") };
        let event = RawRow { event_id: Some("e7".into()), ..direct("unlock_event_contacts") };
        let visitors = RawRow { action: "unlock_event_visitors".into(), ..event.clone() };
        let full_access = RawRow { action: "unlock_event_full_access".into(), ..event.clone() };
        let search = RawRow {
            event_id: Some("not/looked/at".into()),
            query: Some(" Acme ".into()),
            max_pages: 3,
            ..direct("search_exhibitor_events")
        };
        let person = RawRow { action: "search_personnel_events".into(), ..search.clone() };
        for (row, calls, first) in [
            (event, 1, "e7"),
            (visitors, 1, "e7"),
            (full_access, 1, "e7"),
            (search.clone(), 3, "1"),
            (person, 3, "1"),
        ] {
            let request = parse(&row, &accounts()).expect("makes sense");
            let first = Contacts { valid: vec![PersonnelId::trusted(first)], ..Contacts::default() };
            assert_eq!((request.wish.calls(), request.first_call()), (calls, first), "{}", row.action);
        }
        let search = parse(&search, &accounts()).expect("makes sense");
        assert_eq!(search.wish, Wish::Search { query: "Acme".into(), max_pages: 3 });
        let contacts = parse(&row("[1]"), &accounts()).expect("makes sense");
        assert_eq!(contacts.wish.calls(), 0, "contacts are counted one by one");
    }

    #[test]
    fn what_a_person_allows_is_kept() {
        for (max_credits, approved) in [(None, 0), (Some(0), 1), (Some(1_500), 0)] {
            let request =
                parse(&RawRow { max_credits, approved, ..row("[1]") }, &accounts()).expect("makes sense");
            assert_eq!((request.max_credits, request.approved), (max_credits.map(Credits), approved == 1));
        }
    }

    /// better-sqlite3 binds every number as a double; above 2^53 it may have become another number.
    #[test]
    fn a_number_in_a_text_column_is_the_whole_number_that_was_meant() {
        let event = |text: &str| RawRow { event_id: Some(text.into()), ..row("[1]") };
        for (written, id) in [
            ("139574.0", "139574"),
            ("1.39574e+05", "139574"),
            ("139574", "139574"),
            ("0139574", "0139574"),
            ("12e4", "12e4"),
            ("v1.0", "v1.0"),
        ] {
            let request = parse(&event(written), &accounts()).expect("makes sense");
            assert_eq!(request.event_id.expect("an event").as_str(), id, "{written}");
        }
        for lost in ["1.39574e+21", "1.23456789012346e+15", "9007199254740993.0"] {
            let reason = parse(&event(lost), &accounts()).expect_err(lost);
            assert_eq!(reason, Rejection::DigitsLost { column: "event_id" });
        }
        let adopt = |task: &str| RawRow { task_id: Some(task.into()), personnel_ids: None, ..row("") };
        let wish = parse(&adopt("321.0"), &accounts()).expect("makes sense").wish;
        assert!(matches!(wish, Wish::Adopt { task_id, .. } if task_id.as_str() == "321"));
        assert_eq!(parse(&adopt("1.0e+15"), &accounts()), Err(Rejection::DigitsLost { column: "task_id" }));
    }

    #[test]
    fn a_rejected_row_names_the_contacts_that_can_be_read() {
        let rejected = RawRow { approved: 2, ..row(r#"["1", "x"]"#) };
        let contacts = Contacts {
            valid: vec![PersonnelId::trusted("1")],
            invalid: vec!["x".into()],
            ..Contacts::default()
        };
        assert_eq!(named(&rejected), contacts);
        let nobody = [row("789"), RawRow { action: "steal_emails".into(), ..rejected }];
        assert_eq!(nobody.map(|row| named(&row)), [Contacts::default(), Contacts::default()]);
    }

    #[test]
    fn a_rejection_never_repeats_the_rows_content() {
        let secret = "jane.doe@acme.example";
        for bad in [row(secret), row(&format!("\"{secret}\"")), row(&format!("[\"{secret}\"]"))] {
            let reason = parse(&bad, &accounts()).expect_err("makes no sense").to_string();
            assert!(!reason.contains("jane"), "{reason}");
        }
        let named = RawRow { account: secret.into(), action: secret.into(), ..row("[1]") };
        assert!(!parse(&named, &accounts()).expect_err("unknown").to_string().contains("jane"));
    }

    #[test]
    fn a_task_is_adopted_with_or_without_its_contacts() {
        let adopt = RawRow { task_id: Some("321".into()), personnel_ids: None, ..row("") };
        let wish = parse(&adopt, &accounts()).expect("makes sense").wish;
        assert!(matches!(wish, Wish::Adopt { task_id, .. } if task_id.as_str() == "321"));
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in any::<String>(), action in "[a-z_]{0,30}") {
            let _ = parse(&RawRow { action, ..row(&text) }, &accounts());
            let _ = parse(&row(&text), &accounts());
            let _ = parse(&row(&format!("[{text}]")), &accounts());
        }
    }
}
