//! The handbook and the README: every command in them exists, and every block of commands works as it stands.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use unlockd::handbook::{TOPICS, topic};

use super::*;

/// A block of code with its language, in the order of the text.
struct Block {
    language: String,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let fences = markdown.split("\n```");
    fences
        .skip(1)
        .step_by(2)
        .map(|block| {
            let (language, text) = block.split_once('\n').unwrap_or((block, ""));
            Block { language: language.to_owned(), text: text.to_owned() }
        })
        .collect()
}

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README")
}

fn texts() -> Vec<(String, String)> {
    let topics = TOPICS.iter().map(|topic| (topic.name.to_owned(), topic.text()));
    std::iter::once(("README".to_owned(), readme())).chain(topics).collect()
}

/// Each `unlockd …` in a text: in blocks for a shell, and between backticks.
fn commands(text: &str) -> Vec<String> {
    let in_blocks = blocks(text).into_iter().filter(|block| block.language.starts_with("sh"));
    let lines: Vec<String> =
        in_blocks.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let prose = text.split("\n```").step_by(2).collect::<String>();
    let between: Vec<String> =
        prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect();
    lines
        .into_iter()
        .chain(between)
        .flat_map(|line| line.split([';', '|', '#']).map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|part| Some(format!("unlockd {}", part.split_once("unlockd ")?.1)))
        .filter(|command| !command.contains(".service") && !command.contains(".toml"))
        .collect()
}

#[test]
fn every_command_and_option_of_the_handbook_exists() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    let mut help = |command: &str| -> String {
        let ask = || {
            let said = said(program(dir.path()).args([command, "--help"]).output().expect("it starts"));
            if said.code == 0 { said.out } else { String::new() }
        };
        helps.entry(command.to_owned()).or_insert_with(ask).clone()
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for (name, text) in texts() {
        for command in commands(&text) {
            let mut words = command.split_whitespace().skip(1).peekable();
            // `--database FILE` may stand before the command.
            while words.peek().is_some_and(|word| ["--database", "--config"].contains(word)) {
                words.nth(1);
            }
            let Some(verb) = words.next().filter(|verb| verb.starts_with(|first: char| first.is_lowercase()))
            else {
                continue;
            };
            let known = help(verb);
            if known.is_empty() {
                wrong.push(format!("{name}: there is no command {verb:?} ({command})"));
                continue;
            }
            seen += 1;
            let options = words.filter(|word| word.starts_with("--"));
            for option in options.map(|word| word.trim_end_matches([',', ')', '.', ':'])) {
                let option = option.split('=').next().unwrap_or_default();
                if !known.contains(option) {
                    wrong.push(format!("{name}: {verb} has no {option}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 60, "only {seen} commands found");
}

/// Whether a program is there; Node.js from version 22 on, which has SQLite.
fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| {
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
        output.status.success() && (program != "node" || major.is_some_and(|major: u32| major >= 22))
    })
}

/// Runs one text's blocks in order, in a town with a worker, as a newcomer would.
async fn walk(name: &str, text: &str, prepared: bool) -> usize {
    let town = town_with(Options { task_seconds: 0.2, ..Options::default() }, "").await;
    if prepared {
        town.ok(&["enqueue", "--event", "139574", "789", "790", "--reference", "crm"]);
        town.work();
    }
    town.file("leads.csv", "personnel_id,name\n791,A\n792,B\n");
    // The worker and the sandbox run already.
    let wrapper = format!(
        "#!/bin/sh\ncase \"$1\" in run|sandbox) exit 0;; esac\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_unlockd")
    );
    let bin = town.dir.path().join("bin");
    std::fs::create_dir(&bin).expect("made");
    std::fs::write(bin.join("unlockd"), wrapper).expect("written");
    std::fs::set_permissions(bin.join("unlockd"), PermissionsExt::from_mode(0o755)).expect("allowed");
    let path = std::env::var("PATH").unwrap_or_default();
    let _worker = town.daemon();
    let mut ran = 0;
    for block in blocks(text) {
        let (program, arguments, script) = match block.language.as_str() {
            "sh" => {
                let lines = block.text.lines().filter(|line| !line.starts_with("cargo "));
                ("bash", "-euo pipefail -c", lines.collect::<Vec<_>>().join("\n"))
            }
            "python" if has("python3") => ("python3", "-c", block.text),
            "js" if has("node") => ("node", "--no-warnings -e", block.text),
            "sql" => {
                let done = town.db().await.run(&block.text).await;
                done.unwrap_or_else(|error| panic!("{name}: {error} in {}", block.text));
                ran += 1;
                continue;
            }
            _ => continue,
        };
        let output = Command::new(program)
            .args(arguments.split(' '))
            .arg(&script)
            .current_dir(town.dir.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", bin.display()))
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let said = said(output);
        assert_eq!(said.code, 0, "{name}:\n{script}\nout: {}\nerr: {}", said.out, said.err);
        ran += 1;
    }
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work_in_their_order() {
    if postgres::has_no("file that the programs of the README could open") {
        return;
    }
    assert!(walk("README", &readme(), false).await >= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_each_topic_work_in_their_order() {
    if postgres::has_no("file that the programs of the handbook could open") {
        return;
    }
    let mut ran = 0;
    for topic in TOPICS {
        let prepared = ["results", "money"].contains(&topic.name);
        ran += walk(topic.name, &topic.text(), prepared).await;
    }
    assert!(ran >= 6, "only {ran} blocks ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_shows_topics_and_commands() {
    let town = town().await;
    let list = town.ok(&["help"]).out;
    for topic in TOPICS {
        assert!(list.contains(topic.name) && list.contains(topic.about), "{list}");
        assert_eq!(town.ok(&["help", topic.name]).out.lines().next(), topic.text().lines().next());
    }
    assert!(town.ok(&["help", "enqueue"]).out.contains("--reference"));
    let wrong = town.run(&["help", "mony"]).with_code(2);
    assert!(wrong.err.contains("there is no topic and no command \"mony\""), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handbook_is_written_as_manual_pages_of_section_7() {
    let town = town().await;
    town.ok(&["man", "--section", "7", "--dir", "."]);
    let page = std::fs::read_to_string(town.dir.path().join("unlockd-money.7")).expect("written");
    assert!(page.starts_with(".TH") || page.contains("\n.TH"), "{page}");
    assert!(topic("money").is_some_and(|money| page.contains(money.title())));
    town.run(&["man", "--section", "8", "--dir", "."]).with_code(2);
}
