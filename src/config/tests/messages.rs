//! The messages about mistakes: key, value, origin, and the fix.

use super::*;

#[test]
fn a_syntax_error_names_file_and_line_and_shows_no_content() {
    for (text, line, column) in [
        ("[accounts.default]\napi_key = \"canary\n", 2, 18),
        ("[accounts.default]\n\napi_key = canary\n", 3, 11),
        ("[submit]\nbatch_size = 1\nbatch_size = 2\n", 3, 1),
    ] {
        let said = place(text).error();
        assert!(said.starts_with(&format!("DIR/unlockd.toml, line {line}, column {column}: ")), "{said}");
        assert!(said.split(": ").nth(1).is_some_and(|reason| reason.len() > 5), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_lease_outlives_a_call_where_workers_share_a_database() {
    let said = place("database = 'postgres://u@h/d'\nfleet.lease = '30s'").error();
    assert!(said.contains("fleet.lease = \"30s\"") && said.contains("longer than api.timeout"), "{said}");
    // One worker for one file has no such lease.
    place("fleet.lease = '30s'").load();
}

/// The content of the file, and the message about it; FILE:5 stands for its fifth column.
const ABOUT_THE_FILE: &str = r#"
submit.batch_size = 0 -> submit.batch_size = 0 FILE:8: must be between 1 and 2000
submit.batch_size = '9' -> submit.batch_size = "9" FILE:8: must be a whole number, between 1 and 2000
submit.batch_size = 1.5 -> submit.batch_size = 1.5 FILE:8: must be a whole number, between 1 and 2000, without a point, also between thousands
submit.precheck = 1 -> submit.precheck = 1 FILE:8: must be true or false
submit.verify_after = '0s' -> submit.verify_after = "0s" FILE:8: must be longer than zero
api.timeout = 30 -> api.timeout = 30 FILE:5: must be a duration with a unit (ms, s, m, h or d), such as "250ms", "3s", "5m", "24h" or "90d"
database = '' -> database = "" FILE:1: must be the path of a file
database.path = 'x' -> database = a table FILE:1: must be a text in quotes
api.call_source = 'web' -> api.call_source = "web" FILE:5: must be "api" or "agent"
postgres.durability = 'async' -> postgres.durability = "async" FILE:10: must be "synchronous", "single", "storage" or "verify"
api.base_url = 'http://example.com' -> api.base_url = "http://example.com" FILE:5: must be an https:// address, or http:// to a loopback host (127.0.0.1, [::1], localhost)
api.base_url = 'https://u:canary@example.com' -> api.base_url FILE:5: must not contain a user name or password
polling.steps = [] -> polling.steps = [] FILE:9: must be a list of at least one duration, such as ["3s", "5s", "10s"]
credits.approve_above = -1 -> credits.approve_above = -1 FILE:9: must be 0 or more
credits.daily_limit = -1 -> credits.daily_limit = -1 FILE:9: must be 0 or more
credits.monthly_limit = -1 -> credits.monthly_limit = -1 FILE:9: must be 0 or more
credits.price.email = 0 -> credits.price.email = 0 FILE:15: must be between 1 and 1000000000
rate_limit.per_minute = 100001 -> rate_limit.per_minute = 100001 FILE:12: must be between 1 and 100000
http.listen = '0.0.0.0:80' -> http.listen = "0.0.0.0:80" FILE:6: is not a loopback address, so others can reach it: set http.token_file too, or listen on 127.0.0.1
api.proxy = 'socks5://proxy:1080' -> api.proxy = "socks5://proxy:1080" FILE:5: must be http://host:port, without user, path or query
api.proxy = 'http://u:canary@proxy:3128' -> api.proxy FILE:5: must be http://host:port, without user, path or query
notify.events = ['request.done'] -> notify.events = ["request.done"] FILE:8: must be a list of: "request.finished", "request.awaiting_approval", "job.in_doubt", "account.paused", "budget.warning", "contact.resolved"
http.tokens.crm = { token_file = '/t', scopes = ['write'] } -> http.tokens.crm.scopes = ["write"] FILE:40: must be a list of at least one of "read", "values", "propose", "enqueue", "approve"
http.tokens.crm = { token_file = '/t', scopes = [] } -> http.tokens.crm.scopes = [] FILE:40: must be a list of at least one of "read", "values", "propose", "enqueue", "approve"
http.tokens.crm = { token_file = '/t', scopes = ['canary-0123456789'] } -> http.tokens.crm.scopes FILE:40: must be a list of at least one of "read", "values", "propose", "enqueue", "approve"
http.tokens.crm = { token_file = '/t' } -> http.tokens.crm.scopes FILE:13: is missing: each token needs it
http.tokens.crm = { token_file = '/t', scopes = ['read'], accounts = [] } -> http.tokens.crm.accounts = [] FILE:59: must be a list of at least one account, such as ["default"]
http.tokens.crm = 'canary' -> http.tokens.crm FILE:13: is a table of keys, not a value
http.tokens.'a b' = { token_file = '/t', scopes = ['read'] } -> http.tokens."a b" FILE:13: the name of a token must be 1 to 64 letters, digits, "_" or "-"
notify.url = 'https://example.com/canary' -> notify.url FILE:8: needs notify.secret_file, a file with the secret that signs each message
fleet.host = 'a b' -> fleet.host = "a b" FILE:7: must be 1 to 253 letters, digits, "-", "." or "_"
fleet.lease = '0s' -> fleet.lease = "0s" FILE:7: must be longer than zero
log.format = 'xml' -> log.format = "xml" FILE:5: must be "auto", "pretty" or "json"
submit = 5 -> submit FILE:1: is a table of keys, not a value
submit.batch_sise = 5 -> submit.batch_sise FILE:8: there is no such key; did you mean submit.batch_size?
nonsense_of_some_length = 5 -> nonsense_of_some_length FILE:1: there is no such key; see config/default.toml for all keys
accounts.'a b'.api_key = 'canary' -> accounts."a b" FILE:10: an account name must be 1 to 64 letters, digits, "_" or "-"
"new\nline" = 5 -> "new\nline" FILE:1: there is no such key; see config/default.toml for all keys
"#;

/// The same for one environment variable, by name and value.
const ABOUT_THE_ENVIRONMENT: &str = r#"
UNLOCKD_SUBMIT__BATCH_SIZE=5000 -> submit.batch_size = 5000 (from environment variable UNLOCKD_SUBMIT__BATCH_SIZE): must be between 1 and 2000
UNLOCKD_HTTP__LISTEN=8787 -> http.listen = 8787 (from environment variable UNLOCKD_HTTP__LISTEN): must be an IP address and a port such as "127.0.0.1:8787" or "[::1]:8787", or "" to turn it off
UNLOCKD_POLLING__STEPS=3s -> polling.steps = "3s" (from environment variable UNLOCKD_POLLING__STEPS): must be a list of at least one duration, such as ["3s", "5s", "10s"]
UNLOCKD_SUBMIT_BATCH_SIZE=5 -> UNLOCKD_SUBMIT_BATCH_SIZE (from the environment): there is no such key; did you mean UNLOCKD_SUBMIT__BATCH_SIZE?
UNLOCKD_API_KEY=canary -> UNLOCKD_API_KEY (from the environment): there is no such key; did you mean UNLOCKD_ACCOUNTS__DEFAULT__API_KEY?
UNLOCKD_ACCOUNTS__DEFAULT=canary -> UNLOCKD_ACCOUNTS__DEFAULT (from the environment): is a table of keys, not a value: add two underscores and a key
UNLOCKD_DATABASE__PATH=x -> database = a table (from environment variable UNLOCKD_DATABASE__PATH): must be a text in quotes
UNLOCKD_SUBMIT=5 -> UNLOCKD_SUBMIT (from the environment): is a table of keys, not a value: add two underscores and a key
UNLOCKD_SUBMIT__PRECHECK=yes -> submit.precheck = "yes" (from environment variable UNLOCKD_SUBMIT__PRECHECK): must be true or false
UNLOCKD_DATABASE=�.db -> UNLOCKD_DATABASE (from the environment): is not valid UTF-8
UNLOCKD___=x -> UNLOCKD___ (from the environment): there is no such key; see config/default.toml for all keys
"#;

#[test]
fn each_message_names_key_value_origin_and_remedy() {
    for line in ABOUT_THE_FILE.trim().lines() {
        let (text, said) = line.split_once(" -> ").unwrap();
        let said = match said.split_once(" FILE:").map(|(key, rest)| (key, rest.split_once(':').unwrap())) {
            Some((key, (column, rest))) => {
                format!("{key} (from DIR/unlockd.toml, line 1, column {column}):{rest}")
            }
            None => said.to_owned(),
        };
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
fn a_message_names_the_line_and_column_of_the_key() {
    let text = "# one\n\n[submit]\nbatch_size = 0\nprecheck = 1\n[accounts]\ncrm = { api_key = 5 }\n[colours]\nred = 1\n";
    let said = place(text).error();
    for (key, line, column) in [
        ("submit.batch_size", 4, 1),
        ("submit.precheck", 5, 1),
        ("accounts.crm.api_key", 7, 9),
        ("colours", 8, 2),
    ] {
        let found =
            said.lines().find(|said| said.starts_with(key)).unwrap_or_else(|| panic!("{key}: {said}"));
        assert!(
            found.contains(&format!("(from DIR/unlockd.toml, line {line}, column {column}): ")),
            "{said}"
        );
    }
    assert_eq!(said.lines().count(), 4, "{said}");
}

#[test]
fn a_value_in_the_place_of_a_table_is_one_mistake() {
    let said = place("submit = 5\ncolour = 1").env(&[("UNLOCKD_SUBMIT__BATCH_SIZE", "7")]).error();
    let submit = "submit.precheck: has no default, or an earlier layer has a value in the place of its table";
    assert!(said.lines().count() == 2 && said.lines().any(|line| line == submit), "{said}");
}

#[test]
fn no_more_mistakes_are_reported_than_anybody_corrects_at_once() {
    let text: Vec<String> = (0..500).map(|n| format!("colour_{n} = 1")).collect();
    assert_eq!(place(&text.join("\n")).error().lines().count(), 100);
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
