//! Label selectors: `a=b`, `a==b`, `a!=b`, `a in (b, c)`, `a notin (b, c)`, `a`, `!a`, with commas between them.

use serde_json::Value;

/// A selector that was understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector(Vec<(String, Wanted)>);

#[derive(Clone, Debug)]
enum Wanted {
    In(Vec<String>),
    NotIn(Vec<String>),
    There,
    Absent,
}

impl Selector {
    /// `None` if it makes no sense.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        let mut depth = 0_i32;
        let parts = text.split(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ',' && depth == 0
        });
        parts.map(|part| requirement(part.trim())).collect::<Option<_>>().map(Self)
    }

    /// Whether an object has such labels.
    pub(super) fn fits(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        self.0.iter().all(|(key, wanted)| match (wanted, label(key)) {
            (Wanted::In(values), Some(value)) => values.iter().any(|wanted| wanted == value),
            (Wanted::NotIn(values), Some(value)) => values.iter().all(|refused| refused != value),
            (Wanted::There, Some(_)) | (Wanted::NotIn(_) | Wanted::Absent, None) => true,
            (Wanted::Absent, Some(_)) | (Wanted::In(_) | Wanted::There, None) => false,
        })
    }
}

fn requirement(text: &str) -> Option<(String, Wanted)> {
    let set = |text: &str| {
        let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inside.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>())
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    let (key, wanted) = if let Some((key, values)) = text.split_once(" notin ") {
        (key, Wanted::NotIn(set(values)?))
    } else if let Some((key, values)) = text.split_once(" in ") {
        (key, Wanted::In(set(values)?))
    } else if let Some((key, value)) = text.split_once("!=") {
        (key, Wanted::NotIn(one(value)))
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key, Wanted::In(one(value)))
    } else if let Some(key) = text.strip_prefix('!') {
        (key, Wanted::Absent)
    } else {
        (text, Wanted::There)
    };
    let key = key.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!key.is_empty() && key.chars().all(plain)).then(|| (key.to_owned(), wanted))
}
