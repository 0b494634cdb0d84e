//! Output for people: `watch`, inside a real pseudo terminal and without one, and output into pipes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use unlockd::sandbox::Options;

use super::{Town, careful_town, program, strings, town, town_with};

/// The program in a terminal of 80 x 24.
pub(super) struct Terminal {
    child: Child,
    /// The keyboard: bytes written here are keys.
    keys: File,
    /// The terminal itself, to see what mode it is in.
    line: OwnedFd,
    output: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    pub(super) fn start(town: &Town, arguments: &[&str], env: &[(&str, &str)]) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("text");
        let line: OwnedFd = File::options().read(true).write(true).open(name).expect("opens").into();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&line, size).expect("a size");
        let stdio = || Stdio::from(line.try_clone().expect("another handle"));
        let mut command = program(town.dir.path());
        command.args(arguments).env("TERM", "xterm").envs(env.iter().copied());
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().expect("it starts");
        let keys = File::from(master);
        let mut screen = keys.try_clone().expect("another handle");
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = screen.read(&mut bytes) {
                if count == 0 || sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, keys, line, output, seen: String::new() }
    }

    /// Waits until the program has written this.
    #[track_caller]
    pub(super) fn await_text(&mut self, text: &str) {
        while !self.seen.contains(text) {
            match self.output.recv_timeout(Duration::from_secs(20)) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{error}: never wrote {text:?}, but {:?}", self.seen),
            }
        }
    }

    pub(super) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// Waits for the end of a command that takes no keys; its exit code.
    pub(super) fn code(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    fn tell_to_stop(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("sent");
    }

    /// Waits for the end; the terminal must be as it was.
    #[track_caller]
    fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        self.await_text("\x1b[?1049l");
        let modes = tcgetattr(&self.line).expect("modes").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "raw mode was left on");
        (status, std::mem::take(&mut self.seen))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn town_with_an_approval() -> Town {
    let town = careful_town().await;
    town.ok(&["enqueue", "789", "--reference", "crm-17"]);
    town.run(&["run", "--until-idle"]).with_code(4);
    town
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_terminal_a_request_is_approved_with_a_key_and_its_figure() {
    let town = town_with_an_approval().await;
    let mut terminal = Terminal::start(&town, &["watch"], &[]);
    terminal.await_text("Needs you");
    terminal.await_text("no worker is running");
    terminal.press("a");
    terminal.await_text("to approve");
    terminal.press("15\r");
    terminal.await_text("approved up to 15 credits");
    terminal.press("q");
    let (status, seen) = terminal.ended();
    assert!(status.success(), "{status}");
    assert!(seen.contains("\x1b[38;5;"), "in colour");
    assert_eq!(town.request(1)["approved_credits"], 15);
    town.work();
    assert_eq!(town.request(1)["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_is_given_back_after_ctrl_c_and_after_a_signal() {
    let town = town_with_an_approval().await;
    let mut terminal = Terminal::start(&town, &["watch"], &[("NO_COLOR", "1")]);
    terminal.await_text("Needs you");
    terminal.press("\x03");
    let (status, seen) = terminal.ended();
    assert!(status.success(), "{status}");
    assert!(!seen.contains("\x1b[38;5;"), "NO_COLOR: {seen:?}");

    let mut terminal = Terminal::start(&town, &["watch"], &[]);
    terminal.await_text("Needs you");
    terminal.tell_to_stop();
    let (status, _) = terminal.ended();
    assert!(status.success() && status.signal().is_none(), "{status}");
    assert_eq!(town.request(1)["status"], "awaiting_approval");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_cannot_be_drawn_on_gets_plain_lines() {
    let town = town_with_an_approval().await;
    let mut terminal = Terminal::start(&town, &["watch"], &[("TERM", "dumb")]);
    terminal.await_text("unlockd approve 1");
    assert!(!terminal.seen.contains('\x1b'), "{:?}", terminal.seen);
    terminal.tell_to_stop();
    assert!(terminal.child.wait().expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_a_terminal_watch_prints_a_block_for_each_change() {
    let town = town_with_an_approval().await;
    let once = town.ok(&["watch", "--once"]).out;
    for fact in [
        "no worker is running",
        "balance not read yet",
        "needs you: request 1: at most 15 credits, 1 contact",
    ] {
        assert!(once.contains(fact), "{fact}: {once}");
    }
    let json = town.ok(&["watch", "--once", "--json"]).json();
    assert_eq!(strings(&json["needs"], "reason"), ["awaiting_approval"]);
    assert_eq!((&json["worker"]["running"], &json["requests"][0]["id"]), (&false.into(), &1.into()));

    let mut command = program(town.dir.path());
    let mut child = command.arg("watch").stdout(Stdio::piped()).spawn().expect("it starts");
    let mut output = std::io::BufReader::new(child.stdout.take().expect("piped"));
    let mut until = |text: &str| {
        let (mut line, mut seen) = (String::new(), String::new());
        while std::io::BufRead::read_line(&mut output, &mut line).expect("text") > 0 {
            seen.push_str(&line);
            if line.contains(text) {
                return seen;
            }
            line.clear();
        }
        panic!("it ended without {text}: {seen}");
    };
    until("request 1: awaiting_approval");
    town.ok(&["cancel", "1"]);
    until("ended: request 1 is cancelled");
    drop(output);
    // Nobody reads its next line.
    town.ok(&["enqueue", "788"]);
    assert!(child.wait().expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_a_pipe_has_one_line_for_each_row_and_no_control_characters() {
    let town = town().await;
    town.ok(&["enqueue", "789", "--reference", "\x1b[2Jred\nrequest 9: done"]);
    town.ok(&["enqueue", "788"]);
    let out = town.ok(&["requests"]).out;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].starts_with("id  status"), "{out}");
    assert!(lines[2].contains("\\x1b[2Jred\\nrequest 9: done"), "{out}");
    assert!(!town.ok(&["request", "1"]).out.contains('\x1b'));
    let error = town.run(&["enqueue", "789", "--account", "\x1b[2J\r"]).with_code(3).err;
    assert!(!error.contains(['\x1b', '\r']) && error.contains("nothing is bought"), "{error:?}");
}

/// A reference is text of another program, and people often look at an export before they store it.
#[tokio::test(flavor = "multi_thread")]
async fn results_on_a_terminal_have_no_control_characters_and_in_a_pipe_they_are_as_they_are() {
    let town = town().await;
    town.ok(&["enqueue", "789", "--reference", "\x1b]0;title\x07 \u{9b}2J \u{202e}abc"]);
    town.work();
    for command in
        [&["export"][..], &["export", "--json"], &["requests", "--json"], &["request", "1", "--json"]]
    {
        let mut terminal = Terminal::start(&town, command, &[]);
        assert!(terminal.child.wait().expect("it ends").success());
        terminal.await_text("abc");
        let seen = &terminal.seen;
        assert!(!seen.contains(['\x1b', '\x07', '\u{9b}', '\u{202e}']), "{command:?}: {seen:?}");
    }
    assert!(town.ok(&["export"]).out.contains("\x1b]0;title\x07 \u{9b}2J \u{202e}abc"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_a_terminal_is_not_wider_than_it() {
    let town = town_with(Options { task_seconds: 0.2, ..Options::default() }, "").await;
    town.ok(&["enqueue", "789", "--reference", &"long words ".repeat(30)]);
    town.work();
    for command in [&["requests"][..], &["jobs"], &["audit"], &["job", "1"]] {
        let mut terminal = Terminal::start(&town, command, &[]);
        assert!(terminal.child.wait().expect("it ends").success());
        terminal.await_text("└");
        let wide = terminal
            .seen
            .lines()
            .filter(|line| line.starts_with(['│', '┌']))
            .map(|line| line.trim_end().chars().count());
        assert!(wide.max().is_some_and(|width| width <= 80), "{command:?}: {}", terminal.seen);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_a_file_is_the_one_of_a_pipe_also_from_a_terminal() {
    let town = town().await;
    let list = ["personnel", "--event", "139574"];
    let piped = town.ok(&list).out;
    let into = |file: &str| {
        let mut terminal = Terminal::start(&town, &[&list[..], &["-o", file]].concat(), &[]);
        assert!(terminal.child.wait().expect("it ends").success());
        terminal.await_text("5 people of event 139574");
        terminal
    };
    let seen = &into("people.txt").seen;
    assert!(!seen.contains('│'), "{seen}");
    let written = std::fs::read_to_string(town.dir.path().join("people.txt")).expect("written");
    assert!(piped.starts_with("personnel_id  full_name") && written == piped, "{written}");
    into("-").await_text("└");
}
