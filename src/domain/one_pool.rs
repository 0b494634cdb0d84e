//! Whether two accounts look like one owner's: their balances are equal, and move together.
//!
//! Two owners may have the same balance by chance: for example the same plan, with nothing spent yet. If all four
//! figures are equal at two different balances, it is no longer chance.

use std::collections::BTreeSet;

use super::credits::Balance;
use super::ids::Millis;

/// Balances read within this time of each other are compared, in milliseconds.
const TOGETHER_MS: i64 = 300_000;

/// Different balances that two accounts must have in common.
const FEWEST_IN_COMMON: usize = 2;

/// Whether the balances that were read of two accounts look like those of one pool. Oldest first.
pub fn looks_like_one_pool(one: &[(Millis, Balance)], other: &[(Millis, Balance)]) -> bool {
    let (Some((_, last)), Some((_, other_last))) = (one.last(), other.last()) else { return false };
    if last != other_last {
        return false;
    }
    let apart_ms = |one: Millis, other: Millis| one.since(other).max(other.since(one));
    let is_common = |(at, balance): &&(Millis, Balance)| {
        other.iter().any(|(other_at, seen)| seen == balance && apart_ms(*at, *other_at) <= TOGETHER_MS)
    };
    let figures = |balance: &Balance| {
        [balance.total, balance.subscription, balance.addon, balance.gift].map(|credits| credits.0)
    };
    let common: BTreeSet<[i64; 4]> =
        one.iter().filter(is_common).map(|(_, balance)| figures(balance)).collect();
    common.len() >= FEWEST_IN_COMMON
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Credits;
    use crate::domain::granted::Granted;

    fn read(balances: &[(i64, i64)]) -> Vec<(Millis, Balance)> {
        let balance = |total| {
            let [total, subscription, addon, gift] = [total, total, 0, 0].map(Credits);
            Balance { total, subscription, addon, gift, granted: Granted::default() }
        };
        balances.iter().map(|(minute, total)| (Millis(minute * 60_000), balance(*total))).collect()
    }

    #[test]
    fn balances_that_are_equal_and_move_together_are_one_pools() {
        let is_one = |one: &[_], other: &[_]| looks_like_one_pool(&read(one), &read(other));
        assert!(is_one(&[(0, 100), (9, 85)], &[(1, 100), (10, 85)]));
        assert!(!is_one(&[(0, 100), (9, 100)], &[(1, 100), (10, 100)]), "nothing has moved yet");
        assert!(!is_one(&[(0, 100), (9, 85)], &[(1, 100), (10, 70)]), "they part");
        assert!(!is_one(&[(0, 100), (90, 85)], &[(30, 100), (90, 85)]), "only one of them at one time");
        assert!(!is_one(&[], &[(1, 100), (10, 85)]));
    }

    /// A report's eight accounts: four of one payer, two of another, and two on their own.
    #[test]
    fn of_many_accounts_those_of_one_pool_are_found() {
        let (first, second) = ([(0, 100), (9, 17)], [(0, 100), (9, 36)]);
        let all = [first, [(0, 90), (9, 80)], [(0, 100), (9, 95)], second, first, first, first, second];
        let pools: Vec<Vec<usize>> = (0..all.len())
            .map(|one| {
                let is_same = |other: &usize| looks_like_one_pool(&read(&all[one]), &read(&all[*other]));
                (0..all.len()).filter(is_same).map(|index| index + 1).collect()
            })
            .collect();
        let (of_four, of_two) = (vec![1, 5, 6, 7], vec![4, 8]);
        assert_eq!([&pools[0], &pools[4], &pools[5], &pools[6]], [&of_four; 4]);
        assert_eq!([&pools[3], &pools[7]], [&of_two; 2]);
        assert_eq!([&pools[1], &pools[2]], [&vec![2], &vec![3]]);
    }

    #[test]
    fn every_figure_counts() {
        let (one, mut other) = (read(&[(0, 100), (9, 85)]), read(&[(0, 100), (9, 85)]));
        other[0].1.gift = Credits(1);
        assert!(!looks_like_one_pool(&one, &other));
    }
}
