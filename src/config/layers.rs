//! Collects the layers: compiled-in defaults, the file, the environment, the command line.
//!
//! figment merges the layers and remembers where each value came from; nothing outside of `config` knows it.
//! Two of its providers are not used. Its environment provider guesses types (`007` becomes a number) and
//! prints the value when the guess does not fit, which may be a key; here the key decides how its text is
//! read, and text stays as it is. Its file provider takes a missing file for an empty one.
//!
//! Each layer is sifted before it is merged: what is no known key is set aside as a [`Problem`] with the
//! nearest known key, so that one misspelling hides none of the other mistakes.

use std::path::{Path, PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    util::nest,
    value::{Dict, Map, Value},
};

use super::{
    ConfigError, Inputs, Problem,
    keys::{self, Found},
    rules, sources,
};

pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");
const KEY_VARIABLE: &str = "LENSMOR_API_KEY";

/// All layers merged, and what did not belong in them.
pub(super) struct Layers {
    merged: Figment,
    pub(super) problems: Vec<Problem>,
    /// The file that was read.
    pub(super) file: Option<PathBuf>,
}

/// One source of values, named the way error messages name it.
struct Layer {
    origin: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Layers {
    pub(super) fn collect(inputs: &Inputs) -> Result<Self, ConfigError> {
        let mut layers = Self { merged: Figment::new(), problems: Vec::new(), file: None };
        layers.add_toml("the built-in defaults".to_owned(), Path::new("default.toml"), DEFAULTS)?;
        if let Some((path, text)) = sources::read_file(inputs)? {
            layers.add_toml(path.display().to_string(), &path, &text)?;
            layers.file = Some(path);
        }
        for (name, text) in inputs.env.iter().filter(|(name, _)| sources::names_a_key(name)) {
            layers.add_variable(name, text);
        }
        layers.add_lensmor_key(&inputs.env);
        if let Some(database) = &inputs.overrides.database {
            let text = database.to_string_lossy().into_owned();
            layers.add_value("database", text.into(), "the command line, --database".to_owned());
        }
        if let Some(level) = &inputs.overrides.log_level {
            layers.add_value("log.level", level.clone().into(), "the command line, --log-level".to_owned());
        }
        Ok(layers)
    }

    pub(super) fn value(&self, path: &str) -> Option<Value> {
        self.merged.find_value(path).ok()
    }

    /// Where the value of this key came from.
    pub(super) fn origin(&self, path: &str) -> Option<String> {
        self.merged.find_metadata(path).map(|m| m.name.to_string())
    }

    /// The names of all accounts in any layer.
    pub(super) fn accounts(&self) -> Vec<String> {
        let accounts = self.value("accounts").and_then(Value::into_dict);
        accounts.unwrap_or_default().into_keys().collect()
    }

    /// Is set to something: an empty text unsets what an earlier layer set.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.value(path).is_some_and(|v| v.as_str() != Some(""))
    }

    fn add(&mut self, layer: Layer) {
        self.merged = std::mem::take(&mut self.merged).merge(layer);
    }

    fn add_value(&mut self, path: &str, value: Value, origin: String) {
        let values = nest(path, value).into_dict().unwrap_or_default();
        self.add(Layer { origin, values });
    }

    fn add_toml(&mut self, origin: String, path: &Path, text: &str) -> Result<(), ConfigError> {
        let mut data =
            Toml::string(text).data().map_err(|e| ConfigError::syntax(path.to_owned(), &said(e)))?;
        let values = data.remove(&Profile::Default).unwrap_or_default();
        let values = self.sift(values, &mut Vec::new(), &origin);
        self.add(Layer { origin, values });
        Ok(())
    }

    /// Keeps the known keys; the others become problems, never with their value.
    fn sift(&mut self, values: Dict, above: &mut Vec<String>, origin: &str) -> Dict {
        let mut kept = Dict::new();
        for (name, value) in values {
            above.push(name.clone());
            let path: Vec<&str> = above.iter().map(String::as_str).collect();
            let refused = match (keys::look_up(&path), &path[..], &value) {
                (Found::Key(_), ..) => None,
                (Found::Group, ["accounts", name], Value::Dict(..)) => rules::account_name(name).err(),
                (Found::Group, _, Value::Dict(..)) => None,
                (Found::Group, ..) => Some("is a table of keys, not a value".to_owned()),
                (Found::Unknown, ..) => Some(unknown(keys::nearest(&path.join(".")))),
            };
            match (refused, value) {
                (Some(remedy), _) => self.problems.push(Problem {
                    key: written(above),
                    shown: None,
                    origin: Some(origin.to_owned()),
                    remedy,
                }),
                (None, Value::Dict(tag, below)) if matches!(keys::look_up(&path), Found::Group) => {
                    let below = self.sift(below, above, origin);
                    kept.insert(name, Value::Dict(tag, below));
                }
                (None, value) => {
                    kept.insert(name, value);
                }
            }
            above.pop();
        }
        kept
    }

    fn add_variable(&mut self, name: &str, text: &str) {
        let path = sources::path_of(name, &self.accounts());
        let segments: Vec<&str> = path.iter().map(String::as_str).collect();
        let found = keys::look_up(&segments);
        let refused = match &found {
            Found::Key(_) if text.contains(char::REPLACEMENT_CHARACTER) => {
                Some("is not valid UTF-8".to_owned())
            }
            Found::Key(_) if segments[0] == "accounts" => rules::account_name(segments[1]).err(),
            Found::Key(_) => None,
            Found::Group => Some("is a table of keys, not a value: add two underscores and a key".to_owned()),
            Found::Unknown => {
                let nearest = keys::nearest(&segments.join("."));
                Some(unknown(nearest.map(|path| keys::env_name(&path))))
            }
        };
        match (found, refused) {
            (Found::Key(key), None) => {
                let value = sources::typed(key.kind, text);
                self.add_value(&segments.join("."), value, format!("environment variable {name}"));
            }
            (_, remedy) => self.problems.push(Problem {
                key: name.escape_debug().to_string(),
                shown: None,
                origin: Some("the environment".to_owned()),
                remedy: remedy.unwrap_or_default(),
            }),
        }
    }

    /// `LENSMOR_API_KEY` serves `default` when nothing of ours does. Compose files often hand on an empty one.
    fn add_lensmor_key(&mut self, env: &[(String, String)]) {
        let taken = ["accounts.default.api_key", "accounts.default.api_key_file"];
        let key = env.iter().find(|(name, text)| name == KEY_VARIABLE && !text.is_empty());
        if let Some((name, text)) = key
            && !taken.iter().any(|path| self.is_set(path))
        {
            self.add_value(taken[0], text.clone().into(), format!("environment variable {name}"));
        }
    }
}

fn said(error: figment::Error) -> String {
    match error.kind {
        figment::error::Kind::Message(text) => text,
        // The parser has no other kind; if it ever gets one, it may quote a value.
        _ => "is not valid TOML".to_owned(),
    }
}

fn unknown(nearest: Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("there is no such key; did you mean {nearest}?"),
        None => "there is no such key; see config/default.toml for all keys".to_owned(),
    }
}

/// A path as it is written in a file: odd names in quotes, with nothing that could break a line.
fn written(path: &[String]) -> String {
    let plain = |name: &str| rules::account_name(name).is_ok();
    let quoted = |name: &String| {
        if plain(name) { name.clone() } else { format!("{name:?}") }
    };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}
