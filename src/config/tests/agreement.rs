//! That the schema, the reader and the example say the same.
//!
//! The schema is walked; for each map in it the example, as a value, is changed in one place and read: the reader's
//! own words tell which keys, words and defaults it knows.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::*;
use crate::config::tree::{self, Node};

/// A map of the schema: where it is, and the schema itself.
struct Object {
    steps: Vec<Step>,
    schema: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    AnyKey,
    Item,
}

/// The example as a value.
fn example() -> Value {
    fn value(node: &Node) -> Value {
        match &node.value {
            tree::Value::Nothing => Value::Null,
            tree::Value::Bool(value) => json!(value),
            tree::Value::Number(number) => number.parse().map(Value::Number).unwrap(),
            tree::Value::Text(text) => json!(text),
            tree::Value::List(items) => items.iter().map(value).collect(),
            tree::Value::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), value(node))).collect(),
        }
    }
    value(&tree::parse(EXAMPLE).unwrap().unwrap())
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(name) => root.pointer(name.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// All maps with keys of their own below `schema`.
fn objects(root: &Value, schema: &Value, steps: &[Step], found: &mut Vec<Object>) {
    let schema = resolved(root, schema);
    let below = |step: Step| [steps, &[step]].concat();
    if let Some(Value::Object(properties)) = schema.get("properties") {
        assert_eq!(schema["additionalProperties"], false, "{steps:?}");
        found.push(Object { steps: steps.to_vec(), schema: schema.as_object().unwrap().clone() });
        for (key, schema) in properties {
            objects(root, schema, &below(Step::Key(key.clone())), found);
        }
    } else if let Some(schema) = schema.get("additionalProperties") {
        objects(root, schema, &below(Step::AnyKey), found);
    } else if let Some(schema) = schema.get("items") {
        objects(root, schema, &below(Step::Item), found);
    }
}

fn all_objects() -> Vec<Object> {
    let root = schema();
    let mut found = Vec::new();
    objects(&root, &root, &[], &mut found);
    found
}

/// The JSON pointers of the example's values at `steps`.
fn pointers(value: &Value, steps: &[Step]) -> Vec<String> {
    let Some((step, rest)) = steps.split_first() else { return vec![String::new()] };
    let children: Vec<(String, &Value)> = match (step, value) {
        (Step::Key(key), Value::Object(map)) => map.get(key).map(|value| (key.clone(), value)).into_iter().collect(),
        (Step::AnyKey, Value::Object(map)) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        (Step::Item, Value::Array(items)) => {
            items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    let below = |(key, value): (String, &Value)| {
        pointers(value, rest).into_iter().map(move |rest| format!("/{key}{rest}")).collect::<Vec<_>>()
    };
    children.into_iter().flat_map(below).collect()
}

/// The example's maps at a place of the schema.
fn places(object: &Object) -> Vec<String> {
    let places = pointers(&example(), &object.steps);
    assert!(!places.is_empty(), "the example has nothing at {:?}", object.steps);
    places
}

/// Reads the example with one map changed.
fn read(place: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Result<String, Vec<ConfigError>> {
    let mut value = example();
    change(value.pointer_mut(place).unwrap().as_object_mut().unwrap());
    match Config::parse(&value.to_string(), "c") {
        Ok((config, _)) => Ok(format!("{:?}", Config { files: Vec::new(), ..config })),
        Err(errors) => Err(errors.0),
    }
}

/// A JSON pointer as errors write it.
fn key_of(place: &str, key: &str) -> String {
    let mut text = String::new();
    for part in place.split('/').skip(1).chain([key]) {
        match part.parse::<usize>() {
            Ok(index) => text = format!("{text}[{index}]"),
            Err(_) if text.is_empty() => part.clone_into(&mut text),
            Err(_) => text = format!("{text}.{part}"),
        }
    }
    text
}

fn properties(object: &Object) -> &Map<String, Value> {
    object.schema["properties"].as_object().unwrap()
}

/// Whether the schema leaves the choice among a map's keys.
fn is_choice(object: &Object) -> bool {
    object.schema.contains_key("oneOf")
}

#[test]
fn the_keys_are_the_same() {
    let objects = all_objects();
    assert!(objects.len() >= 12, "{}", objects.len());
    for object in &objects {
        let known: BTreeSet<_> = properties(object).keys().map(String::as_str).collect();
        for place in places(object) {
            let errors = read(&place, |map| drop(map.insert("zzzzzzzzzzzz".to_owned(), json!(1)))).unwrap_err();
            let [error] = errors.as_slice() else { panic!("{errors:?}") };
            assert_eq!(error.key, key_of(&place, "zzzzzzzzzzzz"));
            let told = error.message.strip_prefix("unknown key; known are ").unwrap();
            assert_eq!(told.split(", ").collect::<BTreeSet<_>>(), known, "{place}");
        }
    }
}

#[test]
fn the_example_shows_every_key() {
    let mut absent = Vec::new();
    for object in all_objects() {
        for key in properties(&object).keys() {
            let steps = [object.steps.as_slice(), &[Step::Key(key.clone())]].concat();
            if pointers(&example(), &steps).is_empty() {
                absent.push(steps);
            }
        }
    }
    // One excludes the other.
    let path = |keys: &[&str]| keys.iter().map(|key| Step::Key((*key).to_owned())).collect::<Vec<_>>();
    let of_sql = [vec![Step::Key("generators".to_owned()), Step::AnyKey], path(&["sql", "urlFile"])].concat();
    assert_eq!(absent, [of_sql, path(&["github", "auth", "tokenFile"]), path(&["ledger", "urlFile"])]);
    assert!(EXAMPLE.contains("`urlFile: /secrets/tenants/url`"));
    assert!(EXAMPLE.contains("`urlFile: /secrets/ledger/url`"));
    assert!(EXAMPLE.contains("`auth: { tokenFile: /secrets/github/token }`"));
}

#[test]
fn what_is_required_is_the_same() {
    for object in all_objects().iter().filter(|object| !is_choice(object)) {
        let required = object.schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for place in places(object) {
            for key in properties(object).keys() {
                let result = read(&place, |map| drop(map.remove(key)));
                // Which the schema cannot say: the generators below decide.
                let for_build = place.is_empty() && key == "github";
                if required.contains(&json!(key)) || for_build {
                    let errors = result.unwrap_err();
                    let missing = |error: &ConfigError| error.message.starts_with("missing; ");
                    assert!(errors.len() == 1 && missing(&errors[0]), "{place} {key}: {errors:?}");
                } else {
                    assert!(result.is_ok(), "{place} {key}: {result:?}");
                }
            }
        }
    }
}

#[test]
fn the_parts_that_will_do_alone_are_the_same() {
    const PARTS: [&str; 3] = ["build", "sql", "plugins"];
    let root = schema();
    let generator = resolved(&root, &root["properties"]["generators"]["additionalProperties"]);
    let chosen: Vec<_> = generator["anyOf"].as_array().unwrap().iter().map(|one| &one["required"][0]).collect();
    assert_eq!(chosen, PARTS);
    let mut read_with = 0;
    for place in pointers(&example(), &[Step::Key("generators".to_owned()), Step::AnyKey]) {
        let its = example().pointer(&place).unwrap().as_object().unwrap().clone();
        for kept in PARTS.iter().copied().filter(|part| its.contains_key(*part)).map(Some).chain([None]) {
            let only =
                |map: &mut Map<String, Value>| map.retain(|key, _| !PARTS.contains(&&**key) || Some(&**key) == kept);
            assert_eq!(read(&place, only).is_ok(), kept.is_some(), "{place} {kept:?}");
            read_with += usize::from(kept.is_some());
        }
    }
    assert!(read_with >= PARTS.len(), "{read_with}");
}

#[test]
fn the_defaults_are_the_same() {
    let mut count = 0;
    for object in all_objects() {
        for place in places(&object) {
            for (key, schema) in properties(&object) {
                let Some(default) = schema.get("default") else { continue };
                let absent = read(&place, |map| drop(map.remove(key))).unwrap();
                let given = read(&place, |map| drop(map.insert(key.clone(), default.clone()))).unwrap();
                assert_eq!(absent, given, "{place} {key}");
                count += 1;
            }
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn the_words_are_the_same() {
    let mut count = 0;
    for object in all_objects() {
        for (key, schema) in properties(&object) {
            let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else { continue };
            let words: Vec<_> = choices.iter().map(|choice| choice["const"].as_str().unwrap()).collect();
            for place in places(&object) {
                for word in &words {
                    read(&place, |map| drop(map.insert(key.clone(), json!(word)))).unwrap();
                }
                let errors = read(&place, |map| drop(map.insert(key.clone(), json!("zzz")))).unwrap_err();
                assert_eq!(errors[0].message, format!("expected `{}`, got `zzz`", words.join("` or `")));
                count += 1;
            }
        }
    }
    assert_eq!(count, 5);
}

#[test]
fn the_types_are_the_same() {
    let root = schema();
    for object in all_objects() {
        for (key, schema) in properties(&object) {
            let schema = resolved(&root, schema);
            if schema["type"].is_array() {
                continue;
            }
            let kind = schema.get("type").and_then(Value::as_str).unwrap_or("string");
            let others = [json!(null), json!(true), json!(-7.5), json!("\u{1}"), json!([]), json!({})];
            for place in places(&object) {
                for other in others.iter().filter(|other| kind_of(other) != kind) {
                    if kind_of(other) == "array" && key.starts_with("digest") {
                        continue;
                    }
                    let errors = read(&place, |map| drop(map.insert(key.clone(), other.clone()))).unwrap_err();
                    let wanted = key_of(&place, key);
                    assert!(errors.iter().any(|error| error.key == wanted), "{wanted}: {other}: {errors:?}");
                }
            }
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn every_key_is_described() {
    for object in all_objects() {
        assert!(object.schema.contains_key("description"), "{:?}", object.steps);
        for (key, schema) in properties(&object) {
            let text = schema["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty() && !text.contains('\n'), "{key}");
        }
    }
    assert_eq!(schema()["title"], "lastgreen");
    assert!(!schema().to_string().contains("null"));
}
