//! The start of a seed: a vendor of some kind, a configuration, and a database.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fastrand::Rng;
use unlockd::api::{Client, Settings};
use unlockd::clock::Clock;
use unlockd::config::{self, Config, Inputs};
use unlockd::sandbox::{Billing, Options, Time};
use unlockd::store::lease;
use unlockd::store::{Store, StoreError};
use unlockd::worker::Deps;
use unlockd::worker::run::driver;

use crate::calls::Calls;
use crate::db::Db;
use crate::life::Life;
use crate::profile::Profile;
use crate::run::{APPROVE_ABOVE, START_MS};

/// A second key of the first owner.
pub(crate) fn second(profile: &Profile) -> Vec<(String, String, String)> {
    let second = ["second", "uak_second", "default"].map(str::to_owned);
    let [name, key, owner] = second;
    if profile.accounts > 1 { vec![(name, key, owner)] } else { Vec::new() }
}

pub(crate) fn vendor(rng: &mut Rng) -> Options {
    // Other answers may show the result of a task later, or sooner, than the task itself.
    let (task_seconds, lag) =
        [(2.0, 0), (2.0, 40), (12.0, 0), (12.0, 5), (45.0, 0), (45.0, 40)][rng.usize(..6)];
    Options {
        task_seconds,
        balance: [200, 5_000, 100_000][rng.usize(..3)],
        time: Time::ManualFrom(START_MS),
        rate_limit: 60,
        rate_headers: rng.u8(..5) > 0,
        clock_skew: [0, 0, 300_000, -300_000][rng.usize(..4)],
        billing: if rng.bool() { Billing::Repeats } else { Billing::Documented },
        charge_lag: Duration::from_secs(lag),
        refund_failed: rng.u8(..5) == 0,
        terse_profiles: rng.u8(..4) == 0,
        ..Options::default()
    }
}

/// `others`: name, key and owner of the accounts besides the first.
pub(crate) fn configure(
    rng: &mut Rng,
    folder: &Path,
    profile: &Profile,
    others: &[(String, String, String)],
) -> Config {
    let env = [
        ("LENSMOR_API_KEY", "uak_simulated"),
        ("UNLOCKD_API__BASE_URL", "http://127.0.0.1:1"),
        ("UNLOCKD_INBOX__INTERVAL", "20s"),
        ("UNLOCKD_POLLING__STEPS", r#"["3s","5s","10s","60s"]"#),
        ("UNLOCKD_POLLING__GIVE_UP_AFTER", "5m"),
        ("UNLOCKD_RATE_LIMIT__PER_MINUTE", "60"),
        // A server without a standby.
        ("UNLOCKD_POSTGRES__DURABILITY", "single"),
    ];
    let of_account = |(name, key, owner): &(String, String, String)| {
        let name = format!("UNLOCKD_ACCOUNTS__{}", name.to_uppercase());
        [(format!("{name}__API_KEY"), key.clone()), (format!("{name}__OWNER"), owner.clone())]
    };
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let env = env.chain(others.iter().flat_map(of_account)).collect();
    let inputs =
        Inputs { env, cwd: folder.to_owned(), system_file: folder.join("none"), ..Inputs::default() };
    let mut config = config::load(&inputs).unwrap_or_else(|error| panic!("{error}"));
    config.credits.approve_above = APPROVE_ABOVE;
    config.credits.daily_limit = (rng.u8(..6) == 0).then_some(150);
    config.submit.batch_size = [2, 4, 100][rng.usize(..3)];
    config.submit.precheck = rng.u8(..8) > 0;
    config.retention.contacts = profile.erases.then_some(Duration::from_secs(120));
    place_in(&mut config, folder, profile.inbox_apart);
    config
}

/// The client of a worker: its calls wait in `calls`.
pub(crate) fn client(config: &Config, calls: &Calls) -> Client {
    let settings = Settings {
        base_url: config.api.base_url.clone(),
        call_source: "api",
        timeout: config.api.timeout,
        proxy: None,
    };
    Client::new(&settings).expect("a client").over(Arc::new(calls.clone()))
}

pub(crate) fn place_in(config: &mut Config, folder: &Path, inbox_apart: bool) {
    config.database = folder.join("unlockd.db");
    config.inbox.database = inbox_apart.then(|| folder.join("inbox.db"));
}

/// Puts a database with only its schema into `folder`. Made once: migrations are not tested here.
pub(crate) fn empty_database(folder: &Path) {
    static FILES: OnceLock<Vec<(&str, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let folder = folder.with_extension("new");
        std::fs::create_dir_all(&folder).expect("a folder");
        let database = folder.join("unlockd.db");
        let make = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let open = async { drop(Store::open(&database, None).await.expect("opens")) };
            runtime.expect("a runtime").block_on(open);
        });
        make.join().expect("made");
        let read = |name| Some((name, std::fs::read(folder.join(name)).ok()?));
        ["unlockd.db", "unlockd.db-wal"].into_iter().filter_map(read).collect()
    });
    std::fs::create_dir_all(folder).expect("a folder");
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("written");
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(folder.join(name), mode).expect("its own file");
    }
}

/// A worker with what is on disk, or `None` while another one may be alive. An error: it crashed on PostgreSQL.
pub(crate) async fn live(
    config: &Config,
    clock: &Clock,
    client: &Client,
    number: u32,
) -> Result<Option<Life>, Box<dyn std::error::Error>> {
    let store = open(config).await?;
    let Ok(lease) = lease::try_take(&store, clock.now()).await? else { return Ok(None) };
    let (clock, client, config) = (clock.clone(), client.clone(), Arc::new(config.clone()));
    let deps = Deps::with_client(store, clock, lease.token, config, client).await?;
    driver::recover(&deps).await?;
    Ok(Some(Life::new(number, Arc::new(deps), lease)))
}

async fn open(config: &Config) -> Result<Store, StoreError> {
    Store::open_with(&config.database, config.inbox.database.as_deref(), 1).await
}

/// The store of other programs, a connection with the inbox and one with the state.
pub(crate) async fn others(config: &Config) -> (Store, Db, Db) {
    let inbox = config.inbox.database.as_ref().unwrap_or(&config.database);
    (open(config).await.expect("opens"), Db::connect(inbox).await, Db::connect(&config.database).await)
}
