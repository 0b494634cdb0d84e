//! The order in which people expect names: `client-2` before `client-10`.

use std::cmp::Ordering;

/// Compares two names; digits in a row count as one number. Equal only if the names are equal.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    while !left.is_empty() && !right.is_empty() {
        let ((first, left_rest), (second, right_rest)) = (piece(left), piece(right));
        let by_value = match (is_number(first), is_number(second)) {
            (true, true) => {
                let [first, second] = [first, second].map(|digits| digits.trim_start_matches('0'));
                first.len().cmp(&second.len()).then_with(|| first.cmp(second))
            }
            _ => first.cmp(second),
        };
        if by_value != Ordering::Equal {
            return by_value;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.len().cmp(&right.len()).then_with(|| one.cmp(other))
}

/// The digits, or the other characters, at the beginning; and the rest.
fn piece(text: &str) -> (&str, &str) {
    let digits = is_number(text);
    let end = text.find(|char: char| char.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn is_number(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names =
            ["client-10", "client-2", "b", "client-2a", "client-02", "client", "10", "9", "a1b3", "a1b20"];
        names.sort_by(|one, other| compare(one, other));
        let expected =
            ["9", "10", "a1b3", "a1b20", "b", "client", "client-02", "client-2", "client-2a", "client-10"];
        assert_eq!(names, expected);
    }

    #[test]
    fn only_equal_names_are_equal() {
        assert_eq!(compare("a-01", "a-1"), Ordering::Less);
        assert_eq!(compare("a-1", "a-01"), Ordering::Greater);
        assert_eq!(compare("a-1", "a-1"), Ordering::Equal);
    }
}
