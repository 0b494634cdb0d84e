//! Each wait for the server has a limit: nothing reports that the network in between was cut.

use std::future::Future;
use std::io;
use std::time::Duration;

/// The longest wait for one answer. Longer than the server's own limits, which say more; shorter than what the
/// watchdog allows.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits for an answer, but not for ever. After the limit nobody knows what the server has done, and the connection
/// must not be used again: every caller takes the error for a lost connection.
pub(in crate::store) async fn limited<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    limited_to(LONGEST, answer).await
}

/// The same, with another limit.
pub(in crate::store) async fn limited_to<T>(
    longest: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(longest, answer).await {
        Ok(answer) => answer,
        Err(_) => {
            let seconds = longest.as_secs();
            let problem = format!("PostgreSQL did not answer within {seconds} s");
            Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, problem)))
        }
    }
}

/// Whether the server did not answer in time.
pub(in crate::store) fn is_too_late(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}
