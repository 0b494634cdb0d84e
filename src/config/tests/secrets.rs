//! Keys of accounts: they are read unchanged, and never shown.

use secrecy::ExposeSecret;

use super::*;

fn key_of<'a>(config: &'a Config, account: &str) -> &'a str {
    config.accounts[account].api_key.as_ref().unwrap().expose_secret()
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
    // `error` itself checks that the secret does not appear.
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
        "accounts.crm.api_key (from DIR/unlockd.toml, line 2, column 1): accounts.crm.api_key_file is set too (from environment variable \
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

/// No file makes the parser panic, and no error repeats a key.
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
                // Outside of a key it is ordinary text.
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
