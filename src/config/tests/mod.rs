//! The configuration as its users see it: its layers here, and each other rule in its own file.

mod changes;
mod defaults;
mod messages;
mod schema;
mod secrets;

use std::fs;

use super::*;

/// A separate directory with an `unlockd.toml` of this content, and nothing else to read.
struct Place {
    dir: tempfile::TempDir,
    inputs: Inputs,
}

fn place(file: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("unlockd.toml"), file).unwrap();
    let inputs = Inputs {
        cwd: dir.path().to_owned(),
        system_file: dir.path().join("etc/unlockd.toml"),
        ..Inputs::default()
    };
    Place { dir, inputs }
}

impl Place {
    fn env(mut self, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        self.inputs.env.extend(variables);
        self
    }

    fn load(&self) -> Config {
        load(&self.inputs).unwrap_or_else(|e| panic!("{e}"))
    }

    fn error(&self) -> String {
        let error = load(&self.inputs).unwrap_err();
        let cause = std::error::Error::source(&error);
        assert!(cause.is_none(), "the message is complete by itself");
        let said = error.to_string();
        assert!(!format!("{error:?} {said}").contains("canary"), "{error:?}");
        said.replace(&self.dir.path().display().to_string(), "DIR")
    }
}

#[test]
fn each_layer_wins_over_the_earlier_one() {
    let size = |p: &Place| p.load().submit.batch_size;
    assert_eq!(size(&place("")), 100);
    let file = "database = 'file.db'\n[submit]\nbatch_size = 7\n[log]\nlevel = 'warn'";
    assert_eq!(size(&place(file)), 7);
    let mut p = place(file).env(&[
        ("UNLOCKD_SUBMIT__BATCH_SIZE", "8"),
        ("UNLOCKD_DATABASE", "env.db"),
        ("UNLOCKD_LOG__LEVEL", "debug"),
    ]);
    let c = p.load();
    assert_eq!((c.submit.batch_size, c.database, c.log.level.as_str()), (8, "env.db".into(), "debug"));
    p.inputs.overrides = Overrides { database: Some("flag.db".into()), log_level: Some("trace".into()) };
    let c = p.load();
    assert_eq!((c.submit.batch_size, c.database, c.log.level.as_str()), (8, "flag.db".into(), "trace"));
    assert!(c.submit.precheck, "what no later layer names stays");
}

#[test]
fn one_file_is_read_the_most_particular() {
    let mut p = place("[submit]\nbatch_size = 1");
    for (name, size) in [("flag.toml", 2), ("env.toml", 3), ("etc/unlockd.toml", 4)] {
        fs::create_dir_all(p.dir.path().join("etc")).unwrap();
        fs::write(p.dir.path().join(name), format!("[submit]\nbatch_size = {size}")).unwrap();
    }
    let read = |p: &Place| {
        let c = p.load();
        let origin = c.origin.map(|o| o.strip_prefix(p.dir.path()).unwrap().display().to_string());
        (c.submit.batch_size, origin.unwrap_or_default())
    };
    assert_eq!(read(&p), (1, "unlockd.toml".to_owned()));
    p.inputs.env = vec![("UNLOCKD_CONFIG".to_owned(), "env.toml".to_owned())];
    assert_eq!(read(&p), (3, "env.toml".to_owned()));
    p.inputs.file = Some("flag.toml".into());
    assert_eq!(read(&p), (2, "flag.toml".to_owned()));
    (p.inputs.file, p.inputs.env) = (None, vec![("UNLOCKD_CONFIG".to_owned(), String::new())]);
    fs::remove_file(p.dir.path().join("unlockd.toml")).unwrap();
    assert_eq!(read(&p), (4, "etc/unlockd.toml".to_owned()));
    fs::remove_file(p.dir.path().join("etc/unlockd.toml")).unwrap();
    assert_eq!(read(&p), (100, String::new()));
}

#[test]
fn a_named_file_must_exist() {
    let mut p = place("").env(&[("UNLOCKD_CONFIG", "gone.toml")]);
    let said = p.error();
    assert!(
        said.starts_with(
            "cannot read the configuration file DIR/gone.toml (named by environment variable UNLOCKD_CONFIG)"
        ),
        "{said}"
    );
    p.inputs.file = Some("lost.toml".into());
    let said = p.error();
    assert!(
        said.starts_with(
            "cannot read the configuration file DIR/lost.toml (named by --config): No such file"
        ),
        "{said}"
    );
}

/// A running configuration whose file is replaced in several steps, or lost.
#[test]
fn a_file_in_force_that_is_gone_or_empty_is_an_error_and_no_other_takes_its_place() {
    let p = place("credits.daily_limit = 5");
    fs::create_dir_all(p.dir.path().join("etc")).unwrap();
    fs::write(p.dir.path().join("etc/unlockd.toml"), "").unwrap();
    let file = p.dir.path().join("unlockd.toml");
    let running = p.load();
    let said = |p: &Place| {
        let said = reload(&p.inputs, &running).unwrap_err().to_string();
        said.replace(&p.dir.path().display().to_string(), "DIR")
    };
    assert!(reload(&p.inputs, &running).is_ok());
    fs::remove_file(&file).unwrap();
    let gone = "cannot read the configuration file DIR/unlockd.toml (which is in force): No such file";
    assert!(said(&p).starts_with(gone), "{}", said(&p));
    fs::create_dir(&file).unwrap();
    assert!(said(&p).contains("(which is in force): Is a directory"), "{}", said(&p));
    fs::remove_dir(&file).unwrap();
    for empty in ["", " \n\n", "\u{feff}"] {
        fs::write(&file, empty).unwrap();
        assert_eq!(said(&p), "the configuration file DIR/unlockd.toml is empty now", "{empty:?}");
    }
    // At the start an empty file is one without keys, and so is one with comments only.
    assert_eq!(p.load().credits.daily_limit, None);
    fs::write(&file, "# nothing of all that any more\n").unwrap();
    assert_eq!(reload(&p.inputs, &running).unwrap().credits.daily_limit, None);
    // A program that started with an empty file continues with it.
    fs::write(&file, "").unwrap();
    let empty = p.load();
    assert!(reload(&p.inputs, &empty).is_ok());
    // A program that started without a file uses the first that appears.
    fs::remove_file(&file).unwrap();
    fs::remove_file(p.dir.path().join("etc/unlockd.toml")).unwrap();
    let without = p.load();
    fs::write(&file, "credits.daily_limit = 6").unwrap();
    assert_eq!(reload(&p.inputs, &without).unwrap().credits.daily_limit, Some(6));
}

#[test]
fn variables_that_are_not_keys_are_left_alone() {
    let p = place("").env(&[
        ("RUST_LOG", "trace"),
        ("UNLOCKD_PORT", "tcp://10.0.0.1:8787"),
        ("UNLOCKD_PORT_8787_TCP_ADDR", "10.0.0.1"),
        ("UNLOCKD_SERVICE_HOST", "10.0.0.1"),
        ("UNLOCKD_METRICS_PORT", "tcp://10.0.48.109:9106"),
        ("UNLOCKD_METRICS_SERVICE_PORT_HTTP", "9106"),
        ("unlockd_database", "x"),
        ("MY_UNLOCKD_DATABASE", "x"),
    ]);
    assert!(changes(&p.load(), &place("").load()).is_empty());
}

#[test]
fn an_empty_text_unsets_what_an_earlier_layer_set() {
    let p = place("inbox.database = '/i'\ncredits.daily_limit = 5\nretention.contacts = '1h'").env(&[
        ("UNLOCKD_INBOX__DATABASE", ""),
        ("UNLOCKD_CREDITS__DAILY_LIMIT", ""),
        ("UNLOCKD_RETENTION__CONTACTS", ""),
        ("UNLOCKD_HTTP__LISTEN", ""),
    ]);
    let c = p.load();
    assert_eq!((c.inbox.database, c.credits.daily_limit, c.retention.contacts), (None, None, None));
    assert_eq!(c.http.listen, "");
    let p =
        place("http.listen = '0.0.0.0:1'\nhttp.token_file = '/t'").env(&[("UNLOCKD_HTTP__TOKEN_FILE", "")]);
    assert!(p.error().starts_with("http.listen"));
}

#[test]
fn the_inbox_in_the_main_database_is_no_second_file() {
    assert_eq!(place("database = '/d'\ninbox.database = '/d'").load().inbox.database, None);
    assert_eq!(place("database = '/d'\ninbox.database = '/i'").load().inbox.database, Some("/i".into()));
}
