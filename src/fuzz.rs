//! Fuzzing on the stable toolchain: mutated bytes from a small corpus, with a seed, for a number of rounds or
//! seconds.
//!
//! Each parser of data from outside has a test named `fuzz` next to it: `cargo test --lib fuzz` takes
//! seconds, `UNLOCKD_FUZZ_SECONDS=600 cargo test --release --lib fuzz -- --nocapture` takes that time for
//! each. The corpus is in `tests/corpus/TARGET/`; an input that finds a bug becomes a file there, with a name
//! that says what it was. There is no coverage guidance, so the corpus has one file for every shape that a
//! parser knows.

use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Whichever is reached first.
const ROUNDS: u64 = 3_000;
const AT_MOST: Duration = Duration::from_secs(3);
const LONGEST: usize = 16 << 10;
/// Pieces that often cause parser errors.
const WORDS: [&str; 40] = [
    "null",
    "true",
    "-1",
    "0",
    "1e309",
    "-0.0",
    "9223372036854775808",
    "18446744073709551616",
    "0.1",
    "NaN",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "\r\n",
    "\n\n",
    "\t",
    ",",
    ";",
    "\"",
    "'",
    "=",
    "#",
    "\0",
    "../",
    "%2f",
    "@",
    "*",
    "-",
    "+",
    "99999999999999999999",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "unlocked",
    "completed",
    "personnel_id",
    "\u{1f600}",
];

/// Runs `check` on every file of the corpus and on mutations of them. If a check panics, its input is
/// printed.
pub(crate) fn run(target: &str, mut check: impl FnMut(&[u8])) {
    let corpus = corpus(target);
    let seconds = std::env::var("UNLOCKD_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let seed = std::env::var("UNLOCKD_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (mut random, since, mut rounds) = (Rng::with_seed(seed), Instant::now(), 0_u64);
    for input in &corpus {
        tried(target, input, &mut check);
    }
    while match seconds {
        Some(seconds) => since.elapsed() < Duration::from_secs(seconds),
        None => rounds < ROUNDS && since.elapsed() < AT_MOST,
    } {
        let input = mutated(&corpus, &mut random);
        tried(target, &input, &mut check);
        rounds += 1;
    }
    println!("fuzz {target}: {rounds} inputs in {:.0} s, seed {seed}", since.elapsed().as_secs_f64());
}

fn tried(target: &str, input: &[u8], check: &mut impl FnMut(&[u8])) {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(input)));
    if let Err(panic) = caught {
        eprintln!("fuzz {target}: this input is a finding: {:?}", String::from_utf8_lossy(input));
        std::panic::resume_unwind(panic);
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    // Sorted, since the order of a folder is undefined and only the seed may decide.
    paths.sort();
    assert!(!paths.is_empty(), "no corpus for {target}");
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

/// One input with one to eight changes.
fn mutated(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut input = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..random.usize(1..=8) {
        let at = random.usize(..=input.len());
        let end = (at + random.usize(..=32)).min(input.len());
        match random.u32(0..8) {
            0 if at < input.len() => input[at] ^= 1 << random.u32(0..8),
            1 if at < input.len() => input[at] = random.u8(..),
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..at, WORDS[random.usize(..WORDS.len())].bytes())),
            4 => drop(input.splice(at..end, WORDS[random.usize(..WORDS.len())].bytes())),
            5 => {
                let piece = input[at..end].to_vec().repeat(random.usize(1..=64));
                drop(input.splice(at..at, piece));
            }
            6 => {
                let other = &corpus[random.usize(..corpus.len())];
                let from = random.usize(..=other.len());
                drop(input.splice(at..end, other[from..].iter().copied()));
            }
            _ => input.truncate(at.max(1)),
        }
    }
    input.truncate(LONGEST);
    input
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let corpus = vec![b"abc".to_vec(), b"{\"a\":1}".to_vec()];
    let inputs = |seed| {
        let mut random = Rng::with_seed(seed);
        (0..200).map(|_| mutated(&corpus, &mut random)).collect::<Vec<_>>()
    };
    assert_eq!(inputs(7), inputs(7));
    assert_ne!(inputs(7), inputs(8));
}
