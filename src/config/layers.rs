//! Collects the layers: compiled-in defaults, the file, the environment, the command line.
//!
//! figment merges the layers and remembers the origin of each value; nothing outside of `config` uses it. Two
//! of its providers are not used. Its environment provider guesses types (`007` becomes a number) and prints
//! the value if the guess is wrong, which may be a key; here a variable is text, and [`read`] converts the
//! text only if the key does not accept text. Its file provider treats a missing file as an empty one, and
//! knows no line numbers.
//!
//! [`read`]: super::read

use std::path::{Path, PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use toml::de::DeTable;

use super::error::Place;
use super::{Config, ConfigError, Inputs, Problem, sources};

pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");
const KEY_VARIABLE: &str = "LENSMOR_API_KEY";
/// The beginning of the origin of a value from the environment; the variable's name follows.
pub(super) const VARIABLE: &str = "environment variable ";

/// All layers merged.
pub(super) struct Layers {
    pub(super) merged: Figment,
    /// The first layer alone.
    pub(super) defaults: Dict,
    pub(super) problems: Vec<Problem>,
    /// The file that was read, and its text.
    pub(super) file: Option<(PathBuf, String)>,
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
    /// `in_force` is the file of the running configuration: it is read again, and no other file instead.
    pub(super) fn collect(inputs: &Inputs, in_force: Option<&Path>) -> Result<Self, ConfigError> {
        let file = match sources::read_file(inputs, in_force)? {
            Some((path, text)) => Some((parse(&path, &text)?, path, text)),
            None => None,
        };
        Self::over(inputs, file)
    }

    /// The same with the file as given: its values, its path and its text.
    pub(super) fn over(inputs: &Inputs, file: Option<(Dict, PathBuf, String)>) -> Result<Self, ConfigError> {
        let defaults = parse(Path::new("default.toml"), DEFAULTS)?;
        let mut layers =
            Self { merged: Figment::new(), defaults: defaults.clone(), problems: Vec::new(), file: None };
        layers.add("the built-in defaults".to_owned(), defaults);
        if let Some((values, path, text)) = file {
            layers.file = Some((path.clone(), text));
            layers.add(path.display().to_string(), values);
        }
        for (name, text) in inputs.env.iter().filter(|(name, _)| sources::is_configuration(name)) {
            layers.add_variable(name, text);
        }
        layers.add_lensmor_key(&inputs.env);
        let overrides = &inputs.overrides;
        if let Some(database) = &overrides.database {
            let text = database.to_string_lossy().into_owned();
            layers.add_value(&["database"], &text, "the command line, --database".to_owned());
        }
        if let Some(level) = &overrides.log_level {
            layers.add_value(&["log", "level"], level, "the command line, --log-level".to_owned());
        }
        Ok(layers)
    }

    /// The names of all accounts in any layer so far.
    fn accounts(&self) -> Vec<String> {
        let accounts = self.merged.find_value("accounts").ok().and_then(Value::into_dict);
        accounts.unwrap_or_default().into_keys().collect()
    }

    fn add(&mut self, origin: String, values: Dict) {
        self.merged = std::mem::take(&mut self.merged).merge(Layer { origin, values });
    }

    /// The name of a layer, and for the file the place of this key.
    pub(super) fn origin(&self, layer: &str, path: &[String]) -> String {
        let text = self.file.as_ref().filter(|(file, _)| file.display().to_string() == layer);
        match text.and_then(|(_, text)| place_of(text, path)) {
            Some(place) => format!("{layer}, {place}"),
            None => layer.to_owned(),
        }
    }

    fn add_value(&mut self, path: &[&str], text: &str, origin: String) {
        let wrap = |below: Value, name: &&str| Dict::from([((*name).to_owned(), below)]).into();
        let value: Value = path.iter().rev().fold(Value::from(text), wrap);
        self.add(origin, value.into_dict().unwrap_or_default());
    }

    fn add_variable(&mut self, name: &str, text: &str) {
        if text.contains(char::REPLACEMENT_CHARACTER) {
            self.problems.push(Problem::of_variable(name, "is not valid UTF-8".to_owned()));
            return;
        }
        let path = sources::path_of(name, &self.accounts());
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.add_value(&path, text, format!("{VARIABLE}{name}"));
    }

    /// `LENSMOR_API_KEY` serves `default` if no key of ours does. Compose files often pass an empty one.
    fn add_lensmor_key(&mut self, env: &[(String, String)]) {
        let is_set = |path: &str| self.merged.find_value(path).is_ok_and(|value| value.as_str() != Some(""));
        let is_taken = is_set("accounts.default.api_key") || is_set("accounts.default.api_key_file");
        let key = env.iter().find(|(name, text)| name == KEY_VARIABLE && !text.is_empty());
        if let Some((name, text)) = key.filter(|_| !is_taken) {
            self.add_value(&["accounts", "default", "api_key"], text, format!("{VARIABLE}{name}"));
        }
    }
}

/// The configuration with nothing set.
pub(super) fn defaults() -> Config {
    let values = parse(Path::new("default.toml"), DEFAULTS).map(Value::from);
    values
        .ok()
        .and_then(|values| values.deserialize().ok())
        .expect("the compiled-in defaults: tests read them")
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Dict, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let path = path.to_owned();
        let place = error.span().and_then(|span| text.get(..span.start)).map(Place::after);
        // Without the excerpt, which may be a key.
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        ConfigError::Syntax { path, place: place.unwrap_or_else(|| Place::after("")), message }
    })
}

/// The place of a key, or of the last table above it that has one.
fn place_of(text: &str, path: &[String]) -> Option<Place> {
    let document = DeTable::parse(text).ok()?;
    let (mut table, mut at) = (Some(document.get_ref()), None);
    for name in path {
        let Some((key, value)) = table.and_then(|table| table.get_key_value(name.as_str())) else { break };
        at = Some(key.span().start);
        table = value.get_ref().as_table();
    }
    text.get(..at?).map(Place::after)
}
