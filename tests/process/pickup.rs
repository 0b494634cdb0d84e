//! A row is bought as soon as it is written: nobody waits for `inbox.interval`.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::{Town, hostile};

#[tokio::test]
async fn a_row_is_taken_when_it_is_written_and_not_only_at_the_next_interval() {
    for inbox in ["unlockd.db", "inbox.db"] {
        let town = Town::new(hostile()).await;
        let file = town.path("unlockd.toml");
        let config = std::fs::read_to_string(&file).expect("readable");
        let own = if inbox == "inbox.db" { "database = \"inbox.db\"\n" } else { "" };
        let config = config.replace("interval = \"20ms\"", &format!("interval = \"1h\"\n{own}"));
        assert!(config.contains("1h"));
        std::fs::write(&file, config).expect("written");
        let mut worker = town.start();
        town.until("select count(*) from served_inbox", 1).await;
        let options = SqliteConnectOptions::new().filename(town.path(inbox));
        let mut program = loop {
            if let Ok(mut program) = SqliteConnection::connect_with(&options).await
                && program.execute("select 1 from inbox").await.is_ok()
            {
                break program;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        for id in 1..=3 {
            let row = format!("insert into inbox (event_id, personnel_ids) values ('7', '[{id}01]')");
            program.execute(AssertSqlSafe(row)).await.expect("inserted");
            town.until("select count(*) from requests where status = 'done'", id).await;
        }
        worker.kill().expect("it runs");
        worker.wait().expect("it ends");
    }
}
