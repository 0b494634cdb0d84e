//! Reads the merged layers into a [`Config`] and checks every value.
//!
//! Nothing stops at the first mistake: each key that is wrong adds a [`Problem`] and counts as its type's
//! empty value, and a configuration with problems is never handed out.

use std::{collections::BTreeMap, time::Duration};

use figment::value::Value;

use super::{
    Account, Api, Config, Credits, Http, Inbox, Log, Notify, Polling, Price, Problem, RateLimit, Retention,
    Submit,
    layers::Layers,
    rules,
    values::{
        api_key, call_source, duration, log_format, longer_than_zero, path, price, shown, steps, text, whole,
        yes_or_no,
    },
};

const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

pub(super) fn read(layers: Layers) -> Result<Config, Vec<Problem>> {
    let mut reader = Reader { layers, problems: Vec::new() };
    let config = reader.config();
    reader.check_together(&config);
    let mut problems = reader.layers.problems;
    problems.append(&mut reader.problems);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

struct Reader {
    layers: Layers,
    problems: Vec<Problem>,
}

impl Reader {
    fn config(&mut self) -> Config {
        Config {
            database: self.required("database", path),
            api: Api {
                base_url: self.required("api.base_url", |v| text(v).and_then(|t| rules::base_url(&t))),
                call_source: self.required("api.call_source", call_source),
                timeout: self.required("api.timeout", longer_than_zero),
            },
            accounts: self.accounts(),
            inbox: self.inbox(),
            polling: Polling {
                steps: self.required("polling.steps", steps),
                give_up_after: self.required("polling.give_up_after", longer_than_zero),
            },
            submit: Submit {
                batch_size: self.required("submit.batch_size", |v| whole(v, 1, 2000)),
                precheck: self.required("submit.precheck", yes_or_no),
                verify_after: self.required("submit.verify_after", longer_than_zero),
                decide_after: self.required("submit.decide_after", longer_than_zero),
            },
            credits: self.credits(),
            rate_limit: RateLimit {
                per_minute: self.required("rate_limit.per_minute", |v| whole(v, 1, 100_000)),
            },
            http: Http {
                listen: self.required("http.listen", |v| text(v).and_then(|t| rules::listen(&t).map(|_| t))),
                token_file: self.optional("http.token_file", path),
            },
            notify: Notify {
                url: self.optional("notify.url", |v| text(v).and_then(|t| rules::webhook_url(&t))),
                secret_file: self.optional("notify.secret_file", path),
            },
            retention: Retention { contacts: self.optional("retention.contacts", longer_than_zero) },
            log: Log {
                format: self.required("log.format", log_format),
                level: self.required("log.level", |v| text(v).and_then(|t| rules::log_level(&t).map(|()| t))),
            },
            origin: self.layers.file.clone(),
        }
    }

    fn accounts(&mut self) -> BTreeMap<String, Account> {
        let mut accounts = BTreeMap::from([("default".to_owned(), Account::default())]);
        for name in self.layers.accounts() {
            let account = Account {
                api_key: self.optional(&format!("accounts.{name}.api_key"), api_key),
                api_key_file: self.optional(&format!("accounts.{name}.api_key_file"), path),
            };
            accounts.insert(name, account);
        }
        accounts
    }

    fn inbox(&mut self) -> Inbox {
        Inbox {
            watch: self.required("inbox.watch", yes_or_no),
            interval: self.required("inbox.interval", |v| duration(v, SHORTEST_INTERVAL)),
            // The same file twice would be opened twice, and wait for its own lock.
            database: self.optional("inbox.database", path).filter(|inbox| {
                self.layers.value("database").as_ref().and_then(Value::as_str) != inbox.to_str()
            }),
        }
    }

    fn credits(&mut self) -> Credits {
        Credits {
            approve_above: self.required("credits.approve_above", |v| whole(v, 0, i64::MAX)),
            min_balance: self.required("credits.min_balance", |v| whole(v, 0, i64::MAX)),
            daily_limit: self.optional("credits.daily_limit", |v| whole(v, 0, i64::MAX)),
            price: Price {
                email: self.required("credits.price.email", price),
                phone: self.required("credits.price.phone", price),
                event: self.required("credits.price.event", price),
                search: self.required("credits.price.search", price),
            },
        }
    }

    /// What no single value shows.
    fn check_together(&mut self, config: &Config) {
        for (name, account) in &config.accounts {
            if account.api_key.is_some() && account.api_key_file.is_some() {
                let file_key = format!("accounts.{name}.api_key_file");
                let also = self.layers.origin(&file_key).unwrap_or_default();
                self.complain(
                    &format!("accounts.{name}.api_key"),
                    format!("{file_key} is set too (from {also}): keep one of the two and remove the other"),
                );
            }
        }
        if config.http.address().is_some_and(|address| !address.ip().is_loopback())
            && !self.layers.is_set("http.token_file")
        {
            self.complain(
                "http.listen",
                "is not a loopback address, so others can reach it: set http.token_file too, or listen on 127.0.0.1".to_owned(),
            );
        }
        if config.notify.url.is_some() && !self.layers.is_set("notify.secret_file") {
            self.complain(
                "notify.url",
                "needs notify.secret_file, a file with the secret that signs each message".to_owned(),
            );
        }
    }

    fn required<T: Default>(&mut self, key: &str, rule: impl FnOnce(&Value) -> Result<T, String>) -> T {
        let read = match self.layers.value(key) {
            Some(value) => rule(&value),
            // Every required key is in the built-in defaults: a test holds them against each other.
            None => Err("is missing".to_owned()),
        };
        read.unwrap_or_else(|remedy| {
            self.complain(key, remedy);
            T::default()
        })
    }

    fn optional<T>(&mut self, key: &str, rule: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        if !self.layers.is_set(key) {
            return None;
        }
        let value = self.layers.value(key)?;
        rule(&value).map_err(|remedy| self.complain(key, remedy)).ok()
    }

    fn complain(&mut self, key: &str, remedy: String) {
        let value = self.layers.value(key);
        self.problems.push(Problem {
            key: key.to_owned(),
            shown: value.and_then(|value| shown(key, &value)),
            origin: self.layers.origin(key),
            remedy,
        });
    }
}
