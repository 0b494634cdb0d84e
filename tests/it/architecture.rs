//! The top level is a short list, imports go one way, and SQL is in one place.

use std::path::{Path, PathBuf};

/// All Rust sources below a folder.
pub(crate) fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Files of a module (`src/NAME/…` or `src/NAME.rs`) with the code before their unit tests.
fn module(name: &str) -> Vec<(PathBuf, String)> {
    files_of(|path: &PathBuf| {
        let path =
            path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("inside").to_string_lossy().into_owned();
        path.starts_with(&format!("src/{name}/")) || path == format!("src/{name}.rs")
    })
}

fn files_of(wanted: impl Fn(&PathBuf) -> bool) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let before_tests = code.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
        (path, before_tests)
    };
    files.into_iter().filter(wanted).map(read).collect()
}

#[test]
fn imports_go_one_way() {
    let all = [
        "api", "cli", "clock", "config", "domain", "handbook", "http", "logs", "metrics", "sandbox", "store",
        "worker",
    ];
    let may_use: [(&str, &[&str]); 8] = [
        ("domain", &["domain"]),
        ("sandbox", &["sandbox"]),
        ("store", &["store", "domain", "metrics"]),
        ("api", &["api", "domain"]),
        ("worker", &["worker", "api", "clock", "config", "domain", "store"]),
        ("config", &["config"]),
        ("handbook", &["handbook"]),
        ("http", &["http", "clock", "config", "domain", "handbook", "metrics", "store", "worker"]),
    ];
    for (name, allowed) in may_use {
        let files = module(name);
        assert!(!files.is_empty(), "{name} is gone");
        for (path, code) in files {
            for other in all.iter().filter(|other| !allowed.contains(other)) {
                assert!(!code.contains(&format!("crate::{other}")), "{} uses {other}", path.display());
            }
        }
    }
}

/// Files of the whole program, with their paths below `src`.
fn program() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let below = |path: PathBuf| path.strip_prefix(&root).expect("inside").to_string_lossy().into_owned();
    files_of(|_| true).into_iter().map(|(path, code)| (below(path), code)).collect()
}

/// They panic when standard output or standard error is closed or full.
#[test]
fn nothing_is_printed_by_what_panics_without_a_reader() {
    for (path, code) in
        program().into_iter().filter(|(path, _)| !["build.rs", "fuzz.rs"].contains(&path.as_str()))
    {
        for word in ["println!", "print!(", "dbg!("] {
            assert!(!code.contains(word), "{path} has {word}");
        }
    }
}

#[test]
fn sql_and_its_driver_are_in_the_store_only() {
    for (path, code) in program().into_iter().filter(|(path, _)| !path.starts_with("store/")) {
        for word in [
            "sqlx::",
            "store::sqlite",
            ".sqlite()",
            "\"select ",
            "\"insert into",
            "\"update ",
            "\"delete from",
        ] {
            assert!(!code.contains(word), "{path} has {word}");
        }
    }
}

/// Only one file writes the ledger and the committed credits of requests, and it has one function for it.
#[test]
fn one_function_of_the_store_books_money() {
    let books = ["insert into ledger", "committed_credits ="];
    let mut found = Vec::new();
    for name in ["api", "cli", "http", "store", "worker"] {
        for (path, code) in module(name) {
            let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("inside").display().to_string();
            found.extend(books.iter().filter(|word| code.contains(**word)).map(|word| (path.clone(), *word)));
        }
    }
    let only = "src/store/credits/booking.rs";
    assert_eq!(found, books.map(|word| (only.to_owned(), word)));
    let (_, code) = module("store").into_iter().find(|(path, _)| path.ends_with(only)).expect("there");
    let open = code.split("pub").skip(1).filter_map(|after| after.split('(').next()).collect::<Vec<_>>();
    assert_eq!(open, [" async fn read", " async fn payers", " async fn write"]);
}

#[test]
fn the_store_calls_the_driver_in_one_place_and_in_the_rooms_of_the_engines() {
    let is_apart = |path: &str| {
        path == "store/sql.rs" || path.starts_with("store/sqlite/") || path.starts_with("store/postgres/")
    };
    for (path, code) in program().into_iter().filter(|(path, _)| path.starts_with("store/")) {
        assert!(is_apart(&path) || !code.contains("sqlx::query"), "{path} calls the driver");
    }
}

/// A network that is cut tells nobody. A proof, a migration and a copy have one limit for all of their steps, or a person
/// who watches.
#[test]
fn each_wait_for_an_answer_of_postgresql_has_a_limit() {
    let of_all_steps = ["proof.rs", "open.rs", "copy.rs"];
    let mut waits = 0;
    for (path, code) in program().into_iter().filter(|(path, _)| path.starts_with("store/postgres/")) {
        if of_all_steps.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        for statement in code.split(';') {
            let asks = [".execute(", ".fetch_"].iter().any(|word| statement.contains(word));
            waits += usize::from(asks);
            assert!(!asks || statement.contains("limited"), "{path} may wait for ever: {statement}");
        }
    }
    assert!(waits > 20, "only {waits} are found");
}

/// The values that the store's statements write: the text between `set` and what follows it.
fn written(code: &str) -> Vec<String> {
    let one_line = |literal: &str| literal.split_whitespace().collect::<Vec<_>>().join(" ");
    let literals = code.split('"').skip(1).step_by(2).map(one_line);
    let updates = literals.filter(|literal| literal.contains("update "));
    updates
        .filter_map(|literal| {
            let (before, after) = literal.split_once(" set ")?;
            let table = before.rsplit(' ').next().unwrap_or_default();
            let columns = after.split(" where ").next().unwrap_or_default();
            Some(format!("{table}: {columns}"))
        })
        .collect()
}

/// The state machines of `domain` decide the next state of a request, an item or a job; a statement writes
/// the state it is given, and only one statement writes the states of each table.
#[test]
fn no_statement_names_the_state_that_it_sets() {
    let all: Vec<String> = module("store").iter().flat_map(|(_, code)| written(code)).collect();
    assert!(all.len() > 15, "{} statements found", all.len());
    for columns in &all {
        for word in ["state = '", "status = '", "outcome = '", "state_reason = '", "else '", "then '"] {
            assert!(!columns.contains(word), "{columns}");
        }
    }
    for (table, column) in
        [("requests", "status ="), ("items", "state ="), ("items", "outcome ="), ("jobs", "state =")]
    {
        let count =
            all.iter().filter(|set| set.starts_with(&format!("{table}: ")) && set.contains(column)).count();
        assert_eq!(count, 1, "statements that write {column} of {table}");
    }
}

/// A file has one story. Clippy watches over the length of functions; this watches over files, without their tests.
#[test]
fn no_file_is_longer_than_300_lines_before_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 300, "{} files found", files.len());
    let is_test = |path: &PathBuf| {
        path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
    };
    for path in files.iter().filter(|path| !is_test(path)) {
        let text = std::fs::read_to_string(path).expect("readable");
        let lines: Vec<&str> = text.lines().collect();
        let begins_tests = |two: &[&str]| two[0] == "#[cfg(test)]" && two[1].ends_with("mod tests {");
        let before = lines.windows(2).position(begins_tests).unwrap_or(lines.len());
        assert!(before <= 300, "{} has {before} lines before its tests", path.display());
    }
}

#[test]
fn the_core_knows_no_io_no_clock_and_no_runtime() {
    for (path, code) in module("domain") {
        for word in
            ["async fn", "tokio::", "reqwest", "sqlx", "tracing::", "std::fs", "std::env", "SystemTime"]
        {
            assert!(!code.contains(word), "{} has {word}", path.display());
        }
    }
}

/// Files that a build or a trial run leaves are in `.gitignore`; settings of tools begin with a dot.
#[test]
fn the_visible_top_level_is_a_short_list() {
    let is_left_behind = |name: &str| name == "target" || name.contains(".db");
    let mut found: Vec<String> = std::fs::read_dir(env!("CARGO_MANIFEST_DIR"))
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !is_left_behind(name))
        .collect();
    found.sort();
    let wanted = [
        "Cargo.lock",
        "Cargo.toml",
        "Dockerfile",
        "LICENSE",
        "README.md",
        "config",
        "migrations",
        "src",
        "tests",
    ];
    assert_eq!(found, wanted);
}

/// The map on top of `src/lib.rs` sends people to files and names: each of them exists.
#[test]
fn the_map_of_the_code_names_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = std::fs::read_to_string(root.join("lib.rs")).expect("readable");
    let quoted = map
        .lines()
        .filter(|line| line.starts_with("//!"))
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let places: Vec<(&str, &str)> = quoted
        .filter_map(|text| match text.split_once(": ") {
            Some((file, name)) => file.ends_with(".rs").then_some((file, name)),
            None => text.ends_with(".rs").then_some((text, "")),
        })
        .collect();
    assert!(places.len() > 50, "the map was not found: {places:?}");
    for (file, name) in places {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|_| panic!("{file} is gone"));
        let forms = [
            format!("fn {name}("),
            format!("fn {name}<"),
            format!("struct {name} "),
            format!("struct {name}<"),
            format!("struct {name}("),
            format!("enum {name} "),
            format!("\n    {name} {{"),
        ];
        assert!(name.is_empty() || forms.iter().any(|form| text.contains(form)), "{file} has no {name}");
    }
}
