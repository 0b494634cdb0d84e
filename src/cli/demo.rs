//! `unlockd demo`: the whole job in one command, on real parts.
//!
//! A sandbox on a free port, a temporary database, the same worker as `run` over real HTTP with the
//! real 3/5/10 s steps; then the outcome table and the credit audit. Each contact's outcome is
//! compared with the one that its id determines; a difference is a failure.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::bars::{Bars, Progress};
use super::show::{self, Columns};
use super::{Context, Outcome, account, open};
use crate::clock::Clock;
use crate::config::{self, Config, Inputs};
use crate::sandbox::{self, Options};
use crate::store::Store;
use crate::store::inbox::{self, Enqueue};
use crate::store::lease;
use crate::store::report::{self, jobs};
use crate::worker::Deps;
use crate::worker::run::driver;
use crate::worker::run::signals::Signals;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  unlockd demo
  unlockd demo --keep             then look around: unlockd --database FILE requests

Takes some 20 s. It uses neither your configuration nor your key.")]
pub(super) struct Args {
    /// Keep the database, and print its path
    #[arg(long)]
    keep: bool,
}

/// Requests of the demo: reference, first id, last id.
const SAMPLE: [(&str, u32, u32); 3] =
    [("crm-export-17", 100, 159), ("webinar-leads", 140, 199), ("trade-fair", 200, 229)];

pub(super) async fn run(context: Context, args: Args) -> Outcome {
    let folder = Folder::create()?;
    let config = demo_config(&context, &folder.path)?;
    let _log = crate::logs::init(&config.log);
    let sandbox = sandbox::start(Options { task_seconds: 12.0, ..Options::default() }).await?;
    let config = Config { api: config::Api { base_url: sandbox.base_url(), ..config.api.clone() }, ..config };
    let mut out = std::io::stdout();
    writeln!(
        out,
        "A sandbox of the Lensmor API listens on {}; nothing here costs anything.",
        sandbox.base_url()
    )?;
    let store = open(&config).await?;
    for (reference, first, last) in SAMPLE {
        enqueue(&store, reference, first, last).await?;
        writeln!(out, "inbox <- {} contacts for event 139574, reference {reference}", last - first + 1)?;
    }
    writeln!(out, "Ids 140 to 159 are requested twice and bought once.\n")?;

    let clock = Clock::real();
    let lease = lease::try_take(&store, clock.now())
        .await?
        .map_err(|_| anyhow::anyhow!("the demo's database is in use"))?;
    let deps = Arc::new(Deps::new(store.clone(), clock, lease.token, Arc::new(config)).await?);
    let (signals, started) = (Signals::default(), Instant::now());
    let progress = tokio::spawn(show_progress(store.clone(), signals.clone()));
    tokio::select! {
        ended = driver::run(deps, signals.clone(), true) => { ended?; }
        stopped = super::stop::stop_requested() => {
            stopped?;
            signals.stop();
            return Err(super::Failure::refused("stopped; the demo spends no credits".to_owned()));
        }
    }
    signals.stop();
    let _ = progress.await;
    let accounting = sandbox.accounting();
    sandbox.stop().await;
    show_results(&mut out, &store, started.elapsed(), accounting.charged_total).await?;
    if args.keep {
        writeln!(out, "\nThe database is kept: {}", folder.keep().display())?;
    }
    Ok(())
}

/// A folder that is removed with the demo.
struct Folder {
    path: std::path::PathBuf,
    kept: bool,
}

impl Folder {
    fn create() -> anyhow::Result<Folder> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("unlockd-demo-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path).with_context(|| {
            format!(
                "cannot make the folder {} for the demo's database: name a writable one with TMPDIR=FOLDER, or give a \
                 container with a read-only root a /tmp of its own (--tmpfs /tmp)",
                path.display()
            )
        })?;
        Ok(Folder { path, kept: false })
    }

    fn keep(mut self) -> std::path::PathBuf {
        self.kept = true;
        self.path.join("unlockd.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // A folder left in the temporary directory is no reason to fail.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The defaults and nothing else: a demo must not read the user's real configuration.
fn demo_config(context: &Context, folder: &Path) -> Result<Config, super::Failure> {
    let inputs = Inputs {
        cwd: folder.to_owned(),
        overrides: config::Overrides {
            database: Some(folder.join("unlockd.db")),
            log_level: Some(context.log_level.clone().unwrap_or_else(|| "error".to_owned())),
        },
        env: vec![("LENSMOR_API_KEY".to_owned(), "uak_demo".to_owned())],
        // There is none. A package installs one for the whole system, which names a key.
        system_file: folder.join("unlockd.toml"),
        ..Inputs::default()
    };
    config::load(&inputs).map_err(super::Failure::usage)
}

async fn enqueue(store: &Store, reference: &str, first: u32, last: u32) -> Outcome {
    let ids: Vec<String> = (first..=last).map(|id| id.to_string()).collect();
    let row = Enqueue {
        account: "default".to_owned(),
        action: "unlock_contact_emails".to_owned(),
        event_id: Some("139574".to_owned()),
        personnel_ids: Some(serde_json::json!(ids).to_string()),
        reference: Some(reference.to_owned()),
        ..Enqueue::default()
    };
    inbox::insert(store, row).await?;
    Ok(())
}

/// One bar for everything and one for each batch.
async fn show_progress(store: Store, signals: Signals) {
    let of = SAMPLE.iter().map(|(_, first, last)| i64::from(last - first + 1)).sum();
    let mut bars = Bars::new();
    while !signals.is_stopping() {
        if let (Ok(progress), Ok(open)) = (report::progress(&store).await, jobs::open(&store, 10).await) {
            let whole =
                Progress { name: "demo".to_owned(), settled: progress.settled, of, line: progress.line };
            bars.show(&whole, &open.iter().map(Progress::of_job).collect::<Vec<_>>());
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
            () = signals.stopping() => {}
        }
    }
    bars.clear();
}

const OUTCOMES: Columns<5> =
    Columns { names: ["ids", "expected", "outcome", "source", "contacts"], may_go: &[] };

async fn show_results(out: &mut impl Write, store: &Store, took: Duration, charged: i64) -> Outcome {
    let outcomes = report::demo_outcomes(store).await?;
    let mut wrong = Vec::new();
    let mut groups: BTreeMap<(&str, &str, String, String), u32> = BTreeMap::new();
    for row in &outcomes {
        let (rule, expected) = expected_outcome(&row.personnel_id);
        if !expected.contains(&row.outcome.as_str()) {
            wrong.push(format!("contact {}: {} instead of {}", row.personnel_id, row.outcome, expected[0]));
        }
        let key = (rule, expected[0], row.outcome.clone(), row.source.clone().unwrap_or_default());
        *groups.entry(key).or_default() += 1;
    }
    let rows = groups.into_iter().map(|((rule, expected, outcome, source), contacts)| {
        [rule.to_owned(), expected.to_owned(), outcome, source, contacts.to_string()]
    });
    show::table(out, &OUTCOMES, rows.collect(), "no contacts")?;
    writeln!(out, "\nCredit audit")?;
    let audits = report::audits(store).await?;
    show::table(out, &account::AUDIT, audits.iter().map(account::audit_cells).collect(), "no settlement")?;
    let contacts = outcomes.iter().filter(|row| row.outcome != "pending").count();
    writeln!(
        out,
        "\n{contacts} contacts settled in {:.0} s; the sandbox charged {charged} credits.",
        took.as_secs_f64()
    )?;
    if wrong.is_empty() {
        writeln!(out, "Every contact has the expected outcome.")?;
        return Ok(());
    }
    Err(anyhow::anyhow!("some contacts do not have the expected outcome:\n  {}", wrong.join("\n  ")).into())
}

/// The expected outcome of an id, by its last two digits; the sandbox's help says the same.
fn expected_outcome(personnel_id: &str) -> (&'static str, &'static [&'static str]) {
    match &personnel_id[personnel_id.len().saturating_sub(2)..] {
        "90" => ("..90", &["not_returned"]),
        "91" => ("..91", &["missing"]),
        "92" => ("..92", &["unlinked"]),
        "93" => ("..93", &["delivered"]),
        "94" => ("..94", &["invalid"]),
        "95" => ("..95", &["delivered"]),
        "96" => ("..96", &["no_value"]),
        "97" => ("..97", &["failed"]),
        "98" => ("..98", &["unresolved"]),
        "99" => ("..99", &["no_value"]),
        _ => ("other", &["delivered"]),
    }
}
