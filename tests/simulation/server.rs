//! On PostgreSQL (`UNLOCKD_TEST_ENGINE=postgres`): a run has a database of its own, whose clock is the simulation's, and a
//! worker dies by losing its connections at that very moment.
//!
//! The simulation asks from the middle of a poll, which cannot wait for an answer of the server: another thread does.

use std::path::PathBuf;
use std::sync::mpsc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::postgres::{self, Database};
use crate::run::START_MS;

/// Leases are compared by this clock.
const CLOCK: &str = "create table simulated_clock (now bigint not null);
    create or replace function database_clock(own bigint) returns bigint language sql volatile
        as 'select now from simulated_clock where own is not null';
    insert into simulated_clock values (";

/// Ends the connections that `which` names, and waits until they are gone. Not with the time limit of
/// pg_terminate_backend, which looks every 100 ms.
fn end_all(which: &str) -> String {
    let others = format!("datname = current_database() and pid <> pg_backend_pid() and {which}");
    format!(
        "do $$ begin
             perform pg_terminate_backend(pid) from pg_stat_activity where {others};
             while exists (select 1 from pg_stat_activity where {others}) loop
                 perform pg_sleep(0.001), pg_stat_clear_snapshot();
             end loop;
         end $$"
    )
}

pub(crate) struct Server {
    statements: mpsc::Sender<String>,
    done: mpsc::Receiver<()>,
    database: Database,
}

impl Server {
    /// `None`: the suite runs on SQLite.
    pub(crate) async fn start() -> Option<Server> {
        Some(Server::on(postgres::if_chosen().await?))
    }

    /// For hosts, whichever engine the suite runs on. `None`: there is no PostgreSQL here.
    pub(crate) async fn for_hosts() -> Option<Server> {
        Some(Server::on(postgres::database().await?))
    }

    fn on(database: Database) -> Server {
        let (statements, asked) = mpsc::channel::<String>();
        let (tell, done) = mpsc::channel();
        let url = database.url().to_owned();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let mut connection = PgConnection::connect(&url).await.expect("connects");
                while let Ok(statement) = asked.recv() {
                    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("done");
                    if tell.send(()).is_err() {
                        break;
                    }
                }
            });
        });
        let server = Server { statements, done, database };
        server.run(format!("{CLOCK}{START_MS})"));
        server
    }

    fn run(&self, statement: String) {
        self.statements.send(statement).expect("its thread lives");
        self.done.recv().expect("it is done");
    }

    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    pub(crate) fn set_clock(&self, now_ms: i64) {
        self.run(format!("update simulated_clock set now = {now_ms}"));
    }

    /// What is not committed now is lost.
    pub(crate) fn end_connections(&self) {
        self.run(end_all("true"));
    }

    /// The same for one host, by the name that it gives its connections.
    pub(crate) fn end_connections_of(&self, host: usize) {
        self.run(end_all(&format!("application_name = 'h{host}'")));
    }

    /// The folder of the server's socket, its port, and the name of the database.
    pub(crate) async fn socket(&self) -> (PathBuf, u16, String) {
        let asked =
            "select current_setting('unix_socket_directories'), current_setting('port'), current_database()";
        let (folder, port, name): (String, String, String) =
            sqlx::query_as(asked).fetch_one(&mut self.database.connect().await).await.expect("settings");
        (folder.into(), port.parse().expect("a port"), name)
    }
}
