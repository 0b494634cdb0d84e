//! How workers share out the owners of accounts: each takes those that are free, one by one while others do the same, and
//! gives one back when another worker has at least two fewer. Nothing cleverer.

use std::collections::{BTreeMap, BTreeSet};

/// For so long after an owner became free it is left to workers that have fewer, in milliseconds. Then anybody takes it:
/// the others may not have its keys.
const LEFT_TO_OTHERS_MS: i64 = 3_000;

/// An owner, and the worker that serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner<'a> {
    pub name: &'a str,
    pub worker: Option<&'a str>,
    /// How long nobody has served it.
    pub free_for_ms: i64,
}

/// A worker that lives, and the owners whose keys it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker<'a> {
    pub name: &'a str,
    pub serves: BTreeSet<&'a str>,
}

/// What a worker does next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves<'a> {
    pub take: Vec<&'a str>,
    pub give_back: Option<&'a str>,
}

/// The next moves of the worker `me`, which is among `workers`.
pub fn moves<'a>(me: &str, owners: &[Owner<'a>], workers: &[Worker<'a>]) -> Moves<'a> {
    let Some(this) = workers.iter().find(|worker| worker.name == me) else { return Moves::default() };
    let mut held: BTreeMap<&str, usize> = workers.iter().map(|worker| (worker.name, 0)).collect();
    for worker in owners.iter().filter_map(|owner| owner.worker) {
        *held.entry(worker).or_default() += 1;
    }
    let of = |name: &str| held.get(name).copied().unwrap_or_default();
    // With so many, another worker that could serve this owner has at least two fewer.
    let lacks = |owner: &Owner<'_>, own: usize| {
        workers
            .iter()
            .filter(|other| other.name != me)
            .any(|other| other.serves.contains(owner.name) && of(other.name) + 2 <= own)
    };
    let mut take = Vec::new();
    for owner in owners.iter().filter(|owner| owner.worker.is_none() && this.serves.contains(owner.name)) {
        if !lacks(owner, of(me) + take.len() + 1) || owner.free_for_ms > LEFT_TO_OTHERS_MS {
            take.push(owner.name);
        }
    }
    let mut own = owners.iter().rev().filter(|owner| owner.worker == Some(me));
    let give_back = own.find(|owner| take.is_empty() && lacks(owner, of(me))).map(|owner| owner.name);
    Moves { take, give_back }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

    fn owners<'a>(workers: &[Option<&'a str>]) -> Vec<Owner<'a>> {
        let owner =
            |(name, worker): (&'a str, &Option<&'a str>)| Owner { name, worker: *worker, free_for_ms: 0 };
        NAMES.into_iter().zip(workers).map(owner).collect()
    }

    fn worker<'a>(name: &'a str, serves: &[&'a str]) -> Worker<'a> {
        Worker { name, serves: serves.iter().copied().collect() }
    }

    #[test]
    fn what_a_worker_that_stops_gives_back_goes_to_the_others_and_never_back_to_it() {
        let workers = [worker("x", &NAMES), worker("y", &[])];
        let now = owners(&[Some("x"), None, None, Some("x"), None, None, None]);
        assert_eq!(
            moves("x", &now, &workers),
            Moves { take: vec!["b", "c", "e", "f", "g"], give_back: None }
        );
    }

    #[test]
    fn one_worker_takes_all_and_each_of_several_its_part() {
        let free = owners(&[None; 7]);
        assert_eq!(moves("x", &free, &[worker("x", &NAMES)]).take, NAMES);
        let three = ["x", "y", "z"].map(|name| worker(name, &NAMES));
        assert_eq!(moves("x", &free, &three).take, ["a"]);
        let had = owners(&[Some("x"), Some("x"), None, None, None, None, None]);
        assert_eq!(moves("x", &had, &three).take, [""; 0], "it would have to give it back");
        assert_eq!(moves("y", &had, &three).take, ["c"]);
        assert_eq!(moves("nobody", &free, &three), Moves::default());
    }

    #[test]
    fn what_nobody_else_can_serve_is_taken_by_whoever_can() {
        let (mut free, two) = (owners(&[None; 2]), [worker("x", &["a", "b"]), worker("y", &[])]);
        assert_eq!(moves("x", &free, &two).take, ["a", "b"]);
        let both = ["x", "y"].map(|name| worker(name, &["a", "b"]));
        assert_eq!(moves("x", &free, &both).take, ["a"], "the other one is for the other worker");
        free[1].free_for_ms = LEFT_TO_OTHERS_MS + 1;
        assert_eq!(moves("x", &free, &both).take, ["a", "b"], "which does not take it");
        assert_eq!(moves("y", &free, &two).take, [""; 0], "it has no key");
        let all = owners(&[Some("x"), Some("x")]);
        assert_eq!(moves("x", &all, &two).give_back, None, "the other could not serve it");
        let some = [worker("x", &["a", "b"]), worker("y", &["a"])];
        assert_eq!(moves("x", &all, &some).give_back, Some("a"));
    }

    /// Whatever they begin with, workers that come one by one end with parts that differ by one at most, and then rest.
    #[test]
    fn shares_become_even_and_then_nothing_moves() {
        for count in 1..=4 {
            let names = &["w", "x", "y", "z"][..count];
            let workers: Vec<_> = names.iter().map(|name| worker(name, &NAMES)).collect();
            let mut now = owners(&[Some("w"); 7]);
            for round in 0..40 {
                let mut next = now.clone();
                for name in names {
                    let moves = moves(name, &next.clone(), &workers);
                    let set = |owner: &mut Owner<'static>| match (moves.give_back, owner.worker) {
                        (Some(back), _) if back == owner.name => owner.worker = None,
                        (_, None) if moves.take.contains(&owner.name) => {
                            owner.worker = NAMES_OF_WORKERS.into_iter().find(|one| one == name);
                        }
                        _ => {}
                    };
                    next.iter_mut().for_each(set);
                }
                if next == now {
                    break;
                }
                assert!(round < 39, "{count} workers never rest: {next:?}");
                now = next;
            }
            let of = |name: &str| now.iter().filter(|owner| owner.worker == Some(name)).count();
            let parts: Vec<usize> = names.iter().map(|name| of(name)).collect();
            let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
            assert!(parts.iter().sum::<usize>() == 7 && most - least <= 1, "{parts:?}");
        }
    }

    const NAMES_OF_WORKERS: [&str; 4] = ["w", "x", "y", "z"];
}
