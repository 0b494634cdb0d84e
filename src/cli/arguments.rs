//! How arguments of several commands are parsed.

use crate::domain::PersonnelId;

/// A duration such as 90m, 24h or 7d, in milliseconds.
pub(super) fn length_ms(text: &str) -> Option<i64> {
    i64::try_from(crate::config::duration(text)?.as_millis()).ok()
}

/// A contact's id.
pub(super) fn personnel(text: &str) -> Result<PersonnelId, String> {
    PersonnelId::parse(text).ok_or_else(|| "a contact id is 1 to 20 digits".to_owned())
}
