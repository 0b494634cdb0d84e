//! The configuration as its users meet it: layers, messages, secrets, changes.

use std::fs;

use super::{
    keys::{self, KEYS},
    layers::DEFAULTS,
    *,
};
use secrecy::ExposeSecret;

/// A directory of its own with an `unlockd.toml` of this content, and nothing else to read.
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

fn key_of<'a>(config: &'a Config, account: &str) -> &'a str {
    config.accounts[account].api_key.as_ref().unwrap().expose_secret()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let c = place("").load();
    let s = Duration::from_secs;
    assert_eq!(c.database, PathBuf::from("unlockd.db"));
    assert_eq!(c.api.base_url, "https://platform.lensmor.com");
    assert_eq!((c.api.call_source, c.api.timeout), (CallSource::Api, s(30)));
    assert_eq!(c.accounts.keys().collect::<Vec<_>>(), ["default"]);
    assert!(read_key(&c.accounts["default"]).unwrap().is_none());
    assert_eq!((c.inbox.watch, c.inbox.interval, c.inbox.database), (true, s(1), None));
    assert_eq!(c.polling.steps, [s(3), s(5), s(10)]);
    assert_eq!(c.polling.give_up_after, s(24 * 3600));
    assert_eq!((c.submit.batch_size, c.submit.precheck), (100, true));
    assert_eq!((c.submit.verify_after, c.submit.decide_after), (s(30), s(15 * 60)));
    assert_eq!((c.credits.approve_above, c.credits.min_balance, c.credits.daily_limit), (1500, 0, None));
    let p = &c.credits.price;
    assert_eq!((p.email, p.phone, p.event, p.search), (15, 150, 2000, 50));
    assert_eq!(c.rate_limit.per_minute, 120);
    assert_eq!((c.http.listen.as_str(), c.http.token_file), ("127.0.0.1:8787", None));
    assert_eq!((c.notify.url, c.notify.secret_file), (None, None));
    assert_eq!(c.retention.contacts, None);
    assert_eq!((c.log.format, c.log.level.as_str()), (LogFormat::Auto, "info"));
}

/// `default.toml` with its commented-out keys made real.
fn defaults_uncommented() -> String {
    let is_key = |rest: &str| {
        let name = rest.split(" = ").next().unwrap_or_default();
        rest.contains(" = ") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    DEFAULTS.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Each key of `default.toml` with the comment above it.
fn documented() -> Vec<(String, String)> {
    let (mut group, mut comment, mut found) = (String::new(), String::new(), Vec::new());
    for line in defaults_uncommented().lines() {
        if let Some(name) = line.strip_prefix('[') {
            group = format!("{}.", name.trim_end_matches(']').replace("default", "*"));
        } else if line.starts_with('#') {
            comment += line;
            continue;
        } else if let Some((name, _)) = line.split_once(" = ") {
            found.push((format!("{group}{name}"), std::mem::take(&mut comment)));
        }
        comment.clear();
    }
    found
}

#[test]
fn the_default_file_explains_every_key_and_no_other() {
    let documented = documented();
    let mut names: Vec<&str> = documented.iter().map(|(name, _)| name.as_str()).collect();
    let mut known: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
    for (name, comment) in &documented {
        let live = KEYS.iter().any(|key| key.path == name && key.live);
        assert!(comment.len() > 10, "{name} has no comment");
        assert_eq!(comment.contains("(live)"), live, "{name}");
    }
}

#[test]
fn the_examples_in_the_default_file_are_valid() {
    let said = place(&defaults_uncommented()).error();
    // Both ways to give a key are shown, and only that is wrong with it.
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("keep one of the two"), "{said}");
}

#[test]
fn a_copy_of_the_default_file_changes_nothing() {
    let (ours, copy) = (place("").load(), place(DEFAULTS).load());
    assert!(changes(&ours, &copy).is_empty());
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

#[test]
fn a_syntax_error_names_file_and_line_and_shows_no_content() {
    for (text, line) in [
        ("[accounts.default]\napi_key = \"canary\n", 2),
        ("[accounts.default]\n\napi_key = canary\n", 3),
        ("[submit]\nbatch_size = 1\nbatch_size = 2\n", 3),
    ] {
        let said = place(text).error();
        assert!(said.starts_with(&format!("DIR/unlockd.toml, line {line}, column ")), "{said}");
        assert!(said.split(": ").nth(1).is_some_and(|reason| reason.len() > 5), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// What is in the file, and what is said about it; FILE stands for the origin.
const ABOUT_THE_FILE: &str = r#"
submit.batch_size = 0 -> submit.batch_size = 0 FILE: must be between 1 and 2000
submit.batch_size = '9' -> submit.batch_size = "9" FILE: must be a whole number, between 1 and 2000
submit.batch_size = 1.5 -> submit.batch_size = 1.5 FILE: must be a whole number, between 1 and 2000
submit.precheck = 1 -> submit.precheck = 1 FILE: must be true or false
submit.verify_after = '0s' -> submit.verify_after = "0s" FILE: must be longer than zero
api.timeout = 30 -> api.timeout = 30 FILE: must be a whole number and a unit, ms, s, m or h, such as "250ms", "3s", "5m" or "24h"
database = '' -> database = "" FILE: must be the path of a file
database.path = 'x' -> database = a table FILE: must be a text in quotes
api.call_source = 'web' -> api.call_source = "web" FILE: must be "api" or "agent"
api.base_url = 'http://example.com' -> api.base_url = "http://example.com" FILE: must be an https:// address, or http:// to a loopback host (127.0.0.1, [::1], localhost)
api.base_url = 'https://u:canary@example.com' -> api.base_url FILE: must not contain a user name or password
polling.steps = [] -> polling.steps = [] FILE: must be a list of at least one duration, such as ["3s", "5s", "10s"]
credits.approve_above = -1 -> credits.approve_above = -1 FILE: must be 0 or more
credits.daily_limit = -1 -> credits.daily_limit = -1 FILE: must be 0 or more
credits.price.email = 0 -> credits.price.email = 0 FILE: must be between 1 and 1000000000
rate_limit.per_minute = 100001 -> rate_limit.per_minute = 100001 FILE: must be between 1 and 100000
http.listen = '0.0.0.0:80' -> http.listen = "0.0.0.0:80" FILE: is not a loopback address, so others can reach it: set http.token_file too, or listen on 127.0.0.1
notify.url = 'https://example.com/canary' -> notify.url FILE: needs notify.secret_file, a file with the secret that signs each message
log.format = 'xml' -> log.format = "xml" FILE: must be "auto", "pretty" or "json"
submit = 5 -> submit FILE: is a table of keys, not a value
submit.batch_sise = 5 -> submit.batch_sise FILE: there is no such key; did you mean submit.batch_size?
nonsense_of_some_length = 5 -> nonsense_of_some_length FILE: there is no such key; see config/default.toml for all keys
accounts.'a b'.api_key = 'canary' -> accounts."a b" FILE: an account name must be 1 to 64 letters, digits, "_" or "-"
"new\nline" = 5 -> "new\nline" FILE: there is no such key; see config/default.toml for all keys
"#;

/// The same for one environment variable, by name and value.
const ABOUT_THE_ENVIRONMENT: &str = r#"
UNLOCKD_SUBMIT__BATCH_SIZE=5000 -> submit.batch_size = 5000 (from environment variable UNLOCKD_SUBMIT__BATCH_SIZE): must be between 1 and 2000
UNLOCKD_POLLING__STEPS=3s -> polling.steps = "3s" (from environment variable UNLOCKD_POLLING__STEPS): must be a list of at least one duration, such as ["3s", "5s", "10s"]
UNLOCKD_SUBMIT_BATCH_SIZE=5 -> UNLOCKD_SUBMIT_BATCH_SIZE (from the environment): there is no such key; did you mean UNLOCKD_SUBMIT__BATCH_SIZE?
UNLOCKD_API_KEY=canary -> UNLOCKD_API_KEY (from the environment): there is no such key; did you mean UNLOCKD_ACCOUNTS__DEFAULT__API_KEY?
UNLOCKD_ACCOUNTS__DEFAULT=canary -> UNLOCKD_ACCOUNTS__DEFAULT (from the environment): is a table of keys, not a value: add two underscores and a key
UNLOCKD_DATABASE=�.db -> UNLOCKD_DATABASE (from the environment): is not valid UTF-8
UNLOCKD___=x -> UNLOCKD___ (from the environment): there is no such key; see config/default.toml for all keys
"#;

#[test]
fn each_message_names_key_value_origin_and_remedy() {
    for line in ABOUT_THE_FILE.trim().lines() {
        let (text, said) = line.split_once(" -> ").unwrap();
        let said = said.replacen("FILE", "(from DIR/unlockd.toml)", 1);
        assert_eq!(place(text).error(), said);
    }
    for line in ABOUT_THE_ENVIRONMENT.trim().lines() {
        let (variable, said) = line.split_once(" -> ").unwrap();
        assert_eq!(place("").env(&[variable.split_once('=').unwrap()]).error(), said);
    }
    let mut p = place("");
    p.inputs.overrides.log_level = Some("inof".to_owned());
    let said = p.error();
    let origin = "log.level = \"inof\" (from the command line, --log-level): must be error, warn,";
    assert!(said.starts_with(origin), "{said}");
}

#[test]
fn several_mistakes_are_reported_at_once() {
    let p = place("colour = 1\n[submit]\nbatch_size = 0\nverify_after = 30")
        .env(&[("UNLOCKD_LOG__FORMAT", "xml")]);
    let said = p.error();
    assert_eq!(said.lines().count(), 4, "{said}");
    for key in ["colour", "submit.batch_size", "submit.verify_after", "log.format"] {
        assert!(said.lines().any(|line| line.starts_with(&format!("{key} "))), "{key}: {said}");
    }
}

#[test]
fn keys_in_the_environment_survive_verbatim() {
    for key in ["007", "true", "{x=1}", "[1]", "\"quoted\"", "1e5", "null"] {
        let p = place("").env(&[("UNLOCKD_ACCOUNTS__DEFAULT__API_KEY", key)]);
        assert_eq!(key_of(&p.load(), "default"), key);
    }
    let p = place("").env(&[("UNLOCKD_DATABASE", "007"), ("UNLOCKD_HTTP__TOKEN_FILE", "true")]);
    let c = p.load();
    assert_eq!((c.database, c.http.token_file), ("007".into(), Some("true".into())));
}

#[test]
fn lensmor_api_key_serves_default_when_nothing_else_does() {
    let lensmor = ("LENSMOR_API_KEY", "007");
    assert_eq!(key_of(&place("").env(&[lensmor]).load(), "default"), "007");
    assert_eq!(key_of(&place("accounts.default.api_key = 'own'").env(&[lensmor]).load(), "default"), "own");
    let with_file = place("accounts.default.api_key_file = '/k'").env(&[lensmor]).load();
    assert!(with_file.accounts["default"].api_key.is_none());
    assert_eq!(key_of(&place("accounts.default.api_key_file = ''").env(&[lensmor]).load(), "default"), "007");
    assert!(place("").env(&[("LENSMOR_API_KEY", "")]).load().accounts["default"].api_key.is_none());
    let other = place("accounts.crm.api_key = 'own'").env(&[lensmor]).load();
    assert_eq!((key_of(&other, "default"), key_of(&other, "crm")), ("007", "own"));
}

#[test]
fn no_secret_shows_in_debug_output_or_messages() {
    let text = "[accounts.default]\napi_key = 'canary-1'\n[accounts.crm]\napi_key = 'canary-2'\n\
                [notify]\nurl = 'https://hooks.example/canary-3'\nsecret_file = '/s'";
    let p = place(text).env(&[("LENSMOR_API_KEY", "canary-4"), ("UNLOCKD_ACCOUNTS__X__API_KEY", "canary-5")]);
    let shown = format!("{:?} {:#?} {:?}", p.load(), p.load(), p.inputs);
    assert!(!shown.contains("canary"), "{shown}");
    // `error` itself looks for the canary.
    for bad in ["canary blank", "canary\u{1b}", "canaryé"] {
        let said = place("").env(&[("UNLOCKD_ACCOUNTS__DEFAULT__API_KEY", bad)]).error();
        assert!(said.starts_with("accounts.default.api_key (from environment variable UNLOCKD_ACCOUNTS__DEFAULT__API_KEY): is not usable"), "{said}");
        let said = place("").env(&[("LENSMOR_API_KEY", bad)]).error();
        assert!(
            said.starts_with(
                "accounts.default.api_key (from environment variable LENSMOR_API_KEY): is not usable"
            ),
            "{said}"
        );
    }
    for bad in [
        "accounts.default.api_key = ['canary']",
        "accounts.default.api_key.canary = 1",
        "accounts.default = 'canary'",
        "accounts = 'canary'",
    ] {
        place(bad).error();
    }
    let said = place("accounts.default.api_key = 12345").error();
    assert!(!said.contains("12345"), "{said}");
}

#[test]
fn a_key_and_a_key_file_for_one_account_are_refused() {
    let p = place("[accounts.crm]\napi_key = 'canary'").env(&[("UNLOCKD_ACCOUNTS__CRM__API_KEY_FILE", "/k")]);
    assert_eq!(
        p.error(),
        "accounts.crm.api_key (from DIR/unlockd.toml): accounts.crm.api_key_file is set too (from environment variable \
         UNLOCKD_ACCOUNTS__CRM__API_KEY_FILE): keep one of the two and remove the other"
    );
}

#[test]
fn the_environment_finds_an_account_whatever_its_capitals_and_underscores() {
    let p = place("[accounts.CRM__Two]\n")
        .env(&[("UNLOCKD_ACCOUNTS__CRM__TWO__API_KEY", "k1"), ("UNLOCKD_ACCOUNTS__NEW__API_KEY", "k2")]);
    let c = p.load();
    assert_eq!((key_of(&c, "CRM__Two"), key_of(&c, "new")), ("k1", "k2"));
    assert_eq!(c.accounts.keys().collect::<Vec<_>>(), ["CRM__Two", "default", "new"]);
}

#[test]
fn variables_that_are_not_keys_are_left_alone() {
    let p = place("").env(&[
        ("RUST_LOG", "trace"),
        ("UNLOCKD_PORT", "tcp://10.0.0.1:8787"),
        ("UNLOCKD_PORT_8787_TCP_ADDR", "10.0.0.1"),
        ("UNLOCKD_SERVICE_HOST", "10.0.0.1"),
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

/// One other value for each key.
fn another(path: &str) -> &'static str {
    match path {
        "api.base_url" => "http://localhost:1",
        "api.call_source" => "agent",
        "inbox.watch" | "submit.precheck" => "false",
        "polling.steps" => "[\"1s\"]",
        "http.listen" => "127.0.0.1:1",
        "notify.url" => "https://example.com/",
        "log.format" => "json",
        "log.level" => "debug",
        "database" | "inbox.database" | "http.token_file" | "notify.secret_file" => "/other",
        p if p.starts_with("accounts") => "other",
        p if p.ends_with("size") || p.starts_with("credits") || p.starts_with("rate") => "42",
        _ => "42s",
    }
}

#[test]
fn every_key_is_settable_from_the_environment_and_its_change_is_seen() {
    for key in KEYS {
        let path = key.path.replace('*', "default");
        let env = [("UNLOCKD_NOTIFY__SECRET_FILE", "/secret")];
        let old = place("").env(&env);
        let mut new = place("").env(&env);
        new.inputs.env.retain(|(name, _)| *name != keys::env_name(&path));
        let new = new.env(&[(&keys::env_name(&path), another(key.path))]);
        let seen = changes(&old.load(), &new.load());
        let (named, other) =
            if key.live { (seen.live, seen.needs_restart) } else { (seen.needs_restart, seen.live) };
        // A key file takes the place of a key: both are keys, and both are live.
        assert!(named.contains(&key.path), "{path}: {named:?}");
        assert!(other.is_empty(), "{path}: {other:?}");
    }
}

#[test]
fn what_is_live_is_what_the_contract_says() {
    let live = |path: &str| {
        let groups = ["inbox.", "polling.", "credits.", "rate_limit.", "accounts."];
        path == "log.level" || (path != "inbox.database" && groups.iter().any(|g| path.starts_with(g)))
    };
    for key in KEYS {
        assert_eq!(key.live, live(key.path), "{}", key.path);
    }
}

#[test]
fn an_account_that_comes_or_goes_is_a_live_change() {
    let (without, with) = (place("").load(), place("[accounts.crm]").load());
    assert_eq!(changes(&without, &with).live, ["accounts.*.api_key"]);
    let (one, two) = (place("accounts.a.api_key = '1'").load(), place("accounts.a.api_key = '2'").load());
    assert_eq!(changes(&one, &two).live, ["accounts.*.api_key"]);
    assert!(changes(&one, &one.clone()).is_empty());
}

/// No file makes the reader panic, and no error repeats a key.
#[test]
fn fuzz_config() {
    const CANARY: &str = "canary-0123456789";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let inputs = Inputs {
        cwd: folder.path().to_owned(),
        system_file: folder.path().join("none.toml"),
        ..Inputs::default()
    };
    crate::fuzz::run("config", |bytes| {
        std::fs::write(folder.path().join("unlockd.toml"), bytes).expect("it is written");
        match load(&inputs) {
            Ok(config) => assert!(!format!("{config:?}").contains(CANARY)),
            Err(error) => {
                let shown = format!("{error} {error:?}");
                // Outside of a key it is text like any other.
                let text = String::from_utf8_lossy(bytes);
                let is_key = text
                    .lines()
                    .filter(|line| line.contains(CANARY))
                    .all(|line| line.starts_with("api_key = "));
                assert!(!is_key || !shown.contains(CANARY), "{shown}");
            }
        }
    });
}
