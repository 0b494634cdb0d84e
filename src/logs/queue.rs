//! Log lines on their way to standard error. Writing a line never waits.
//!
//! A pipe takes no more bytes when nobody reads it (a stuck log shipper, a pager), and a write to it waits until
//! somebody does. If a task of the worker waited there, the whole process would stand still: no poll, no lease, no
//! answer to a health check or to SIGTERM. So a thread of its own writes the lines, from a queue with a limit. A
//! line that finds no place in the queue is dropped and counted, and the count is logged once lines are written
//! again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that may wait: some 15,000 lines.
pub(super) const LIMIT: usize = 4 << 20;

/// How long the end of the program waits for the lines that are still in the queue.
const FLUSH_AT_MOST: Duration = Duration::from_millis(500);

enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(Sender<()>),
}

#[derive(Default)]
struct Counts {
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// Lines dropped since the last time they were logged.
    dropped: AtomicU64,
}

/// Takes lines and gives them to the thread that writes them. A copy feeds the same queue.
#[derive(Clone)]
pub(super) struct Queue {
    lines: Sender<Message>,
    counts: Arc<Counts>,
    limit: usize,
}

impl Queue {
    /// Starts the thread that writes to `output`. It ends when all copies of the queue are gone.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn start(limit: usize, output: impl Write + Send + 'static) -> io::Result<Queue> {
        let (lines, received) = channel();
        let counts = Arc::new(Counts::default());
        let shared = counts.clone();
        std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || write(&received, &shared, output))?;
        Ok(Queue { lines, counts, limit })
    }

    fn add(&self, line: &[u8]) {
        // Several lines at once may pass the limit by one line each.
        if self.counts.waiting.load(Ordering::Relaxed) + line.len() > self.limit {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.counts.waiting.fetch_add(line.len(), Ordering::Relaxed);
        // Fails when the thread is gone; then nobody is there to write to.
        let _ = self.lines.send(Message::Line(line.to_vec()));
    }

    /// Waits until the lines so far are written, but not long: nobody may read them.
    pub(super) fn flush(&self) {
        let (done, wait) = channel();
        if self.lines.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_AT_MOST);
        }
    }
}

fn write(lines: &Receiver<Message>, counts: &Counts, mut output: impl Write) {
    for message in lines {
        match message {
            Message::Line(line) => {
                // A closed output, or a full disk behind it, is no reason to stop the worker.
                let _ = output.write_all(&line);
                counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                let dropped = counts.dropped.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    tracing::warn!(
                        dropped,
                        "log lines were dropped: nothing read standard error for a while"
                    );
                }
            }
            Message::Flush(done) => {
                let _ = output.flush();
                let _ = done.send(());
            }
        }
    }
}

/// Writes one line into the queue.
pub(super) struct Entry<'a>(&'a Queue);

impl Write for Entry<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// An output that takes a write only when the test reads it.
    struct Pipe(std::sync::mpsc::SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    #[test]
    fn a_line_that_finds_no_place_is_dropped_and_counted_and_the_others_come_in_order() {
        let (pipe, read) = sync_channel(0);
        let queue = Queue::start(9, Pipe(pipe)).unwrap();
        for text in ["one", "two", "six", "ten", "tip"] {
            queue.make_writer().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(queue.counts.dropped.load(Ordering::Relaxed), 2);
        assert_eq!([(); 3].map(|()| read.recv().unwrap()), ["one", "two", "six"].map(line));
        queue.flush();
        queue.make_writer().write_all(b"new").unwrap();
        assert_eq!(read.recv().unwrap(), line("new"), "there is place again");
    }

    #[test]
    fn the_end_of_the_program_waits_for_a_reader_only_for_a_moment() {
        let (pipe, read) = sync_channel(0);
        let queue = Queue::start(LIMIT, Pipe(pipe)).unwrap();
        queue.make_writer().write_all(b"nobody reads this").unwrap();
        queue.flush();
        drop(read);
    }
}
