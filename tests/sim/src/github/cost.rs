//! What a query costs, computed from its text as GitHub documents it.
//!
//! Every connection takes as many requests as the `first` or `last` of the connections around it multiply to; a hundred requests
//! are a point. Nodes are counted with the connection's own size.

use std::fmt;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::executable::{Field, Selection, SelectionSet};
use apollo_compiler::validation::Valid;
use serde_json::{Map, Value};

use super::schema::schema;

/// The price of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Points of the hourly limit.
    pub points: u64,
    /// Nodes that it may return, of 500,000.
    pub nodes: u64,
    /// Requests to fulfil it, of which a hundred are a point.
    pub requests: u64,
}

/// Why a query has no price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostError {
    /// GitHub's type of the error; empty if the document is not valid.
    pub kind: &'static str,
    /// The text.
    pub message: String,
    /// The response keys that lead to the connection.
    pub path: Vec<String>,
}

impl fmt::Display for CostError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for CostError {}

/// The price of a document's only operation with these variables (an object, or null for none).
///
/// # Errors
/// If the document is not valid by GitHub's schema, if a connection lacks `first` and `last` or has them outside of 1 to 100, or
/// if it asks for more than 500,000 nodes.
pub fn cost(document: &str, variables: &Value) -> Result<Cost, CostError> {
    let document = ExecutableDocument::parse_and_validate(schema(), document, "query.graphql")
        .map_err(|why| CostError { kind: "", message: why.to_string(), path: Vec::new() })?;
    let empty = Map::new();
    of(&document, None, variables.as_object().unwrap_or(&empty))
}

/// The price of one operation of a document.
pub(super) fn of(
    document: &Valid<ExecutableDocument>,
    operation: Option<&str>,
    variables: &Map<String, Value>,
) -> Result<Cost, CostError> {
    let operation = document.operations.get(operation).map_err(|_| CostError {
        kind: "",
        message: "no such operation".to_owned(),
        path: Vec::new(),
    })?;
    let mut variables = variables.clone();
    for variable in &operation.variables {
        if let Some(default) = &variable.default_value
            && let Some(number) = default.to_i32()
        {
            variables.entry(variable.name.as_str()).or_insert_with(|| number.into());
        }
    }
    let mut counting = Counting { document, variables, requests: 0, nodes: 0, path: Vec::new() };
    counting.set(&operation.selection_set, 1)?;
    let Counting { requests, nodes, .. } = counting;
    if nodes > 500_000 {
        return Err(CostError {
            kind: "MAX_NODE_LIMIT_EXCEEDED",
            message: format!(
                "This query requests up to {nodes} possible nodes which exceeds the maximum limit of 500,000."
            ),
            path: Vec::new(),
        });
    }
    Ok(Cost { points: ((requests + 50) / 100).max(1), nodes, requests })
}

struct Counting<'a> {
    document: &'a Valid<ExecutableDocument>,
    variables: Map<String, Value>,
    requests: u64,
    nodes: u64,
    path: Vec<String>,
}

impl Counting<'_> {
    fn set(&mut self, set: &SelectionSet, times: u64) -> Result<(), CostError> {
        for selection in &set.selections {
            match selection {
                Selection::Field(field) => {
                    self.path.push(field.response_key().to_string());
                    self.field(field, times)?;
                    self.path.pop();
                }
                Selection::InlineFragment(fragment) => self.set(&fragment.selection_set, times)?,
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.document.fragments.get(&spread.fragment_name) {
                        self.set(&fragment.selection_set, times)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, times: u64) -> Result<(), CostError> {
        let connection = field.definition.ty.inner_named_type().ends_with("Connection");
        if !connection {
            return self.set(&field.selection_set, times);
        }
        self.requests = self.requests.saturating_add(times);
        let size = self.bound(field, "first")?.or(self.bound(field, "last")?);
        let Some(size) = size else {
            if self.lists(&field.selection_set) {
                let name = &field.name;
                return Err(self.refused(
                    "MISSING_PAGINATION_BOUNDARIES",
                    format!("You must provide a `first` or `last` value to properly paginate the `{name}` connection."),
                ));
            }
            // Only the total is asked for.
            return self.set(&field.selection_set, times);
        };
        let times = times.saturating_mul(size);
        self.nodes = self.nodes.saturating_add(times);
        self.set(&field.selection_set, times)
    }

    fn bound(&self, field: &Field, name: &str) -> Result<Option<u64>, CostError> {
        let Some(argument) = field.arguments.iter().find(|argument| argument.name == name) else { return Ok(None) };
        let number = match argument.value.as_variable() {
            Some(variable) => self.variables.get(variable.as_str()).and_then(Value::as_i64),
            None => argument.value.to_i32().map(i64::from),
        };
        match number {
            None => Ok(None),
            Some(number @ 1..=100) => Ok(Some(number.unsigned_abs())),
            Some(number) if number < 1 => Err(self.refused(
                "INVALID_PAGINATION_BOUNDARIES",
                format!("`{name}` on the `{}` connection cannot be less than 1.", field.name),
            )),
            Some(number) => Err(self.refused(
                "EXCESSIVE_PAGINATION",
                format!(
                    "Requesting {number} records on the `{}` connection exceeds the `{name}` limit of 100 records.",
                    field.name
                ),
            )),
        }
    }

    /// Whether a selection wants the elements, not just their number.
    fn lists(&self, set: &SelectionSet) -> bool {
        set.selections.iter().any(|selection| match selection {
            Selection::Field(field) => matches!(field.name.as_str(), "nodes" | "edges" | "pageInfo"),
            Selection::InlineFragment(fragment) => self.lists(&fragment.selection_set),
            Selection::FragmentSpread(spread) => {
                self.document.fragments.get(&spread.fragment_name).is_some_and(|one| self.lists(&one.selection_set))
            }
        })
    }

    fn refused(&self, kind: &'static str, message: String) -> CostError {
        CostError { kind, message, path: self.path.clone() }
    }
}
