//! One file of a database, and its schema: which one it has, and how it is brought to this version's.
//!
//! State and inbox keep their steps apart, and may share one file and so one table of applied steps.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::{Connection, SqliteConnection};

use crate::store::StoreError;
use crate::store::schema::{Opening, Schema};
use crate::store::sqlite::open::{check_file, inbox_options, prepare};

fn state_migrations() -> Migrator {
    sqlx::migrate!("migrations/state")
}

fn inbox_migrations() -> Migrator {
    sqlx::migrate!("migrations/inbox")
}

/// A file, its mode, and what belongs in it.
pub(super) struct Part<'a> {
    path: &'a Path,
    mode: u32,
    has_state: bool,
    has_inbox: bool,
}

impl<'a> Part<'a> {
    /// The file of the state, and the one of the inbox when that is another.
    pub(super) fn of(path: &'a Path, inbox_path: &'a Path) -> (Part<'a>, Option<Part<'a>>) {
        let is_shared = path == inbox_path;
        let state = Part { path, mode: 0o600, has_state: true, has_inbox: is_shared };
        (state, (!is_shared).then(|| Part::inbox(inbox_path)))
    }

    /// The inbox in a file of its own.
    pub(super) fn inbox(path: &'a Path) -> Part<'a> {
        Part { path, mode: 0o660, has_state: false, has_inbox: true }
    }

    pub(super) async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        prepare(self.path, self.mode, false).await
    }

    /// Opens the file of an inbox; its tables are not looked at.
    pub(super) async fn connect_inbox(&self, makes: bool) -> Result<SqliteConnection, StoreError> {
        check_file(self.path, self.mode, makes)?;
        // One try: it waits for a lock by itself, and the caller tries again.
        let opened = SqliteConnection::connect_with(&inbox_options(self.path)).await;
        opened.map_err(|source| StoreError::Database { step: "open", source })
    }

    /// Opens it; what that may do to it is said by `opening`.
    pub(super) async fn open(&self, opening: Opening) -> Result<SqliteConnection, StoreError> {
        let mut connection = prepare(self.path, self.mode, opening.makes()).await?;
        let found = self.schema(&mut connection).await?;
        let refused = |problem| StoreError::Schema { path: self.path.display().to_string(), problem };
        if opening.migrates(found).map_err(refused)? {
            self.migrate(&mut connection).await?;
        }
        Ok(connection)
    }

    fn migrations(&self) -> Vec<Migrator> {
        let state = self.has_state.then(state_migrations);
        state.into_iter().chain(self.has_inbox.then(inbox_migrations)).collect()
    }

    pub(super) async fn schema(&self, connection: &mut SqliteConnection) -> Result<Schema, StoreError> {
        let has_table: bool = sqlx::query_scalar(
            "select exists (select 1 from sqlite_master where type = 'table' and name = '_sqlx_migrations')",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| StoreError::open(self.path, error))?;
        if !has_table {
            return Ok(Schema::Empty);
        }
        let applied: Vec<i64> =
            sqlx::query_scalar("select version from _sqlx_migrations order by version limit 1000")
                .fetch_all(connection)
                .await
                .map_err(|error| StoreError::open(self.path, error))?;
        let versions = |migrator: &Migrator| migrator.iter().map(|step| step.version).collect::<Vec<_>>();
        // A file may hold steps of the other part, from the time when it held both.
        let known = [versions(&state_migrations()), versions(&inbox_migrations())].concat();
        let needed: Vec<i64> = self.migrations().iter().flat_map(versions).collect();
        Ok(Schema::of(&applied, &known, &needed))
    }

    /// Brings it to this version's schema.
    pub(super) async fn migrate(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        // A step may rebuild a table that others refer to. Whether all references still hold is checked afterwards.
        self.foreign_keys(connection, false).await?;
        apply(self.migrations(), connection).await.map_err(|error| StoreError::open(self.path, error))?;
        self.foreign_keys(connection, true).await?;
        let broken: i64 = sqlx::query_scalar("select count(*) from pragma_foreign_key_check")
            .fetch_one(connection)
            .await
            .map_err(|error| StoreError::open(self.path, error))?;
        match broken {
            0 => Ok(()),
            _ => {
                let problem = format!("{broken} rows refer to rows that are not there; restore a backup");
                Err(StoreError::open(self.path, problem))
            }
        }
    }

    async fn foreign_keys(&self, connection: &mut SqliteConnection, on: bool) -> Result<(), StoreError> {
        let pragma = if on { "pragma foreign_keys = on" } else { "pragma foreign_keys = off" };
        sqlx::query(pragma).execute(connection).await.map_err(|error| StoreError::open(self.path, error))?;
        Ok(())
    }
}

/// All steps in one transaction: a new file waits for the disk once and not for each step, an upgrade is done or not
/// begun, and of two programs the slower one finds nothing left to do.
async fn apply(
    migrations: Vec<Migrator>,
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::migrate::MigrateError> {
    let mut tx = connection.begin_with("begin immediate").await?;
    for mut migrations in migrations {
        // The steps of the other part are not missing.
        migrations.set_ignore_missing(true);
        migrations.run_direct(None, &mut *tx, false).await?;
    }
    Ok(tx.commit().await?)
}
