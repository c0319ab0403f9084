//! Reads the tree by type and collects what is wrong with it.
//!
//! ```text
//! Report                 what was found so far: errors, warnings, files
//!   Field                a value, and the key that it has with all that it lies in
//!     .map() → Map       asks for its keys one by one; what nobody asked for is unknown
//!     .text(…) .duration(…) .choice(…) …
//! ```
//!
//! A reader gives `None` once it has reported why; whoever needs the value goes on with the others first and gives
//! `None` in turn. So every error is found in one go, and a value comes out only where there was none.

use std::{cell::RefCell, fmt::Display, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use super::{
    ConfigError, FileUse, Warning, duration,
    tree::{At, Key, Node, Value},
};
use crate::domain::{did_you_mean, excerpt, nearest};

/// What was found while reading.
pub(super) struct Report {
    file: String,
    pub(super) errors: RefCell<Vec<ConfigError>>,
    pub(super) warnings: RefCell<Vec<Warning>>,
    pub(super) files: RefCell<Vec<FileUse>>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        let file = file.to_owned();
        Self { file, errors: RefCell::default(), warnings: RefCell::default(), files: RefCell::default() }
    }

    pub(super) fn error(&self, at: At, key: &str, message: impl Display) {
        self.errors.borrow_mut().push(self.entry(at, key, message));
    }

    fn entry(&self, at: At, key: &str, message: impl Display) -> ConfigError {
        let (file, message) = (self.file.clone(), message.to_string());
        ConfigError { file, line: at.line, column: at.column, key: key.to_owned(), message }
    }
}

/// A value with its full key.
#[derive(Clone)]
pub(super) struct Field<'a> {
    report: &'a Report,
    key: String,
    node: &'a Node,
}

impl<'a> Field<'a> {
    pub(super) fn root(report: &'a Report, node: &'a Node) -> Self {
        Self { report, key: String::new(), node }
    }

    pub(super) fn error(&self, message: impl Display) {
        self.report.error(self.node.at, &self.key, message);
    }

    pub(super) fn warn(&self, message: impl Display) {
        let entry = self.report.entry(self.node.at, &self.key, message);
        self.report.warnings.borrow_mut().push(Warning(entry));
    }

    /// Reports that something else was expected.
    pub(super) fn expected<T>(&self, what: impl Display) -> Option<T> {
        let got = match &self.node.value {
            Value::Text(text) => format!("`{}`", excerpt(text)),
            _ => self.kind(),
        };
        self.error(format_args!("expected {what}, got {got}"));
        None
    }

    /// What the value is, without a text's content, which may be a secret in the wrong place.
    fn kind(&self) -> String {
        match &self.node.value {
            Value::Nothing => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(number) => format!("the number {}", excerpt(number)),
            Value::Text(_) => "a text".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    fn expected_kind<T>(&self, what: impl Display) -> Option<T> {
        self.error(format_args!("expected {what}, got {}", self.kind()));
        None
    }

    /// A map; `what` says of what.
    pub(super) fn map(&self, what: &str) -> Option<Map<'a>> {
        let Value::Map(entries) = &self.node.value else { return self.expected_kind(what) };
        let map = Map { field: self.clone(), entries, known: Vec::new() };
        for (index, (key, _)) in entries.iter().enumerate() {
            if let Some((first, _)) = entries[..index].iter().find(|(first, _)| first.name == key.name) {
                let message = format!("this key is already given in line {}", first.at.line);
                self.report.error(key.at, &map.key_of(&key.name), message);
            }
        }
        Some(map)
    }

    /// A list; `what` says of what.
    pub(super) fn list(&self, what: &str) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else { return self.expected_kind(what) };
        let item = |(index, node)| Field { report: self.report, key: format!("{}[{index}]", self.key), node };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// What lies below, by the names of the keys.
    pub(super) fn below(&self, keys: &[&str]) -> Option<Self> {
        let Some((first, rest)) = keys.split_first() else { return Some(self.clone()) };
        let Value::Map(entries) = &self.node.value else { return None };
        let map = Map { field: self.clone(), entries, known: Vec::new() };
        map.field_of(first)?.below(rest)
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.node.value, Value::Text(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// The keys of a map, whatever is wrong with their values.
    pub(super) fn keys(&self) -> Option<Vec<&'a str>> {
        let Value::Map(entries) = &self.node.value else { return None };
        Some(entries.iter().map(|(key, _)| key.name.as_str()).collect())
    }

    /// A text that may be empty.
    pub(super) fn template(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Map(_) => self.expected("a text; one that starts with `{` needs quotes"),
            _ => self.expected("a text"),
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&self, what: impl Display) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => self.expected(what),
        }
    }

    /// A text that parses; its own error says what was expected.
    pub(super) fn parse<T: FromStr<Err: Display>>(&self, what: &str) -> Option<T> {
        self.text(what)?.parse().map_err(|error| self.error(error)).ok()
    }

    /// A list of texts that are not empty.
    pub(super) fn texts(&self, what: &str, each: &str) -> Option<Vec<String>> {
        let items = self.list(what)?;
        all(items.iter().map(|item| item.text(each).map(str::to_owned)))
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        if let Value::Bool(value) = self.node.value { Some(value) } else { self.expected_typed("`true` or `false`") }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let value = if let Value::Number(number) = &self.node.value { number.parse().ok() } else { None };
        let value = value.filter(|value| range.contains(value));
        value.or_else(|| {
            let (from, to) = range.into_inner();
            self.expected_typed(if to == u64::MAX {
                format!("a whole number of {from} or more")
            } else {
                format!("a whole number from {from} to {to}")
            })
        })
    }

    /// As [`Field::expected`], where it matters that a text is one.
    fn expected_typed<T>(&self, what: impl Display) -> Option<T> {
        if let Value::Text(text) = &self.node.value {
            self.error(format_args!("expected {what}, got the text `{}`", excerpt(text)));
            return None;
        }
        self.expected_kind(what)
    }

    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let parsed = if let Value::Text(text) = &self.node.value { duration::parse(text) } else { None };
        let Some(parsed) = parsed else { return self.expected(duration::FORM) };
        if range.contains(&parsed) {
            return Some(parsed);
        }
        let (from, to) = (duration::show(*range.start()), duration::show(*range.end()));
        if *range.end() == Duration::MAX {
            self.expected(format_args!("a duration of {from} or more"))
        } else {
            self.expected(format_args!("a duration from {from} to {to}"))
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        if let Value::Text(text) = &self.node.value
            && let Some((_, chosen)) = choices.iter().find(|(word, _)| word == text)
        {
            return Some(*chosen);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
        self.expected(words.join(" or "))
    }

    /// The path of a file that must be readable when the program runs.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let Value::Text(text) = &self.node.value else { return self.expected("the path of a file") };
        if looks_secret(text) {
            self.error("expected the path of a file with the secret in it, got what looks like the secret itself");
            return None;
        }
        let path = PathBuf::from(self.text("the path of a file")?);
        let entry = self.report.entry(self.node.at, &self.key, "");
        self.report.files.borrow_mut().push(FileUse { path: path.clone(), entry });
        Some(path)
    }
}

/// Whether a text is rather a secret than the path of one; it is not shown then.
fn looks_secret(text: &str) -> bool {
    text.contains('\n')
        || text.starts_with("-----BEGIN")
        || ["ghp_", "gho_", "ghu_", "ghs_", "github_pat_", "eyJ", "dckr_pat_", "glpat-"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
}

/// A map that is asked for its keys.
pub(super) struct Map<'a> {
    field: Field<'a>,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
}

impl<'a> Map<'a> {
    /// The value of a key that may be absent.
    pub(super) fn get(&mut self, name: &'static str) -> Option<Field<'a>> {
        self.known.push(name);
        self.field_of(name)
    }

    /// The value of a key that must be there.
    pub(super) fn require(&mut self, name: &'static str, what: &str) -> Option<Field<'a>> {
        let field = self.get(name);
        if field.is_none() {
            self.missing(name, what);
        }
        field
    }

    /// Reports that a key must be there.
    pub(super) fn missing(&self, name: &str, what: &str) {
        let key = self.key_of(name);
        self.field.report.error(self.field.node.at, &key, format_args!("missing; expected {what}"));
    }

    /// The value that `read` makes of a key, or the default where the key is absent.
    pub(super) fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.get(name) {
            Some(field) => read(&field),
            None => Some(default),
        }
    }

    /// As [`Map::or`], for what has no default; the outer `None` is for an error.
    #[expect(clippy::option_option, reason = "absent and wrong are two things")]
    pub(super) fn maybe<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Field<'a>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.or(name, None, |field| read(field).map(Some))
    }

    /// Refuses keys of features that are planned.
    pub(super) fn later(&self, names: &[&str]) {
        for (key, _) in self.entries.iter().filter(|(key, _)| names.contains(&key.name.as_str())) {
            self.field.report.error(key.at, &self.key_of(&key.name), "not supported yet");
        }
    }

    /// Ends the asking: keys that are neither known nor `later` are refused.
    pub(super) fn finish(self, later: &[&str]) {
        self.later(later);
        for (key, _) in self.entries {
            let name = key.name.as_str();
            if self.known.contains(&name) || later.contains(&name) {
                continue;
            }
            let hint = did_you_mean(nearest(name, self.known.iter().copied()));
            let message = format!("unknown key{hint}; known are {}", self.known.join(", "));
            self.field.report.error(key.at, &self.key_of(name), message);
        }
    }

    /// All entries of a map whose keys are names, each once.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        let first = |index: usize, name: &str| !self.entries[..index].iter().any(|(key, _)| key.name == name);
        let entries = self.entries.iter().enumerate().filter(move |(index, (key, _))| first(*index, &key.name));
        entries.map(|(_, (key, node))| {
            let field = Field { report: self.field.report, key: self.key_of(&key.name), node };
            (key.name.as_str(), field)
        })
    }

    /// Reports an error of a key itself.
    pub(super) fn key_error(&self, name: &str, message: impl Display) {
        if let Some((key, _)) = self.entries.iter().find(|(key, _)| key.name == name) {
            self.field.report.error(key.at, &self.key_of(name), message);
        }
    }

    /// The map itself.
    pub(super) fn whole(&self) -> &Field<'a> {
        &self.field
    }

    /// The value of a key, without asking for it.
    pub(super) fn field_of(&self, name: &str) -> Option<Field<'a>> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        Some(Field { report: self.field.report, key: self.key_of(name), node })
    }

    fn key_of(&self, name: &str) -> String {
        let name = excerpt(name);
        if self.field.key.is_empty() { name } else { format!("{}.{name}", self.field.key) }
    }
}

/// All values, if each was read; every one is looked at.
pub(super) fn all<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let values: Vec<_> = values.collect();
    values.into_iter().collect()
}
