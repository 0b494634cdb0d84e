//! What a request costs while many others are live: accepted, and waiting for their account, which is paused.
//!
//! Tasks that run are no measure of that: an account has as many as its allowance can poll in time.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use unlockd::sandbox::Options;

use crate::chart::{self, BLUE, Line, ORANGE, Panel};
use crate::support::{FAST, Place, number, quantile, text, unlimited};
use crate::{delivered, pickup};

/// The first contact that is bought in requests of one; those before are bought one after the other.
const FIRST: i64 = 1_000;
/// Requests of one contact, and the contacts of one large request.
const SINGLE: i64 = 3_000;
const TOGETHER: i64 = 10_000;
const ROWS: u64 = 60;

/// With so many live requests.
struct Measured {
    live: i64,
    pickup_ms: f64,
    pickup_p99_ms: f64,
    /// A second, and milliseconds of CPU for each: in requests of one contact, and in one request.
    single: (f64, f64),
    together: (f64, f64),
    idle_percent: f64,
    memory_mb: f64,
}

pub(crate) async fn run(arguments: &[String]) {
    let most = number(arguments, 0, 1_000_000) as i64;
    let out = text(arguments, "--out").map_or_else(|| PathBuf::from("target/scale"), PathBuf::from);
    let mut all = Vec::new();
    for live in [1_000, 10_000, 100_000, 1_000_000].into_iter().filter(|live| *live <= most) {
        let measured = measure(live).await;
        println!("scale: {}", measured.line());
        all.push(measured);
    }
    if let [first, .., last] = &all[..] {
        println!(
            "scale: CPU of a request of one contact {:.2} times as much with {} as with {} (goal 1.2), of a contact in a \
             large one {:.2} times",
            last.single.1 / first.single.1,
            last.live,
            first.live,
            last.together.1 / first.together.1,
        );
    }
    write(&out, &all);
    println!("drawn: {}", out.join("scale.svg").display());
}

async fn measure(live: i64) -> Measured {
    let options = Options { task_seconds: 0.5, ..unlimited() };
    let config = format!("{FAST}[accounts.held]\napi_key = \"uak_held@held\"\n");
    let place = Place::new(options, &config).await;
    let mut connection = place.connect().await;
    for statement in [
        "update accounts set paused_at = 1 where account = 'held'",
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?1)
         insert into requests (id, account, action, max_pages, quoted_credits, status, row_digest, created_at, taken_at,
                               inbox_is_behind)
         select i, 'held', 'unlock_contact_emails', 1, 15, 'accepted', 'x', 1, 1, 0 from n",
        "insert into items (request_id, account, action, event_id, personnel_id, state)
         select id, account, action, '139574', id, 'waiting' from requests where id <= ?1",
        "insert into sqlite_sequence (name, seq) values ('inbox', ?1)",
    ] {
        sqlx::query(statement).bind(live).execute(&mut connection).await.expect(statement);
    }
    let mut db = place.db().await;
    let worker = place.start();
    let took = pickup::latencies(&place, &mut db, ROWS).await;
    let single = delivered::bring(&place, &worker, &mut db, (FIRST, SINGLE, 1)).await;
    let together = (FIRST + SINGLE, TOGETHER, TOGETHER);
    let together = delivered::bring(&place, &worker, &mut db, together).await;
    // Until nothing of that is to be done any more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = worker.cpu_seconds();
    tokio::time::sleep(Duration::from_secs(10)).await;
    Measured {
        live,
        pickup_ms: quantile(&took, 0.5),
        pickup_p99_ms: quantile(&took, 0.99),
        single: (SINGLE as f64 / single.seconds, single.cpu * 1_000.0 / SINGLE as f64),
        together: (TOGETHER as f64 / together.seconds, together.cpu * 1_000.0 / TOGETHER as f64),
        idle_percent: (worker.cpu_seconds() - idle) * 10.0,
        memory_mb: worker.memory_mb("VmHWM"),
    }
}

impl Measured {
    fn line(&self) -> String {
        format!(
            "{} live: pick-up median {:.1} ms, p99 {:.1}; {:.0} requests of one contact a second, {:.3} ms of CPU each; \
             {:.0} contacts of one request a second, {:.3} ms of CPU each; idle {:.2} % of a core; memory at most {:.0} MB",
            self.live,
            self.pickup_ms,
            self.pickup_p99_ms,
            self.single.0,
            self.single.1,
            self.together.0,
            self.together.1,
            self.idle_percent,
            self.memory_mb,
        )
    }
}

fn write(folder: &Path, all: &[Measured]) {
    let mut csv =
        "live,pickup_ms,pickup_p99_ms,single_a_second,single_cpu_ms,together_a_second,together_cpu_ms,\
                   idle_percent,memory_mb\n"
            .to_owned();
    for m in all {
        let _ = writeln!(
            csv,
            "{},{:.1},{:.1},{:.0},{:.3},{:.0},{:.3},{:.2},{:.1}",
            m.live,
            m.pickup_ms,
            m.pickup_p99_ms,
            m.single.0,
            m.single.1,
            m.together.0,
            m.together.1,
            m.idle_percent,
            m.memory_mb
        );
    }
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("scale.csv"), csv).expect("scale.csv is written");
    std::fs::write(folder.join("scale.svg"), svg(all)).expect("scale.svg is written");
}

type Value = fn(&Measured) -> f64;

/// Across: how many are live, each step ten times as many.
fn svg(all: &[Measured]) -> String {
    let at = |measured: &Measured| (measured.live as f64).log10();
    let line = |name, colour, value: Value| {
        let points = all.iter().map(|measured| (at(measured), value(measured))).collect();
        Line { name, colour, points }
    };
    let panel = |title, lines| Panel { title, lines, shaded: vec![] };
    let panels = [
        panel(
            "from INSERT to the paid call, ms",
            vec![line("median", BLUE, |m| m.pickup_ms), line("p99", ORANGE, |m| m.pickup_p99_ms)],
        ),
        panel(
            "delivered in a second, without a limit",
            vec![line("single", BLUE, |m| m.single.0), line("together", ORANGE, |m| m.together.0)],
        ),
        panel(
            "CPU of the worker, ms for each contact",
            vec![line("single", BLUE, |m| m.single.1), line("together", ORANGE, |m| m.together.1)],
        ),
        panel("memory of the worker at most, MB", vec![line("memory", BLUE, |m| m.memory_mb)]),
    ];
    let marks: Vec<_> = all.iter().map(|m| (at(m), format!("{} live", m.live))).collect();
    chart::svg(&panels, (3.0, all.last().map_or(6.0, at).max(3.1)), &marks)
}
