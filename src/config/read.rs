//! Reads the merged layers into the tree, and finds all mistakes in them.
//!
//! serde stops at the first mistake. So the value that it names is replaced by its default, or removed,
//! and the rest is read again, until there is no mistake left or the list is long enough. A configuration
//! with mistakes is returned by [`read_in_part`] only.

use figment::{
    error::Kind,
    value::{Dict, Value},
};

use super::{
    Config, Problem,
    error::written,
    layers::{Layers, VARIABLE},
    rules,
    secret::looks_like_a_secret,
    suggest,
};

const IS_A_TABLE: &str = "is a table of keys, not a value";

/// More mistakes than a person fixes at once; each costs one more read.
const MOST_PROBLEMS: usize = 100;

pub(super) fn read(layers: Layers) -> Result<Config, Vec<Problem>> {
    match read_in_part(layers) {
        (Some(config), problems) if problems.is_empty() => Ok(config),
        (_, problems) => Err(problems),
    }
}

/// With mistakes, too: the default stands for each value that is one. `None`: there are too many.
pub(super) fn read_in_part(layers: Layers) -> (Option<Config>, Vec<Problem>) {
    let data = figment::Provider::data(&layers.merged).ok();
    let given = data.and_then(|data| data.into_values().next()).unwrap_or_default();
    let reader = Reader { layers, given };
    let mut problems = reader.layers.problems.clone();
    let mut values = Value::from(reader.given.clone());
    while problems.len() < MOST_PROBLEMS {
        match values.deserialize::<Config>() {
            Err(error) => match reader.take_out(error, &mut values) {
                // A key without a default: taking it out again would not end.
                Some(problem) if problems.contains(&problem) => break,
                problem => problems.extend(problem),
            },
            Ok(mut config) => {
                problems.extend(reader.check_together(&config));
                config.origin = reader.layers.file.map(|(path, _)| path);
                return (Some(config), problems);
            }
        }
    }
    (None, problems)
}

struct Reader {
    layers: Layers,
    /// The content of the layers, unchanged.
    given: Dict,
}

impl Reader {
    /// Removes the value that serde names. Not a problem yet if the text of a variable can be read as another
    /// type: then that value is used.
    fn take_out(&self, error: figment::Error, values: &mut Value) -> Option<Problem> {
        let path = &error.path;
        let Some((name, table)) =
            path.split_last().and_then(|(name, above)| Some((name, table(values, above)?)))
        else {
            // Every key that must be there has a default: a test reads the defaults alone.
            return Some(self.problem(path, "cannot be read".to_owned()));
        };
        let refused = table.remove(name);
        if let Some(value) = refused.as_ref().filter(|_| self.variable(path).is_some()).and_then(spelt) {
            table.insert(name.clone(), value);
            return None;
        }
        if let Some(default) = find(&self.layers.defaults, path) {
            table.insert(name.clone(), default.clone());
        }
        let problem = self.complaint(path, error.kind);
        // As it was read: a number from the environment is shown as a number.
        let shown = problem.shown.and(refused).and_then(|value| shown(&path.join("."), &value));
        Some(Problem { shown, ..problem })
    }

    fn complaint(&self, path: &[String], kind: Kind) -> Problem {
        let nearest = || suggest::nearest(&path.join("."));
        match (kind, self.variable(path)) {
            (Kind::UnknownField(..), Some(name)) => {
                Problem::of_variable(name, suggest::unknown(nearest().map(|key| suggest::variable(&key))))
            }
            (Kind::UnknownField(..), None) => {
                Problem { shown: None, ..self.problem(path, suggest::unknown(nearest())) }
            }
            (Kind::Message(remedy), _) => self.problem(path, remedy),
            (Kind::InvalidType(_, expected), _) if expected == "a boolean" => {
                self.problem(path, "must be true or false".to_owned())
            }
            (Kind::MissingField(key), _) => {
                let remedy = "has no default, or an earlier layer has a value in the place of its table";
                self.problem(&[path, &[key.into_owned()]].concat(), remedy.to_owned())
            }
            (_, Some(name)) => {
                Problem::of_variable(name, format!("{IS_A_TABLE}: add two underscores and a key"))
            }
            _ => Problem { shown: None, ..self.problem(path, IS_A_TABLE.to_owned()) },
        }
    }

    fn problem(&self, path: &[String], remedy: String) -> Problem {
        Problem {
            key: written(path),
            shown: find(&self.given, path).and_then(|value| shown(&path.join("."), value)),
            origin: self.origin(path),
            remedy,
        }
    }

    /// Mistakes that appear only in the combination of several values.
    fn check_together(&self, config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, account) in &config.accounts {
            let key = |key: &str| ["accounts", name, key].map(str::to_owned);
            if let Err(remedy) = rules::account_name(name) {
                let path = &key("")[..2];
                problems.push(Problem { shown: None, ..self.problem(path, remedy) });
            }
            if account.api_key.is_some() && account.api_key_file.is_some() {
                let file = key("api_key_file");
                let also = self.origin(&file).unwrap_or_default();
                let remedy = format!(
                    "{} is set too (from {also}): keep one of the two and remove the other",
                    written(&file)
                );
                problems.push(self.problem(&key("api_key"), remedy));
            }
        }
        for name in config.http.tokens.keys() {
            let path = |key: &str| ["http", "tokens", name, key].map(str::to_owned);
            let table = &path("")[..3];
            if rules::account_name(name).is_err() {
                let remedy = "the name of a token must be 1 to 64 letters, digits, \"_\" or \"-\"";
                problems.push(Problem { shown: None, ..self.problem(table, remedy.to_owned()) });
            }
            for key in ["token_file", "scopes"].map(path) {
                if find(&self.given, &key).is_none() {
                    let remedy = "is missing: each token needs it".to_owned();
                    problems.push(Problem { origin: self.origin(table), ..self.problem(&key, remedy) });
                }
            }
        }
        if rules::is_postgres(&config.database) && config.inbox.database.is_some() {
            let remedy = "is for SQLite: on PostgreSQL the inbox is a table of the same database, to which other programs \
                          get their own grants";
            problems.push(self.problem(&split("inbox.database"), remedy.to_owned()));
        }
        if rules::is_postgres(&config.database) && config.fleet.lease <= config.api.timeout {
            let remedy = "must be longer than api.timeout: a paid call that is sent just before the end may take that long";
            problems.push(self.problem(&split("fleet.lease"), remedy.to_owned()));
        }
        let is_set = |path: &str| self.given_at(path).is_some_and(|value| value.as_str() != Some(""));
        if config.http.address().is_some_and(|address| !address.ip().is_loopback())
            && !is_set("http.token_file")
        {
            let remedy = "is not a loopback address, so others can reach it: set http.token_file too, or listen on 127.0.0.1";
            problems.push(self.problem(&split("http.listen"), remedy.to_owned()));
        }
        if config.notify.url.as_deref().is_some_and(rules::is_open_http) && !config.notify.allow_http {
            let remedy = "would send messages, with ids and references, unencrypted over the network: use https://, or \
                          set notify.allow_http = true";
            problems.push(self.problem(&split("notify.url"), remedy.to_owned()));
        }
        if config.notify.url.is_some() && !is_set("notify.secret_file") {
            let remedy = "needs notify.secret_file, a file with the secret that signs each message";
            problems.push(self.problem(&split("notify.url"), remedy.to_owned()));
        }
        problems
    }

    fn given_at(&self, path: &str) -> Option<&Value> {
        find(&self.given, &split(path))
    }

    /// The origin of the value at this path.
    fn origin(&self, path: &[String]) -> Option<String> {
        Some(self.layers.origin(self.layer(path)?, path))
    }

    /// The environment variable that this value came from.
    fn variable(&self, path: &[String]) -> Option<&str> {
        self.layer(path)?.strip_prefix(VARIABLE)
    }

    fn layer(&self, path: &[String]) -> Option<&str> {
        let tag = find(&self.given, path)?.tag();
        self.layers.merged.get_metadata(tag).map(|metadata| &*metadata.name)
    }
}

fn split(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

fn find<'v>(values: &'v Dict, path: &[String]) -> Option<&'v Value> {
    let (name, below) = path.split_first()?;
    match (values.get(name)?, below) {
        (value, []) => Some(value),
        (Value::Dict(_, values), below) => find(values, below),
        _ => None,
    }
}

fn table<'v>(values: &'v mut Value, path: &[String]) -> Option<&'v mut Dict> {
    let Value::Dict(_, values) = values else { return None };
    match path.split_first() {
        None => Some(values),
        Some((name, below)) => table(values.get_mut(name)?, below),
    }
}

/// The number, truth value or list in a text.
fn spelt(text: &Value) -> Option<Value> {
    let text = text.as_str()?;
    let list = || text.parse::<Value>().ok().filter(|value| matches!(value, Value::Array(..)));
    let whole = text.parse::<i64>().map(Value::from).ok();
    whole.or_else(|| text.parse::<bool>().map(Value::from).ok()).or_else(list)
}

/// The value for an error message; `None` where it is or may contain a secret.
fn shown(key: &str, value: &Value) -> Option<String> {
    let is_secret = key.starts_with("accounts.") || key == "notify.url";
    let text = match value {
        _ if is_secret => return None,
        Value::String(_, text) if key.ends_with("_file") && looks_like_a_secret(text) => return None,
        Value::String(_, text) if key.starts_with("http.tokens.") && looks_like_a_secret(text) => {
            return None;
        }
        Value::String(_, text)
            if ["api.base_url", "api.proxy"].contains(&key) && text.contains(['@', '?']) =>
        {
            return None;
        }
        // A password may stand in it, also where it is not expected.
        Value::String(_, text) if key == "database" && text.contains("://") => return None,
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Array(_, items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| shown(key, item)).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Num(..) => match (value.to_i128(), value.to_f64()) {
            (Some(whole), _) => whole.to_string(),
            // As `10.0`: without the point it would look like a whole number.
            (None, fraction) => format!("{:?}", fraction.unwrap_or_default()),
        },
        _ => "a table".to_owned(),
    };
    let short = text.char_indices().nth(80).map_or(text.as_str(), |(end, _)| &text[..end]);
    Some(if short.len() < text.len() { format!("{short}...") } else { text })
}
