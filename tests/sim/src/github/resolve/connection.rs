//! Connections: windows over lists, by `first`/`after` and `last`/`before`, with opaque cursors.

use apollo_compiler::resolvers::{ObjectValue, ResolveInfo, ResolvedValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Cell, Context, Resolved, Thing, leaf, number, record, text, typed_error};

/// A connection of an answer.
pub(in crate::github) struct Connection<'w> {
    context: &'w Context<'w>,
    type_name: &'static str,
    edge: &'static str,
    window: Vec<(usize, Thing<'w>)>,
    total: usize,
    start: usize,
    /// Fields that only this connection has.
    more: Vec<(&'static str, Cell<'w>)>,
}

impl<'w> Connection<'w> {
    /// The window that the arguments tell of a list.
    pub(super) fn resolve<T>(
        context: &'w Context<'w>,
        info: &ResolveInfo<'_>,
        (type_name, edge): (&'static str, &'static str),
        list: Vec<T>,
        mut thing: impl FnMut(T) -> Thing<'w>,
        more: Vec<(&'static str, Cell<'w>)>,
    ) -> Resolved<'w> {
        let total = list.len();
        let cursor = |name: &str| match text(info, name) {
            None => Ok(None),
            Some(cursor) => decode(cursor).map(Some).ok_or_else(|| {
                typed_error("INVALID_CURSOR_ARGUMENTS", format!("`{cursor}` does not appear to be a valid cursor."))
            }),
        };
        let size = |name: &str| number(info, name).and_then(|number| usize::try_from(number).ok());
        let mut start = cursor("after")?.map_or(0, |after| (after + 1).min(total));
        let mut end = cursor("before")?.map_or(total, |before| before.min(total)).max(start);
        match (size("first"), size("last")) {
            (Some(size), _) => end = end.min(start + size),
            (None, Some(size)) => start = start.max(end.saturating_sub(size)),
            (None, None) => {}
        }
        let window = list.into_iter().enumerate().take(end).skip(start).map(|(nth, item)| (nth, thing(item))).collect();
        Ok(ResolvedValue::object(Self { context, type_name, edge, window, total, start, more }))
    }
}

fn encode(nth: usize) -> String {
    STANDARD.encode(format!("cursor:{nth}"))
}

fn decode(cursor: &str) -> Option<usize> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    text.strip_prefix("cursor:")?.parse().ok()
}

impl ObjectValue for Connection<'_> {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn resolve_field<'a>(&'a self, info: &'a ResolveInfo<'a>) -> Resolved<'a> {
        let context: &'a Context<'a> = self.context;
        match info.field_name() {
            "totalCount" => leaf(self.total),
            "nodes" => Ok(ResolvedValue::list(self.window.iter().map(|(_, thing)| context.value(thing.clone())))),
            "edges" => Ok(ResolvedValue::list(self.window.iter().map(|(nth, thing)| {
                context.value(Thing::Record(
                    self.edge,
                    vec![("cursor", Cell::Leaf(json!(encode(*nth)))), ("node", Cell::Object(Box::new(thing.clone())))],
                ))
            }))),
            "pageInfo" => {
                let cursor =
                    |edge: Option<&(usize, Thing<'_>)>| edge.map_or(Value::Null, |(nth, _)| json!(encode(*nth)));
                context.object(record(
                    "PageInfo",
                    vec![
                        ("hasNextPage", json!(self.start + self.window.len() < self.total)),
                        ("hasPreviousPage", json!(self.start > 0)),
                        ("startCursor", cursor(self.window.first())),
                        ("endCursor", cursor(self.window.last())),
                    ],
                ))
            }
            name => match self.more.iter().find(|(field, _)| *field == name) {
                Some((_, Cell::Leaf(value))) => leaf(value.clone()),
                Some((_, Cell::Object(thing))) => context.object((**thing).clone()),
                Some((_, Cell::List(things))) => {
                    Ok(ResolvedValue::list(things.iter().map(|thing| context.value(thing.clone()))))
                }
                None => context.unknown(self.type_name, info),
            },
        }
    }
}
