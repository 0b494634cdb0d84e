//! `config/schema.json`: what an editor knows of a configuration file, made from the keys and their comments.

use std::path::Path;

use serde_json::{Value, json};

use super::super::layers::DEFAULTS;
use super::defaults::{defaults_uncommented, documented};
use super::*;

/// What a value may be, by its default or its example. One without a default can be unset by an empty text.
fn of_value(value: &toml::Value, has_default: bool) -> Value {
    match value {
        toml::Value::Boolean(_) => json!({"type": "boolean"}),
        toml::Value::Integer(_) if has_default => json!({"type": "integer", "minimum": 0}),
        toml::Value::Integer(_) => json!({"anyOf": [{"type": "integer", "minimum": 0}, {"const": ""}]}),
        toml::Value::Array(_) => json!({"type": "array", "items": {"type": "string"}}),
        _ => json!({"type": "string"}),
    }
}

fn get<'a>(table: &'a toml::Table, key: &str) -> Option<&'a toml::Value> {
    match key.split_once('.') {
        Some((first, rest)) => get(table.get(first)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn put(schema: &mut Value, key: &str, value: Value) {
    schema["type"] = json!("object");
    schema["additionalProperties"] = json!(false);
    match key.split_once('.') {
        Some((first, rest)) => put(&mut schema["properties"][first], rest, value),
        None => schema["properties"][key] = value,
    }
}

/// A table whose names are the operator's.
fn named(schema: Value) -> Value {
    json!({"type": "object", "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"}, "additionalProperties": schema})
}

fn schema() -> Value {
    let parsed = |text: &str| text.parse::<toml::Table>().expect("TOML");
    let (examples, defaults) = (parsed(&defaults_uncommented()), parsed(DEFAULTS));
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of unlockd",
    });
    for (key, comment) in documented() {
        let example = get(&examples, &key).expect("an example");
        let mut value = of_value(example, get(&defaults, &key).is_some());
        value["description"] = json!(comment.trim_start_matches("# ").replace("# ", " "));
        if let Some(default) = get(&defaults, &key) {
            value["default"] = serde_json::to_value(default).expect("JSON");
        }
        put(&mut schema, &key, value);
    }
    let accounts = schema["properties"]["accounts"]["properties"]["default"].clone();
    schema["properties"]["accounts"] = named(accounts);
    let scopes = Scope::ALL.map(|scope| format!("{scope:?}").to_lowercase());
    let mut token = json!({"required": ["token_file", "scopes"]});
    put(&mut token, "token_file", json!({"type": "string"}));
    put(&mut token, "scopes", json!({"type": "array", "items": {"enum": scopes}}));
    put(&mut token, "accounts", json!({"type": "array", "items": {"type": "string"}}));
    put(&mut token, "daily_credits", json!({"type": "integer", "minimum": 0}));
    put(&mut schema, "http.tokens", named(token));
    schema
}

/// When this fails after a change of a key: write what it prints into config/schema.json.
#[test]
fn the_schema_for_editors_is_made_from_the_keys() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    let made = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(kept == made, "config/schema.json is not what the keys make:\n{made}");
}

#[test]
fn the_schema_takes_what_the_program_takes_and_no_unknown_key() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let is_valid = |text: &str| {
        let parsed: toml::Table = text.parse().expect("TOML");
        validator.is_valid(&serde_json::to_value(parsed).expect("JSON"))
    };
    for taken in [
        DEFAULTS,
        &defaults_uncommented(),
        include_str!("../../../config/service.toml"),
        "accounts.emea = { api_key_file = '/key', owner = 'acme' }",
        "http.tokens.crm = { token_file = '/token', scopes = ['read', 'propose'], daily_credits = 300 }",
        "credits.daily_limit = ''",
    ] {
        assert!(is_valid(taken), "{taken}");
    }
    for refused in [
        "batch_size = 50",
        "submit.batch_sise = 50",
        "submit.batch_size = 'many'",
        "polling.steps = '3s'",
        "http.tokens.crm = { token_file = '/token', scopes = ['all'] }",
        "accounts.emea.key = 'uak_canary'",
    ] {
        assert!(!is_valid(refused), "{refused}");
    }
}
