//! Every statement of the store, read from its sources, with its macros expanded.

use std::path::Path;

use crate::architecture::sources;

/// A statement of the store.
pub(crate) struct Statement {
    /// Its file, relative to `src/store`.
    pub(crate) file: String,
    /// As SQLite gets it, before our words are translated.
    pub(crate) text: String,
    /// As PostgreSQL gets it.
    pub(crate) postgres: String,
}

impl Statement {
    /// In one line, for messages.
    pub(crate) fn line(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// In the engine's own module, which may use the engine's own words.
    pub(crate) fn is_of_the_engine(&self) -> bool {
        self.file.starts_with("sqlite/") || self.file == "pairs.rs"
    }
}

/// All statements. A statement must be written where it is run, or in a macro of its kind, or in the list of
/// pairs; otherwise this test could not see it, which is an error.
pub(crate) fn statements() -> Vec<Statement> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).expect("readable");
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let file = path.strip_prefix(&root).expect("inside").to_string_lossy().into_owned();
        (file, code.split("#[cfg(test)]").next().unwrap_or_default().to_owned())
    };
    let files: Vec<(String, String)> = files.iter().map(read).filter(|(file, _)| file != "sql.rs").collect();
    let mut found = Vec::new();
    for (file, code) in &files {
        for call in ["sql::query(", "sql::query_as", "sql::query_scalar"] {
            for (at, _) in code.match_indices(call) {
                let call = &code[at..];
                let argument = call[call.find('(').expect("a call") + 1..].trim_start();
                if let Some(name) = argument.strip_prefix("pairs::") {
                    let [text, postgres] = pair(name, &files).unwrap_or_else(|| panic!("{file}: {name:.60}"));
                    found.push(Statement { file: "pairs.rs".to_owned(), text, postgres });
                    continue;
                }
                let text = text(argument, file, &files).unwrap_or_else(|| panic!("{file}: {argument:.60}"));
                found.push(Statement { file: file.to_owned(), postgres: text.clone(), text });
            }
        }
    }
    found
}

fn text(argument: &str, file: &str, files: &[(String, String)]) -> Option<String> {
    Some(said(argument, "", (file, files))?.0)
}

/// The text that an expression at the beginning of `code` stands for (a literal, `concat!`, a macro of the store), and
/// what follows. `given`: the argument of the macro in which it stands.
fn said<'a>(code: &'a str, given: &str, place: (&str, &'a [(String, String)])) -> Option<(String, &'a str)> {
    let code = code.trim_start();
    if let Some(inner) = code.strip_prefix('"') {
        return Some((literal(code)?, &inner[inner.find('"')? + 1..]));
    }
    if let Some(name) = code.strip_prefix('$') {
        return Some((
            given.to_owned(),
            name.trim_start_matches(|char: char| char.is_alphanumeric() || char == '_'),
        ));
    }
    let (name, mut rest) = code.split_once("!(")?;
    let mut parts = String::new();
    while !rest.trim_start().starts_with(')') {
        let (part, after) = said(rest, given, place)?;
        parts += &part;
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    let after = rest.trim_start().strip_prefix(')')?;
    if name == "concat" {
        return Some((parts, after));
    }
    let declared = declared(name, place)?;
    Some((said(&declared[declared.find("=> {")? + 4..], &parts, place)?.0, after))
}

/// The declaration of a macro: from its own file, or else from its folder.
fn declared<'a>(name: &str, (file, files): (&str, &'a [(String, String)])) -> Option<&'a str> {
    let declaration = format!("macro_rules! {name} ");
    let room = file.split('/').next()?;
    let declaring = || files.iter().filter(|(_, code)| code.contains(&declaration));
    let (_, code) = declaring()
        .find(|(name, _)| name == file)
        .or_else(|| declaring().find(|(name, _)| name.starts_with(room)))
        .or_else(|| declaring().next())?;
    Some(&code[code.find(&declaration)?..])
}

/// The two texts of a pair: SQLite's and PostgreSQL's.
fn pair(name: &str, files: &[(String, String)]) -> Option<[String; 2]> {
    let name = name.split(|char: char| !(char.is_alphanumeric() || char == '_')).next()?;
    let code = code_of("pairs.rs", files)?;
    let declared = &code[code.find(&format!("const {name}: Text"))?..];
    let said = |field: &str| {
        let declared = &declared[declared.find(field)?..];
        literal(&declared[declared.find('"')?..])
    };
    Some([said("sqlite:")?, said("postgres:")?])
}

fn code_of<'a>(file: &str, files: &'a [(String, String)]) -> Option<&'a str> {
    files.iter().find(|(name, _)| name == file).map(|(_, code)| code.as_str())
}

/// The content of a string literal at the beginning of the text.
fn literal(text: &str) -> Option<String> {
    let end = text[1..].find('"')? + 1;
    let mut lines = text[1..end].split("\\\n");
    let first = lines.next()?.to_owned();
    Some(lines.fold(first, |said, line| said + line.trim_start()))
}
