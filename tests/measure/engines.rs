//! The same measurements on SQLite and on PostgreSQL on this machine, in turn, and their ratio: the table of the handbook.

use std::time::Duration;

use unlockd::sandbox::Options;

use crate::support::{Engine, flag, quantile};
use crate::{delivered, drain, intake, pickup};

const PICKUPS: u64 = 100;
const ROWS: u64 = 20_000;
const CONTACTS: i64 = 10_000;
const REQUESTS: u64 = 300;

const FIGURES: [&str; 9] = [
    "from the `INSERT` to the paid call, median, ms",
    "the same, 99 of 100 rows, ms",
    "rows taken in a second",
    "contacts delivered a second, one request of 10,000",
    "CPU of the worker for each, ms",
    "CPU of worker and server for each, ms",
    "contacts delivered a second, 10,000 requests of one",
    "CPU of worker and server for each, ms",
    "300 requests of one contact at 120 calls a minute, s",
];

pub(crate) async fn run(arguments: &[String]) {
    let turns = flag(arguments, "--turns", 3.0) as usize;
    let mut measured: [Vec<[f64; FIGURES.len()]>; 2] = Default::default();
    for turn in 1..=turns {
        for (engine, measured) in [Engine::Sqlite, Engine::Postgres].into_iter().zip(&mut measured) {
            let Some(figures) = measure(engine).await else {
                return println!("engines: SKIPPED, there is no PostgreSQL");
            };
            println!("turn {turn}, {engine:?}: {figures:.2?}");
            measured.push(figures);
        }
    }
    println!(
        "\n| medians of {turns} turns | SQLite | PostgreSQL | PostgreSQL / SQLite |\n| --- | --- | --- | --- |"
    );
    for (at, name) in FIGURES.into_iter().enumerate() {
        let [sqlite, postgres] = measured.each_ref().map(|turns| {
            let mut values: Vec<f64> = turns.iter().map(|figures| figures[at]).collect();
            values.sort_by(f64::total_cmp);
            quantile(&values, 0.5)
        });
        let shown = |value: f64| if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        println!("| {name} | {} | {} | {:.2} |", shown(sqlite), shown(postgres), postgres / sqlite);
    }
}

async fn measure(engine: Engine) -> Option<[f64; FIGURES.len()]> {
    let picked_up = pickup::measure(engine, PICKUPS).await?;
    let taken = intake::measure(engine, ROWS).await?;
    let large = delivered::deliver(engine, CONTACTS, CONTACTS).await?;
    let small = delivered::deliver(engine, CONTACTS, 1).await?;
    let limited = Options { task_seconds: 12.0, balance: 100_000_000, ..Options::default() };
    let drained = drain::unlockd(engine, &limited, REQUESTS, Duration::ZERO).await?;
    let each = |seconds: f64| seconds * 1_000.0 / CONTACTS as f64;
    Some([
        quantile(&picked_up, 0.5),
        quantile(&picked_up, 0.99),
        ROWS as f64 / taken.seconds,
        CONTACTS as f64 / large.seconds,
        each(large.cpu),
        each(large.cpu + large.server_cpu),
        CONTACTS as f64 / small.seconds,
        each(small.cpu + small.server_cpu),
        drained,
    ])
}
