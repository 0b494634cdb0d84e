//! PostgreSQL for tests: each test gets a database of its own, with this version's schema.
//!
//! `UNLOCKD_TEST_POSTGRES=postgres://…` names a server and a role that may create databases. Without it a server
//! is started where PostgreSQL's programs are found, once for each test binary: in a temporary folder, by another user
//! if this one is root (PostgreSQL refuses to run as root). It ends with this process, however that ends.
//! Where there are no programs, [`database`] returns `None`, and says once what was skipped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

/// The oldest version that is supported.
const OLDEST: u32 = 15;

/// Starts a server on port $5 (see [`shell`]), tells when it is ready, and ends it when the input ends: as soon as nothing
/// holds the other end of the pipe.
const SERVE: &str = r#"
trap '' INT TERM HUP
folder=$1 programs=$2 user=$3 group=$4 port=$5
as="setpriv --pdeathsig=INT ${user:+--reuid=$user --regid=$group --clear-groups}"
$as "$programs/initdb" --pgdata="$folder/data" --username=unlockd --auth=trust --encoding=UTF8 --locale=C \
    --no-sync --no-instructions >"$folder/log" 2>&1 &&
{
    echo 'host all all 10.0.0.0/8 trust' >>"$folder/data/pg_hba.conf"
    $as "$programs/postgres" -D "$folder/data" -p "$port" -k "$folder" -c listen_addresses=127.0.0.1 \
        -c fsync=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB \
        >>"$folder/log" 2>&1 </dev/null &
    server=$!
    until grep -q ready "$folder/data/postmaster.pid" 2>/dev/null; do
        kill -0 "$server" 2>/dev/null || break
        sleep 0.02
    done
    if kill -0 "$server" 2>/dev/null; then
        echo ready
        cat >/dev/null
        kill -QUIT "$server"
        wait "$server"
        : >"$folder/log"
    fi
}
cat "$folder/log" >&2
exec rm -rf "$folder"
"#;

/// A server, and how it is reached.
pub(crate) struct Server {
    /// Without the name of a database.
    url: String,
    /// The server ends when this is closed: by the kernel, when this process is gone.
    running: Option<(Child, ChildStdin)>,
}

/// A database of a test's own; it is removed when it is dropped.
pub(crate) struct Database {
    name: String,
    url: String,
    server: &'static Server,
}

/// Whether the suite runs on PostgreSQL: `UNLOCKD_TEST_ENGINE=postgres`.
pub(crate) fn is_chosen() -> bool {
    std::env::var("UNLOCKD_TEST_ENGINE").is_ok_and(|engine| engine == "postgres")
}

/// Whether a test has nothing to do, since the suite runs on PostgreSQL and the test is about something that only SQLite
/// has. It says so.
pub(crate) fn has_no(what: &str) -> bool {
    if is_chosen() {
        println!("SKIPPED: PostgreSQL has no {what}");
    }
    is_chosen()
}

/// A database for a test of either engine; `None`: the suite runs on SQLite.
pub(crate) async fn if_chosen() -> Option<Database> {
    match is_chosen() {
        true => Some(database().await.expect("PostgreSQL's programs, or UNLOCKD_TEST_POSTGRES")),
        false => None,
    }
}

/// A new database with this version's schema. `None`: there is no PostgreSQL here.
pub(crate) async fn database() -> Option<Database> {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let server = server()?;
    let template = TEMPLATE.get_or_init(|| template(server)).await;
    Some(create(server, template).await)
}

/// From now on the server that this process started keeps each commit on the disk, as one that people use; a server that
/// was named is left as it is.
pub(crate) async fn keep_on_disk() {
    let Some(server) = server().filter(|server| server.running.is_some()) else { return };
    let mut connection = connect(&format!("{}/postgres", server.url)).await;
    for setting in ["fsync", "full_page_writes"] {
        let set = AssertSqlSafe(format!("alter system set {setting} = on"));
        connection.execute(set).await.expect("a setting");
    }
    connection.execute("select pg_reload_conf()").await.expect("read again");
}

/// A new database without any tables.
pub(crate) async fn empty_database() -> Option<Database> {
    Some(create(server()?, "template0").await)
}

impl Database {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Removes it before its time.
    pub(crate) async fn remove(&self) {
        remove(&self.server.url, &self.name).await;
    }

    /// A new connection, as the owner of the tables.
    pub(crate) async fn connect(&self) -> PgConnection {
        connect(&self.url).await
    }

    /// A new connection that has taken on a role.
    pub(crate) async fn connect_as(&self, role: &str) -> PgConnection {
        let mut connection = self.connect().await;
        let set = AssertSqlSafe(format!("set role {role}"));
        connection.execute(set).await.expect("the role exists");
        connection
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, name) = (self.server.url.clone(), self.name.clone());
        let remove = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(remove(&url, &name));
        };
        remove_lock_files(&self.server.url, &self.name);
        // A test's own runtime cannot wait here.
        let _ = std::thread::spawn(remove).join();
    }
}

async fn remove(url: &str, name: &str) {
    // A server that is gone has no databases.
    if let Ok(mut connection) = PgConnection::connect(&format!("{url}/postgres")).await {
        let drop = AssertSqlSafe(format!("drop database if exists {name} with (force)"));
        let _ = connection.execute(drop).await;
    }
}

/// Those of workers in this process, which has no state directory.
fn remove_lock_files(url: &str, name: &str) {
    let address = url.rsplit(['@', '/']).next().unwrap_or_default();
    let plain = |text: &str| text.replace(|char: char| !char.is_ascii_alphanumeric() && char != '.', "-");
    let file = format!("unlockd-{}-{}.lock", plain(address), plain(name));
    for place in ["", ".2", ".3", ".4"] {
        let _ = std::fs::remove_file(std::env::temp_dir().join(format!("{file}{place}")));
    }
}

/// Makes this version's schema: all of it or nothing.
async fn migrate(connection: &mut PgConnection) {
    let mut tx = connection.begin().await.expect("begins");
    let mut steps = sqlx::migrate!("migrations/postgres");
    steps.set_locking(false);
    steps.run_direct(None, &mut *tx, false).await.expect("migrates");
    tx.commit().await.expect("commits");
}

async fn template(server: &'static Server) -> String {
    let template = create(server, "template0").await;
    let mut connection = template.connect().await;
    migrate(&mut connection).await;
    // A database can be copied while nobody is connected with it.
    connection.close().await.expect("closes");
    let name = template.name.clone();
    // It lasts as long as the server, or until its own name is made anew.
    std::mem::forget(template);
    name
}

async fn create(server: &'static Server, template: &str) -> Database {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("unlockd_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = connect(&format!("{}/postgres", server.url)).await;
    let create = format!("create database {name} template {template} encoding 'UTF8'");
    connection.execute(AssertSqlSafe(create)).await.expect("a role that may create databases");
    Database { url: format!("{}/{name}", server.url), name, server }
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap_or_else(|error| panic!("PostgreSQL at {url}: {error}"))
}

fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| match std::env::var("UNLOCKD_TEST_POSTGRES") {
        Ok(url) => Some(Server { url: without_name(&url), running: None }),
        Err(_) => programs().map(|programs| start(&programs)),
    });
    if server.is_none() {
        static SAID: OnceLock<()> = OnceLock::new();
        SAID.get_or_init(|| {
            // Not eprintln: what a test prints is shown only when it fails.
            let said = writeln!(
                std::io::stderr(),
                "SKIPPED the tests on PostgreSQL: neither UNLOCKD_TEST_POSTGRES nor PostgreSQL's programs \
                 (Debian: apt-get install postgresql)"
            );
            drop(said);
        });
    }
    server.as_ref()
}

/// `postgres://user@host:port` of an address that may name a database.
fn without_name(url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let end = url[after_scheme..].find('/').map_or(url.len(), |at| after_scheme + at);
    url[..end].to_owned()
}

impl Server {
    /// One of a test's own, which may change its settings; it ends with the value. `None`: there are no programs here.
    pub(crate) fn own() -> Option<Server> {
        programs().map(|programs| start(&programs))
    }

    /// `postgres://user@host:port`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// The folder with the programs of the newest version that is here.
pub(crate) fn programs() -> Option<PathBuf> {
    let has_programs = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    // A link in the path leads to them.
    let linked = |folder: PathBuf| Some(folder.join("initdb").canonicalize().ok()?.parent()?.to_owned());
    let in_path = std::env::split_paths(&paths).filter_map(linked).find(has_programs);
    let told = || {
        let told = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(told.stdout).ok()?.trim())).filter(has_programs)
    };
    // Debian's place for them.
    let of_debian = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let versions = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok());
        let newest = versions.filter(|version| *version >= OLDEST).max()?;
        Some(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))).filter(has_programs)
    };
    in_path.or_else(told).or_else(of_debian)
}

fn start(programs: &Path) -> Server {
    let [port] = free_ports();
    let mut child = shell(SERVE, programs, &[port]).stderr(Stdio::piped()).spawn().expect("a shell");
    let running = child.stdin.take().expect("piped");
    let mut told = String::new();
    let _ = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut told);
    if told != "ready\n" {
        drop(running);
        let mut why = String::new();
        let _ = child.stderr.take().expect("piped").read_to_string(&mut why);
        panic!("PostgreSQL does not start: {why}");
    }
    Server { url: format!("postgres://unlockd@127.0.0.1:{port}"), running: Some((child, running)) }
}

/// A script that runs servers. $1: a new folder, which it removes; $2: PostgreSQL's programs; $3 and $4: the user and the
/// group to run them as (empty: as this one); then the ports. It reads and tells through pipes.
pub(crate) fn shell(script: &str, programs: &Path, ports: &[u16]) -> Command {
    let folder = tempfile::Builder::new().prefix("unlockd-pg-").tempdir().expect("a folder").keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("ours");
    let (mut user, mut group) = (String::new(), String::new());
    if let Some((uid, gid)) = unprivileged() {
        chown(&folder, Some(uid), Some(gid)).expect("root may give it away");
        (user, group) = (uid.to_string(), gid.to_string());
    }
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "shell"])
        .args([&folder, programs, Path::new(&user), Path::new(&group)])
        .args(ports.iter().map(u16::to_string))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    shell
}

/// Free a moment ago. Below those that the system gives away by itself: else another test has one before its server begins.
pub(crate) fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let mut free: Vec<TcpListener> = Vec::with_capacity(COUNT);
    while free.len() < COUNT {
        free.extend(TcpListener::bind(("127.0.0.1", fastrand::u16(15_000..32_000))));
    }
    let ports: Vec<u16> = free.iter().map(|free| free.local_addr().expect("an address").port()).collect();
    ports.try_into().expect("as many")
}

/// If we are root: user and group of one that is not.
pub(crate) fn unprivileged() -> Option<(u32, u32)> {
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").ok()?) != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let mut fields =
            users.lines().map(|line| line.split(':')).find(|line| line.clone().next() == Some(name))?;
        Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
