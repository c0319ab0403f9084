//! YAML as a tree whose every node knows its line and column.
//!
//! The parser's events are taken as they come: so all that is wrong with a file can be told at once, with its place,
//! and a key that is given twice is seen and not swallowed. Only what is no YAML at all ends at the first error.

use std::{borrow::Cow, collections::HashMap};

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

/// The most nodes of a file with its aliases resolved; a file of aliases to aliases grows without bound.
const MAX_NODES: usize = 20_000;

/// A place in the file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

/// A value by YAML's core schema.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nothing,
    Bool(bool),
    /// A number as it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// Entries in the file's order; a key may come twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) at: At,
    pub(super) name: String,
}

/// What is no YAML, or more of it than we take.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flaw {
    pub(super) at: At,
    pub(super) message: String,
}

/// The file's one document; `None` if there is nothing in it.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Flaw> {
    let mut builder = Builder { events: Parser::new_from_str(text), line: 1, anchors: HashMap::new(), nodes: 0, text };
    builder.document()
}

impl At {
    fn of(marker: Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}

impl Node {
    fn count(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Self::count).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
            _ => 0,
        }
    }
}

struct Builder<'a> {
    events: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    /// The line of the last event.
    line: usize,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    text: &'a str,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, Flaw> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(flaw(span.start, "a second document; there must be one"));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Flaw> {
        loop {
            match self.events.next() {
                None => return Ok((Event::StreamEnd, Span::empty(Marker::new(0, self.line, 0)))),
                Some(Ok((event, span))) => {
                    self.line = span.start.line();
                    let structure = matches!(
                        event,
                        Event::StreamStart
                            | Event::StreamEnd
                            | Event::DocumentStart(..)
                            | Event::DocumentEnd
                            | Event::SequenceEnd
                            | Event::MappingEnd
                    );
                    // Comments are events too where another crate switched them on.
                    if structure || event.is_node() {
                        return Ok((event, span));
                    }
                }
                Some(Err(error)) => return Err(self.syntax(*error.marker(), &error.info())),
            }
        }
    }

    /// A syntax error; a tab is named, since its own message seldom says so.
    fn syntax(&self, marker: Marker, message: &str) -> Flaw {
        let mut at = At::of(marker);
        let line = self.text.lines().nth(at.line - 1).unwrap_or_default();
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let message = match line[..indent].find('\t') {
            Some(tab) if at.column <= indent + 1 => {
                at.column = tab + 1;
                "a tab indents this line; YAML takes spaces only".to_owned()
            }
            _ => format!("no valid YAML: {message}"),
        };
        Flaw { at, message }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Flaw> {
        let at = At::of(span.start);
        self.grow(1, span)?;
        let (anchor, value) = match event {
            Event::Alias(anchor) => {
                // An alias inside of its own anchor is not there yet.
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(flaw(span.start, "an alias within its own anchor"));
                };
                let (count, value) = (node.count(), node.value.clone());
                self.grow(count, span)?;
                (0, value)
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.is_some(), span)?;
                (anchor, if style == ScalarStyle::Plain { plain(text) } else { Value::Text(text.into_owned()) })
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.is_some(), span)?;
                (anchor, Value::List(self.list()?))
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.is_some(), span)?;
                (anchor, Value::Map(self.map()?))
            }
            _ => return Err(flaw(span.start, "no valid YAML")),
        };
        let node = Node { at, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn grow(&mut self, nodes: usize, span: Span) -> Result<(), Flaw> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES { Err(flaw(span.start, "too large")) } else { Ok(()) }
    }

    fn list(&mut self) -> Result<Vec<Node>, Flaw> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Vec<(Key, Node)>, Flaw> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(entries),
                (Event::Scalar(name, style, _, None), span) => {
                    if style == ScalarStyle::Plain && name == "<<" {
                        return Err(flaw(span.start, "merge keys are not supported"));
                    }
                    Key { at: At::of(span.start), name: name.into_owned() }
                }
                (_, span) => return Err(flaw(span.start, "a key must be plain text")),
            };
            let (event, span) = self.next()?;
            entries.push((key, self.node(event, span)?));
        }
    }
}

fn flaw(marker: Marker, message: &str) -> Flaw {
    Flaw { at: At::of(marker), message: message.to_owned() }
}

fn refuse_tag(tagged: bool, span: Span) -> Result<(), Flaw> {
    if tagged { Err(flaw(span.tag_start.unwrap_or(span.start), "tags (`!…`) are not supported")) } else { Ok(()) }
}

/// An unquoted scalar.
fn plain(text: Cow<'_, str>) -> Value {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Nothing,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number if is_number(number) => Value::Number(text.into_owned()),
        _ => Value::Text(text.into_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    let based = |prefix, radix| {
        digits
            .strip_prefix(prefix)
            .is_some_and(|rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix)))
    };
    let starts_well = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    based("0x", 16) || based("0o", 8) || (starts_well && digits.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        parse(text).unwrap().unwrap().value
    }

    fn error(text: &str) -> String {
        let Flaw { at, message } = parse(text).unwrap_err();
        format!("{}:{}: {message}", at.line, at.column)
    }

    #[test]
    fn scalars_are_of_the_core_schema() {
        for text in ["~", "null"] {
            assert_eq!(value(text), Value::Nothing, "{text}");
        }
        for text in ["1", "-1.5", "0x1F", "0o17", "1e3", ".5"] {
            assert_eq!(value(text), Value::Number(text.to_owned()));
        }
        for text in ["15s", "yes", "no", "0.0.0.0:4355", "1.2.3", "0x", "inf", "nan", "-", ".", "a b"] {
            let quoted = format!("'{text}'");
            let text = if text == "-" { &quoted } else { text };
            assert_eq!(value(text), Value::Text(text.trim_matches('\'').to_owned()), "{text}");
        }
        assert_eq!(value("'5'"), Value::Text("5".to_owned()));
        assert_eq!(value("True"), Value::Bool(true));
    }

    #[test]
    fn every_node_has_its_place() {
        let Some(Node { at, value: Value::Map(entries) }) = parse("# c\na: 1\nb:\n  - [x, y]\n").unwrap() else {
            panic!("no map")
        };
        assert_eq!(at, At { line: 2, column: 1 });
        assert_eq!(entries[1].0, Key { at: At { line: 3, column: 1 }, name: "b".to_owned() });
        let Value::List(items) = &entries[1].1.value else { panic!("no list") };
        assert_eq!(items[0].at, At { line: 4, column: 5 });
    }

    #[test]
    fn anchors_are_resolved_within_bounds() {
        let Value::List(items) = value("[&a {x: 1}, *a]") else { panic!("no list") };
        assert_eq!(items[0].value, items[1].value);
        assert_eq!(items[1].at.column, 13);
        let bomb = "[&a [x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a], &c [*b,*b,*b,*b,*b,*b,*b,*b],\
                    &d [*c,*c,*c,*c,*c,*c,*c,*c], &e [*d,*d,*d,*d,*d,*d,*d,*d], *e, *e]";
        assert!(error(bomb).ends_with("too large"));
    }

    #[test]
    fn what_is_no_yaml_ends_at_once() {
        for (text, message) in [
            ("a: [1", "1:4: no valid YAML: unclosed bracket '['"),
            ("a:\n\tb: 1", "2:1: a tab indents this line; YAML takes spaces only"),
            ("a: 1\n--- \nb: 1", "2:1: a second document; there must be one"),
            ("a: !x 1", "1:4: tags (`!…`) are not supported"),
            ("a: *b", "1:4: no valid YAML: while parsing node, found unknown anchor"),
            ("? [a]\n: 1", "1:3: a key must be plain text"),
            ("a: &a {x: 1}\nb:\n  <<: *a", "3:3: merge keys are not supported"),
            ("a: &a [*a]", "1:8: an alias within its own anchor"),
        ] {
            assert_eq!(error(text), message, "{text}");
        }
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("# nothing\n"), Ok(None));
    }
}
