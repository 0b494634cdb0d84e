//! A database of a server: connected to, checked, and brought to this version's schema.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::store::StoreError;
use crate::store::error::sql_state;
use crate::store::place::{Place, server_url};
use crate::store::postgres::limits::limited;
use crate::store::schema::{Opening, Schema};

/// PostgreSQL 15.
const OLDEST: i32 = super::OLDEST * 10_000;
/// A connection that was used so recently is taken to be alive.
const IDLE_TRUSTED: Duration = Duration::from_secs(5);
/// A step over a large table takes its time.
const MIGRATING_TAKES: Duration = Duration::from_secs(60 * 60);

/// The advisory lock of programs that change the schema.
const MIGRATING: i64 = 0x756e_6c6f_636b_6400;

fn migrations() -> Migrator {
    sqlx::migrate!("migrations/postgres")
}

/// The newest step of the schema that this version knows.
pub(super) fn newest_step() -> i64 {
    migrations().iter().map(|step| step.version).max().unwrap_or_default()
}

/// How to connect. The options hold the password: they are never shown.
pub(super) fn options(place: &Place) -> Result<PgConnectOptions, StoreError> {
    let url = server_url(&place.path).unwrap_or_default();
    let options: PgConnectOptions = url.parse().map_err(|_| {
        StoreError::open(&place.path, "it is not a URL such as postgres://user@host:5432/name")
    })?;
    let options = match &place.password {
        Some(password) => options.password(password.expose_secret()),
        None => options,
    };
    let name = options.get_application_name().unwrap_or("unlockd").to_owned();
    Ok(options
        .application_name(&name)
        // More than the store has statements.
        .statement_cache_capacity(512)
        // Not a parameter that every pooler lets through.
        .extra_float_digits(None)
        .disable_statement_logging())
}

pub(super) async fn connect(options: &PgConnectOptions, path: &Path) -> Result<PgConnection, StoreError> {
    limited(PgConnection::connect_with(options))
        .await
        .map_err(|problem| StoreError::open(path, explain(&problem)))
}

const NO_DATABASE: &str = "3D000";

/// The error in words; the database's own errors say what they are about.
fn explain(problem: &sqlx::Error) -> String {
    match sql_state(problem).as_deref() {
        Some(NO_DATABASE) => format!("{problem}. Make it first: createdb NAME"),
        Some("28P01" | "28000") => {
            format!("{problem}. The password comes from database_password_file, PGPASSWORD or PGPASSFILE")
        }
        Some("42P05" | "26000") => format!(
            "{problem}. A pooler in transaction mode mixes up prepared statements: use PgBouncer 1.21 or newer with \
             max_prepared_statements, or session mode"
        ),
        _ => problem.to_string(),
    }
}

/// Connects and checks the server and the schema.
pub(super) async fn open(
    options: &PgConnectOptions,
    path: &Path,
    opening: Opening,
) -> Result<PgConnection, StoreError> {
    let connected = limited(PgConnection::connect_with(options)).await;
    let mut connection = match connected {
        Err(problem) if !opening.makes() && sql_state(&problem).as_deref() == Some(NO_DATABASE) => {
            return Err(StoreError::NoTables { path: path.display().to_string() });
        }
        connected => connected.map_err(|problem| StoreError::open(path, explain(&problem)))?,
    };
    check(&mut connection, path).await?;
    let found = schema(&mut connection).await.map_err(|problem| StoreError::open(path, explain(&problem)))?;
    if !opening.makes() && found == Schema::Empty {
        return Err(StoreError::NoTables { path: path.display().to_string() });
    }
    let refused = |problem| StoreError::Schema { path: path.display().to_string(), problem };
    match opening.migrates(found).map_err(refused)? {
        true => migrate(&mut connection, path).await?,
        false => sees_all_rows(&mut connection, path).await?,
    }
    Ok(connection)
}

/// Old servers lack what the schema needs; a standby cannot be written.
async fn check(connection: &mut PgConnection, path: &Path) -> Result<(), StoreError> {
    let facts = sqlx::query_as(
        "select current_setting('server_version_num')::integer, current_setting('server_version'), pg_is_in_recovery()",
    );
    let (number, version, is_standby): (i32, String, bool) = limited(facts.fetch_one(connection))
        .await
        .map_err(|problem| StoreError::open(path, explain(&problem)))?;
    if number < OLDEST {
        return Err(StoreError::open(
            path,
            format!("the server is PostgreSQL {version}; 15 or newer is needed"),
        ));
    }
    if is_standby {
        return Err(StoreError::open(
            path,
            "this server is a standby, which cannot be written: name the primary",
        ));
    }
    Ok(())
}

/// A role that is not the owner of the inbox sees its own rows of it only: to a worker, the others would not be there.
async fn sees_all_rows(connection: &mut PgConnection, path: &Path) -> Result<(), StoreError> {
    let is_filtered = sqlx::query_scalar("select row_security_active('inbox'::regclass)");
    match limited(is_filtered.fetch_one(connection)).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(StoreError::open(
            path,
            "this role sees only its own rows of the inbox: connect as the role that made the tables",
        )),
        Err(problem) => Err(StoreError::open(path, problem)),
    }
}

/// Which schema the database has.
pub(super) async fn schema(connection: &mut PgConnection) -> Result<Schema, sqlx::Error> {
    let has_table = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null");
    if !limited(has_table.fetch_one(&mut *connection)).await? {
        return Ok(Schema::Empty);
    }
    let applied =
        sqlx::query_scalar("select version from _sqlx_migrations where success order by version limit 1000");
    let applied: Vec<i64> = limited(applied.fetch_all(connection)).await?;
    let needed: Vec<i64> = migrations().iter().map(|step| step.version).collect();
    Ok(Schema::of(&applied, &needed, &needed))
}

/// Brings the database to this version's schema, all or nothing. Of two programs that do it at the same time, one waits
/// for the other.
pub(super) async fn migrate(connection: &mut PgConnection, path: &Path) -> Result<(), StoreError> {
    let migrating = async {
        let mut tx = connection.begin().await?;
        // Not the library's own lock: it is the session's, and behind a pooler it may never be given back.
        sqlx::query("select pg_advisory_xact_lock($1)").bind(MIGRATING).execute(&mut *tx).await?;
        migrations().set_locking(false).run_direct(None, &mut *tx, false).await?;
        Ok::<(), sqlx::migrate::MigrateError>(tx.commit().await?)
    };
    match tokio::time::timeout(MIGRATING_TAKES, migrating).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problem)) => Err(StoreError::open(
            path,
            format!(
                "{problem}. The tables are made by the role that connects: it needs CREATE on the schema"
            ),
        )),
        Err(_) => Err(StoreError::open(path, "another program has been changing its schema for an hour")),
    }
}

/// This host's lock file for the database: where the service keeps its state, or else with the temporary files.
pub(super) fn lock_path(options: &PgConnectOptions) -> PathBuf {
    let folder = std::env::var_os("STATE_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
    let (host, port) = (options.get_host(), options.get_port());
    let name = options.get_database().unwrap_or(options.get_username());
    let host = options.get_socket().map_or_else(|| host.to_owned(), |socket| socket.display().to_string());
    let name = format!("unlockd-{host}-{port}-{name}.lock");
    let name = name.replace(|char: char| !char.is_ascii_alphanumeric() && char != '.', "-");
    folder.join(name)
}

/// Connections for reading.
pub(super) async fn readers(
    options: &PgConnectOptions,
    path: &Path,
    count: u32,
) -> Result<PgPool, StoreError> {
    let pool = PgPoolOptions::new()
        .max_connections(count)
        .idle_timeout(None)
        .max_lifetime(None)
        // Whether it is still alive is asked only where something between may have cut it: it costs a round trip.
        .test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for > IDLE_TRUSTED {
                    limited(connection.ping()).await?;
                }
                Ok(true)
            })
        })
        .connect_with(options.clone());
    limited(pool).await.map_err(|problem| StoreError::open(path, explain(&problem)))
}
