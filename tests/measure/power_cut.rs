//! A power cut at any moment: the files that a disk may then hold, rebuilt from a trace of every write and
//! sync of one run, and how the worker continues from them.
//!
//! Synced data is on the disk; any part of the later writes may be, too. After each operation of the trace
//! the images are: none of the later writes, all of them, the first pieces of them, and random subsets. In
//! each of them the database must be valid, and every POST that was sent must have its attempt. From some
//! images a worker continues, and nothing may be paid for twice. Creation and names of files count as
//! durable, and one write is not torn.
//!
//! With `tests/controls/synchronous.patch` applied, which disables the sync, it must fail.

mod trace;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use fastrand::Rng;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::strace::{assert_paid_once, place, until_idle};
use crate::support::{Place, flag};
use trace::{Operation, read};

const FILES: [&str; 2] = ["unlockd.db", "unlockd.db-wal"];
/// One image in this many is recovered with a worker; the others are only read.
const RECOVER_EVERY: u64 = 40;

type Image = BTreeMap<&'static str, Vec<u8>>;

pub(crate) async fn run(arguments: &[String]) {
    let mut random = Rng::with_seed(flag(arguments, "--seed", 1.0) as u64);
    let subsets = flag(arguments, "--subsets", 6.0) as usize;
    let since = Instant::now();
    let place = place().await;
    let mut durable: Image = Image::new();
    for name in FILES {
        durable.insert(name, std::fs::read(place.path(name)).unwrap_or_default());
    }
    let operations = traced(&place).await;
    let mut count = Counts::default();
    let mut pending: Vec<&Operation> = Vec::new();
    for operation in &operations {
        match operation {
            Operation::Post => count.posts += 1,
            Operation::Sync(file) => {
                pending.retain(|operation| {
                    operation.is_of(file).then(|| operation.apply(&mut durable)).is_none()
                });
            }
            Operation::Write { .. } | Operation::Truncate { .. } => pending.push(operation),
        }
        for image in images(&durable, &pending, subsets, &mut random) {
            count.images += 1;
            judge(&place, &image, &mut count).await;
        }
    }
    println!(
        "power-cut: {} operations, {} POSTs, {} images, {} recovered from; {} corrupt, {} without the attempt of a POST; {:.0} s",
        operations.len(),
        count.posts,
        count.images,
        count.recovered,
        count.corrupt,
        count.forgotten,
        since.elapsed().as_secs_f64(),
    );
    if count.corrupt + count.forgotten > 0 {
        std::process::exit(1);
    }
}

#[derive(Default)]
struct Counts {
    posts: i64,
    images: u64,
    recovered: u64,
    corrupt: u64,
    forgotten: u64,
}

/// Runs the worker once to its end, and reads what it did.
async fn traced(place: &Place) -> Vec<Operation> {
    let trace = place.path("trace");
    let calls = "trace=openat,close,pwrite64,ftruncate,fsync,fdatasync,sendto,write,writev";
    let mut command = place.traced(&trace, &[calls]);
    command.args(["run", "--until-idle"]);
    let status = until_idle(command).await;
    assert!(status.success(), "{status}\n{}", place.log());
    assert_paid_once(place, "the traced run").await;
    read(&std::fs::read_to_string(trace).expect("a trace"))
}

/// The possible contents of the disk: none of the pending writes, all, the first pieces, and random subsets.
fn images(durable: &Image, pending: &[&Operation], subsets: usize, random: &mut Rng) -> Vec<Image> {
    let mut chosen: Vec<Vec<bool>> = vec![vec![false; pending.len()], vec![true; pending.len()]];
    chosen.extend(
        (1..pending.len()).take(subsets).map(|first| (0..pending.len()).map(|at| at < first).collect()),
    );
    chosen.extend((0..subsets).map(|_| pending.iter().map(|_| random.bool()).collect::<Vec<bool>>()));
    chosen.sort();
    chosen.dedup();
    let image = |subset: Vec<bool>| {
        let mut image = durable.clone();
        let there = pending.iter().zip(subset).filter(|(_, there)| *there);
        there.for_each(|(operation, _)| operation.apply(&mut image));
        image
    };
    chosen.into_iter().map(image).collect()
}

async fn judge(place: &Place, image: &Image, count: &mut Counts) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    lay(image, folder.path());
    match attempts(folder.path()).await {
        Err(problem) => {
            count.corrupt += 1;
            println!("corrupt: {problem}");
        }
        Ok(attempts) if attempts < count.posts => count.forgotten += 1,
        Ok(_) if count.images.is_multiple_of(RECOVER_EVERY) => {
            lay(image, folder.path());
            std::fs::copy(place.path("unlockd.toml"), folder.path().join("unlockd.toml")).expect("copied");
            let mut command = place.command();
            command.current_dir(folder.path()).args(["run", "--until-idle"]);
            let status = until_idle(command).await;
            assert!(status.success(), "recovery: {status}\n{}", place.log());
            let charges = place.sandbox.accounting().charges;
            assert!(
                charges.values().all(|charge| charge.times == 1),
                "paid twice after a recovery: {charges:?}"
            );
            count.recovered += 1;
        }
        Ok(_) => {}
    }
}

fn lay(image: &Image, folder: &Path) {
    let _ = std::fs::remove_file(folder.join("unlockd.db-shm"));
    for (name, bytes) in image {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("the image is written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("its mode");
    }
}

/// The number of attempts in the database, if it is valid.
async fn attempts(folder: &Path) -> Result<i64, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(folder.join("unlockd.db"));
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let sound: String = sqlx::query_scalar("pragma integrity_check").fetch_one(&mut connection).await?;
    if sound != "ok" {
        return Err(sqlx::Error::Protocol(sound));
    }
    let attempts = sqlx::query_scalar("select count(*) from attempts").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(attempts)
}
