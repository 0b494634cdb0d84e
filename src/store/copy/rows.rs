//! The rows of one table on their way: read once, written in parts, and summed up on both sides.

use futures_util::TryStreamExt;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::side::{Side, Table};

/// A part is written when it has so many bytes, or rows.
const PART_BYTES: usize = 1024 * 1024;
const PART_ROWS: usize = 1_000;

/// The rows of a table: what must be the same on both sides.
#[derive(Default)]
pub(super) struct Summary {
    pub(super) rows: u64,
    /// Rows that lost a character.
    pub(super) changed: u64,
    /// Credits that were booked, if it is the ledger.
    pub(super) charged: i64,
    /// The sum of each column of numbers.
    sums: Vec<i128>,
    digest: Sha256,
}

impl Summary {
    fn new(table: &Table) -> Summary {
        Summary { sums: vec![0; table.columns.len()], ..Summary::default() }
    }

    pub(super) fn is_same(&self, other: &Summary) -> bool {
        self.rows == other.rows && self.sums == other.sums && self.digest() == other.digest()
    }

    pub(super) fn digest(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }

    /// Adds a row; returns it as it is to be written.
    fn add(&mut self, table: &Table, row: &[u8]) -> Result<String, sqlx::Error> {
        let (row, changed) = cleaned(row)?;
        let is_charge = table.name == "ledger" && row_has(table, &row, "entry", "charge");
        for (place, sum) in self.sums.iter_mut().enumerate() {
            *sum += i128::from(row.get(place).and_then(Value::as_i64).unwrap_or_default());
        }
        if is_charge {
            let credits = table.place("credits").and_then(|place| row.get(place));
            self.charged += credits.and_then(Value::as_i64).unwrap_or_default();
        }
        self.rows += 1;
        self.changed += u64::from(changed);
        let text = row.to_string();
        self.digest.update(text.as_bytes());
        self.digest.update(b"\n");
        Ok(text)
    }
}

fn row_has(table: &Table, row: &Value, column: &str, word: &str) -> bool {
    let value = table.place(column).and_then(|place| row.get(place));
    value.and_then(Value::as_str) == Some(word)
}

/// A row as both engines can hold it: valid UTF-8, without NUL. Also whether that has changed it.
fn cleaned(row: &[u8]) -> Result<(Value, bool), sqlx::Error> {
    let text = String::from_utf8_lossy(row);
    let mut row: Value = serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut changed = matches!(text, std::borrow::Cow::Owned(_));
    for value in row.as_array_mut().into_iter().flatten() {
        if let Value::String(words) = value
            && words.contains('\0')
        {
            *words = words.replace('\0', "");
            changed = true;
        }
    }
    Ok((row, changed))
}

/// What a table holds.
pub(super) async fn summary(side: &mut dyn Side, table: &Table) -> Result<Summary, sqlx::Error> {
    let mut summary = Summary::new(table);
    let mut rows = side.rows(table);
    while let Some(row) = rows.try_next().await? {
        summary.add(table, &row)?;
    }
    Ok(summary)
}

/// Copies a table, with a bounded part of it in memory; returns what was given.
pub(super) async fn copy_rows(
    source: &mut dyn Side,
    target: &mut dyn Side,
    table: &Table,
) -> Result<Summary, sqlx::Error> {
    let mut summary = Summary::new(table);
    let (mut part, mut count) = (String::from("["), 0);
    let mut rows = source.rows(table);
    while let Some(row) = rows.try_next().await? {
        let text = summary.add(table, &row)?;
        if count > 0 {
            part.push(',');
        }
        part.push_str(&text);
        count += 1;
        if count >= PART_ROWS || part.len() >= PART_BYTES {
            part.push(']');
            target.insert(table, std::mem::replace(&mut part, String::from("["))).await?;
            count = 0;
        }
    }
    if count > 0 {
        part.push(']');
        target.insert(table, part).await?;
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_changed_only_where_an_engine_could_not_hold_it() {
        for (row, kept, changed) in [
            (&b"[1, \"a\", null]"[..], r#"[1,"a",null]"#, false),
            (br#"[9223372036854775807,"\u00e9"]"#, "[9223372036854775807,\"é\"]", false),
            (br#"["a\u0000b"]"#, r#"["ab"]"#, true),
            // The text of six characters is none.
            (br#"["a\\u0000b"]"#, r#"["a\\u0000b"]"#, false),
            (b"[\"\xff\"]", "[\"\u{fffd}\"]", true),
        ] {
            let (row, has_changed) = cleaned(row).expect("JSON");
            assert_eq!((row.to_string().as_str(), has_changed), (kept, changed));
        }
    }
}
