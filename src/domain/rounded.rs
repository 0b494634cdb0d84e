//! Ids that look as if a float had rounded them.
//!
//! JavaScript, jq, R and spreadsheets keep a number as a float: above 2^53 it may become another number, and so another
//! contact. Its digits are then those that such a tool prints, and the author of the list should check it. It is no
//! proof: some true ids have such digits, too.

/// Below, a float keeps every digit, or the chance of such digits is too high to say anything.
const SHORTEST: usize = 17;

/// From here on true ids hardly ever have such digits.
const SURE: usize = 19;

/// What was seen in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounded {
    long: usize,
    alike: usize,
    first: Option<usize>,
    is_sure: bool,
}

impl Rounded {
    pub const NOTHING: Rounded = Rounded { long: 0, alike: 0, first: None, is_sure: false };

    /// Notes the id at this place of the list.
    pub fn note(&mut self, digits: &str, at: usize) {
        if digits.len() < SHORTEST {
            return;
        }
        self.long += 1;
        let Ok(float) = digits.parse::<f64>() else { return };
        let is_shortest = float.to_string() == digits;
        // Python's `int` of a float, and C's `%.0f`, print all of its digits.
        if is_shortest || digits.parse() == Ok(float as u128) {
            self.alike += 1;
            self.first.get_or_insert(at);
            self.is_sure |= is_shortest && digits.len() >= SURE;
        }
    }

    /// How many ids look rounded, and the place of the first; `None` if it may well be chance. A tool that rounds one
    /// number of a column rounds them all.
    pub fn found(&self) -> Option<(usize, usize)> {
        let first = self.first?;
        (self.is_sure || self.alike == self.long).then_some((self.alike, first))
    }

    /// How many ids look rounded; 0 if it may well be chance.
    pub fn ids(&self) -> usize {
        self.found().map_or(0, |(ids, _)| ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ids: &[&str]) -> Option<(usize, usize)> {
        let mut rounded = Rounded::default();
        ids.iter().enumerate().for_each(|(at, id)| rounded.note(id, at));
        rounded.found()
    }

    /// jq; R; JavaScript (hyperf/hyperf 6671); a spreadsheet, which keeps 15 digits (star7th/showdoc 1487); Python's
    /// `int(float(…))`.
    #[test]
    fn what_tools_print_for_a_float_is_found() {
        assert_eq!(found(&["789", "20251000000000000000"]), Some((1, 1)));
        assert_eq!(found(&["123456789012345680"]), Some((1, 0)));
        assert_eq!(found(&["20251000000000004096", "12345678901234567168"]), Some((2, 0)));
        assert_eq!(found(&["636507967185264600", "606631627273625000"]), Some((2, 0)));
        // Beside exact ids, if it is hardly chance.
        assert_eq!(found(&["20251000000000001401", "20251000000000000000"]), Some((1, 1)));
    }

    #[test]
    fn exact_ids_are_not_found() {
        for ids in [
            &["789", "1000000000000000", "9007199254740992"][..],
            &["20251000000000001401", "123456789012345678", "12345678901234567"],
            // One of them is even, by chance.
            &["12345678901234567", "12345678901234568"],
            &["18446744073709551615", "123456789012345680"],
        ] {
            assert_eq!(found(ids), None, "{ids:?}");
        }
    }
}
