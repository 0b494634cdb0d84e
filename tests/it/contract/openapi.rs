//! The parts of an OpenAPI 3.1 file that are needed to check one exchange. `jsonschema` checks the schemas;
//! this file only finds the ones that apply.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::support::relay::Exchange;

const VENDOR: &str = include_str!("../../fixtures/lensmor-openapi.json");

pub(super) struct Document {
    root: Value,
}

type Judgement<T = ()> = Result<T, String>;

impl Document {
    pub(super) fn of_the_vendor() -> Document {
        Document { root: serde_json::from_str(VENDOR).expect("the vendor's file is JSON") }
    }

    /// The names of the operations that are marked with one of these words (`x-unlockd`).
    pub(super) fn operations(&self, marks: &[&str]) -> BTreeSet<String> {
        let paths = self.root["paths"].as_object().expect("paths").values();
        let operations = paths.flat_map(|methods| methods.as_object().expect("methods").values());
        let is_marked =
            |operation: &&Value| operation["x-unlockd"].as_str().is_some_and(|mark| marks.contains(&mark));
        operations
            .filter(is_marked)
            .map(|operation| operation["operationId"].as_str().expect("a name").to_owned())
            .collect()
    }

    /// Checks request and answer; returns the operation's name.
    pub(super) fn judge(&self, exchange: &Exchange) -> Judgement<String> {
        let (path, query) = exchange.path.split_once('?').unwrap_or((&exchange.path, ""));
        let (at, variables) = self.find(&exchange.method, path)?;
        let operation = self.at(&at);
        self.judge_parameters(&at, exchange, &variables, query)?;
        self.judge_key(exchange)?;
        self.judge_body(&at, exchange)?;
        self.judge_answer(&at, exchange)?;
        Ok(operation["operationId"].as_str().unwrap_or_default().to_owned())
    }

    /// The pointer of the operation, and the values of the variables in its path.
    fn find(&self, method: &str, path: &str) -> Judgement<(String, Map<String, Value>)> {
        for template in self.root["paths"].as_object().expect("paths").keys() {
            let (wanted, given): (Vec<&str>, Vec<&str>) =
                (template.split('/').collect(), path.split('/').collect());
            let mut variables = Map::new();
            let fits = wanted.len() == given.len()
                && wanted.iter().zip(&given).all(|(wanted, given)| match wanted.strip_prefix('{') {
                    Some(name) => {
                        variables.insert(name.trim_end_matches('}').to_owned(), json!(given));
                        !given.is_empty()
                    }
                    None => wanted == given,
                });
            let at = format!("/paths/{}/{}", escape(template), method.to_lowercase());
            if fits && self.root.pointer(&at).is_some() {
                return Ok((at, variables));
            }
        }
        Err(format!("there is no {method} {path}"))
    }

    fn at(&self, pointer: &str) -> &Value {
        self.root.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Follows a reference, if there is one.
    fn resolve(&self, pointer: &str) -> String {
        match self.at(pointer)["$ref"].as_str() {
            Some(reference) => reference.trim_start_matches('#').to_owned(),
            None => pointer.to_owned(),
        }
    }

    /// Checks a value against the schema at a pointer, references included.
    fn fits(&self, pointer: &str, value: &Value, what: &str) -> Judgement {
        let mut schema = self.root.clone();
        // A reference is a URI, so the braces of a path are escaped in it.
        schema["$ref"] = json!(format!("#{}", pointer.replace('{', "%7B").replace('}', "%7D")));
        let validator =
            jsonschema::draft202012::new(&schema).map_err(|error| format!("{pointer}: {error}"))?;
        let problems: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        if problems.is_empty() { Ok(()) } else { Err(format!("{what}: {}", problems.join("; "))) }
    }

    fn judge_parameters(
        &self,
        at: &str,
        exchange: &Exchange,
        variables: &Map<String, Value>,
        query: &str,
    ) -> Judgement {
        let mut query: Map<String, Value> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), json!(v)))
            .collect();
        let count = self.at(at)["parameters"].as_array().map_or(0, Vec::len);
        for index in 0..count {
            let parameter = self.resolve(&format!("{at}/parameters/{index}"));
            let name = self.at(&parameter)["name"].as_str().unwrap_or_default();
            let given = match self.at(&parameter)["in"].as_str() {
                Some("path") => variables.get(name).cloned(),
                Some("query") => query.remove(name),
                _ => exchange.headers.get(name).map(|value| json!(value)),
            };
            let schema = format!("{parameter}/schema");
            match given {
                None if self.at(&parameter)["required"] == true => return Err(format!("{name} is missing")),
                None => {}
                Some(text) => self.fits(&schema, &typed(text, &self.at(&schema)["type"]), name)?,
            }
        }
        match query.keys().next() {
            Some(name) => Err(format!("the parameter {name} is not described")),
            None => Ok(()),
        }
    }

    fn judge_key(&self, exchange: &Exchange) -> Judgement {
        let bearer = exchange.headers.get("authorization").is_some_and(|value| value.starts_with("Bearer "));
        if bearer { Ok(()) } else { Err("no bearer key".to_owned()) }
    }

    fn judge_body(&self, at: &str, exchange: &Exchange) -> Judgement {
        let described = format!("{at}/requestBody/content/application~1json/schema");
        if self.at(&described).is_null() {
            return match exchange.body {
                Value::Null => Ok(()),
                _ => Err("a body where none is described".to_owned()),
            };
        }
        if exchange.headers.get("content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
            return Err("the body is not said to be JSON".to_owned());
        }
        self.fits(&described, &exchange.body, "the request's body")?;
        // The schema accepts fields that it does not name; a misspelt one would be such a field.
        let schema = self.at(&self.resolve(&described));
        let named = schema["properties"].as_object().cloned().unwrap_or_default();
        match exchange
            .body
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
            .find(|name| !named.contains_key(*name))
        {
            Some(name) => Err(format!("the field {name} is not described")),
            None => Ok(()),
        }
    }

    fn judge_answer(&self, at: &str, exchange: &Exchange) -> Judgement {
        let answer = self.resolve(&format!("{at}/responses/{}", exchange.status));
        if self.at(&answer).is_null() {
            return Err(format!("an answer of {} is not described", exchange.status));
        }
        for (name, limit) in &exchange.answer_headers {
            if name.starts_with("x-ratelimit-") && limit.parse::<u64>().is_err() {
                return Err(format!("{name} is {limit}"));
            }
        }
        if exchange.status == 429 && !exchange.answer_headers.contains_key("retry-after") {
            return Err("a 429 without Retry-After".to_owned());
        }
        let schema = format!("{answer}/content/application~1json/schema");
        self.fits(&schema, &exchange.answer, "the answer's body")
    }
}

fn escape(template: &str) -> String {
    template.replace('~', "~0").replace('/', "~1")
}

/// A value that travels as text is checked as the type in the schema.
fn typed(value: Value, kind: &Value) -> Value {
    let number = || value.as_str()?.parse::<i64>().ok().map(|number| json!(number));
    match kind.as_str() {
        Some("integer" | "number") => number().unwrap_or(value),
        _ => value,
    }
}
