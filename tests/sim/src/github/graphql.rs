//! A GraphQL request, from its body to its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use apollo_compiler::ExecutableDocument;
use apollo_compiler::resolvers::Execution;
use apollo_compiler::response::{ExecutionResponse, JsonMap};
use apollo_compiler::validation::Valid;
use http::Method;
use serde_json::{Map, Value, json};

use super::access::{self, Access};
use super::resolve::{Context, Root, split_error};
use super::{Standing, cost, message, not_found, rated, schema, spend};
use crate::sim::Shared;
use crate::wire::{Answer, Ask};
use crate::world::World;

pub(super) fn answer(world: &mut World, shared: &Shared, ask: &Ask) -> Answer {
    if ask.method != Method::POST {
        return not_found();
    }
    let Some(access) = access::access(world, ask) else { return message(401, "Bad credentials") };
    let Ok(Value::Object(body)) = serde_json::from_slice(&ask.body) else {
        return message(400, "Problems parsing JSON");
    };
    let Some(query) = body.get("query").and_then(Value::as_str) else {
        return message(400, "A query attribute must be specified and must be a string.");
    };
    let operation = body.get("operationName").and_then(Value::as_str);
    let variables = match body.get("variables") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(variables)) => variables.clone(),
        Some(_) => return message(400, "Variables must be an object."),
    };
    let document = match document(query) {
        Ok(document) => document,
        Err(errors) => return charged(world, &access, 0, &json!({"errors": errors})),
    };
    let cost = match cost::of(&document, operation, &variables) {
        Ok(cost) => cost,
        Err(why) => {
            let error = json!({"type": why.kind, "path": why.path, "message": why.message});
            return charged(world, &access, 0, &json!({"data": null, "errors": [error]}));
        }
    };
    let standing = spend(world, &access.principal, "graphql", cost.points);
    if standing.is_some_and(|standing| standing.exhausted) {
        let kind = &world.github.limits.error_type;
        let text = format!("API rate limit already exceeded for {}.", access.principal.replace(':', " ID "));
        return rated(Answer::json(200, &json!({"errors": [{"type": kind, "message": text}]})), standing, "graphql");
    }
    shared.spend(cost.points);
    let mut answer = executed(world, &access, standing, cost, &document, operation, &variables);
    answer.nodes = cost.nodes;
    rated(answer, standing, "graphql")
}

/// A query that holds against the schema. A program asks the same few again and again, so they are kept.
fn document(query: &str) -> Result<Arc<Valid<ExecutableDocument>>, Vec<Value>> {
    static KNOWN: Mutex<BTreeMap<String, Arc<Valid<ExecutableDocument>>>> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(document) = known().get(query) {
        return Ok(Arc::clone(document));
    }
    let document = ExecutableDocument::parse_and_validate(schema::schema(), query, "query")
        .map_err(|why| why.errors.iter().map(|error| json!(error.to_json())).collect::<Vec<_>>())?;
    Ok(Arc::clone(known().entry(query.to_owned()).or_insert(Arc::new(document))))
}

fn charged(world: &mut World, access: &Access, points: u64, body: &Value) -> Answer {
    let standing = spend(world, &access.principal, "graphql", points);
    rated(Answer::json(200, body), standing, "graphql")
}

fn executed(
    world: &World,
    access: &Access,
    standing: Option<Standing>,
    cost: cost::Cost,
    document: &Valid<ExecutableDocument>,
    operation: Option<&str>,
    variables: &Map<String, Value>,
) -> Answer {
    let context = Context::new(world, access, standing, cost);
    let variables: JsonMap = match serde_json::from_value(Value::Object(variables.clone())) {
        Ok(variables) => variables,
        Err(why) => return message(400, &why.to_string()),
    };
    let response = Execution::new(schema::open(), document)
        .operation_name(operation)
        .and_then(|execution| execution.raw_variable_values(&variables).execute_sync(&Root::new(&context)));
    let unresolved = context.unresolved();
    if !unresolved.is_empty() {
        let text = format!("the simulator does not resolve {}", unresolved.join(", "));
        return Answer::json(500, &json!({"message": text}));
    }
    match response {
        Ok(response) => Answer::json(200, &rendered(&response)),
        Err(why) => Answer::json(200, &json!({"errors": [{"message": why.message().to_string()}]})),
    }
}

/// Errors in GitHub's form: the type beside the message.
fn rendered(response: &ExecutionResponse) -> Value {
    let mut out = json!({"data": response.data});
    if !response.errors.is_empty() {
        let errors: Vec<Value> = response
            .errors
            .iter()
            .map(|error| {
                let (kind, text) = split_error(&error.message);
                let mut out = json!({"message": text, "path": error.path, "locations": error.locations});
                if !kind.is_empty() {
                    out["type"] = json!(kind);
                }
                out
            })
            .collect();
        out["errors"] = json!(errors);
    }
    out
}
