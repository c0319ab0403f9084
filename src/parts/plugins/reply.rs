//! What a plugin answered, as a list of maps, or why it is none.
//!
//! An empty list deletes, so it must have been said: an answer without it, however that came about, says nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};

use crate::{domain::excerpt, parts::part::Values};

/// How many items are taken.
const MAX_ITEMS: usize = 10_000;

/// The longest key.
const MAX_KEY: usize = 256;

/// From here on a float tells not every whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The items of a body; of each the `keys`, where they are told.
pub(super) fn items(body: &[u8], keys: Option<&BTreeSet<String>>) -> Result<Vec<Values>, String> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err("its answer is empty; no items would be `{\"output\":{\"parameters\":[]}}`".to_owned());
    }
    if body.starts_with(b"<") {
        return Err("its answer is a page, not JSON: is this the plugin's address?".to_owned());
    }
    let answer = serde_json::from_slice(body).map_err(|_| "its answer is not JSON")?;
    let Value::Object(mut answer) = answer else { return Err(format!("its answer is {}, not a map", kind(&answer))) };
    let Some(output) = answer.remove("output") else { return Err("its answer has no `output`".to_owned()) };
    let Value::Object(mut output) = output else { return Err(format!("its `output` is {}, not a map", kind(&output))) };
    let Some(list) = output.remove("parameters") else { return Err("its `output` has no `parameters`".to_owned()) };
    let Value::Array(list) = list else {
        return Err(format!("its `output.parameters` is {}, not a list", kind(&list)));
    };
    if list.len() > MAX_ITEMS {
        return Err(format!("its list has more than {MAX_ITEMS} items"));
    }
    let mut items: Vec<Values> = Vec::with_capacity(list.len());
    for (index, item) in list.into_iter().enumerate() {
        let Value::Object(item) = item else {
            return Err(format!("item {} of its list is {}, not a map", index + 1, kind(&item)));
        };
        let item = values(item, keys).map_err(|problem| format!("item {} of its list {problem}", index + 1))?;
        if let Some(first) = items.first()
            && let Some(problem) = differs(first, &item)
        {
            return Err(format!("item {} of its list {problem}", index + 1));
        }
        items.push(item);
    }
    Ok(items)
}

fn values(item: Map<String, Value>, keys: Option<&BTreeSet<String>>) -> Result<Values, String> {
    if let Some(missing) = keys.into_iter().flatten().find(|key| !item.contains_key(*key)) {
        return Err(format!("lacks the key `{}`", excerpt(missing)));
    }
    let wanted = |key: &String| keys.is_none_or(|keys| keys.contains(key));
    let mut values = Values::new();
    for (key, value) in item.into_iter().filter(|(key, _)| wanted(key)) {
        if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
            return Err(format!("has a key that cannot be used: `{}`", excerpt(&key)));
        }
        let text = text(value).map_err(|problem| format!("has the key `{}` with {problem}", excerpt(&key)))?;
        values.insert(key, text);
    }
    Ok(values)
}

/// A value as a string. A map or a list is compact JSON: a template can take it apart again.
fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => exact(&number),
        nested @ (Value::Array(_) | Value::Object(_)) => Ok(nested.to_string()),
    }
}

fn exact(number: &Number) -> Result<String, String> {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.abs() >= EXACT => {
            Err("a number that is too large to be told exactly: it must be a string".to_owned())
        }
        _ => Ok(number.to_string()),
    }
}

/// In what the keys of an item are not those of the first.
fn differs(first: &Values, item: &Values) -> Option<String> {
    if let Some(missing) = first.keys().find(|key| !item.contains_key(*key)) {
        return Some(format!("lacks the key `{}`, which item 1 has", excerpt(missing)));
    }
    let more = item.keys().find(|key| !first.contains_key(*key))?;
    Some(format!("has the key `{}`, which item 1 lacks", excerpt(more)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(parameters: &Value) -> Result<Vec<Values>, String> {
        items(json!({ "output": { "parameters": parameters } }).to_string().as_bytes(), None)
    }

    fn item<const N: usize>(values: [(&str, &str); N]) -> Values {
        values.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn a_list_of_maps_is_taken_and_an_empty_one_is_an_answer() {
        assert_eq!(read(&json!([])), Ok(Vec::new()));
        assert_eq!(items(b" {\"output\":{\"parameters\":[]},\"more\":1}\r\n", None), Ok(Vec::new()));
        let tenants = json!([{"tenant": "Acme", "status": "active"}, {"status": "trial", "tenant": "Gamma"}]);
        let expected =
            [item([("status", "active"), ("tenant", "Acme")]), item([("status", "trial"), ("tenant", "Gamma")])];
        assert_eq!(read(&tenants), Ok(expected.into()));
        assert_eq!(read(&json!([{}])), Ok(vec![Values::new()]));
    }

    #[test]
    fn every_value_is_a_string() {
        let odd = json!([{
            "text": "é\n", "null": null, "yes": true, "whole": -7, "large": u64::MAX, "float": 0.25,
            "list": ["a", 1, null], "map": {"b": 1, "a": {"x": []}},
        }]);
        let expected = item([
            ("text", "é\n"),
            ("null", ""),
            ("yes", "true"),
            ("whole", "-7"),
            ("large", "18446744073709551615"),
            ("float", "0.25"),
            ("list", r#"["a",1,null]"#),
            ("map", r#"{"a":{"x":[]},"b":1}"#),
        ]);
        assert_eq!(read(&odd), Ok(vec![expected]));
        let large = br#"{"output":{"parameters":[{"id":18446744073709551616}]}}"#;
        assert_eq!(
            items(large, None).unwrap_err(),
            "item 1 of its list has the key `id` with a number that is too large to be told exactly: it must be a string"
        );
    }

    #[test]
    fn what_says_nothing_is_no_empty_list() {
        for (body, reason) in [
            ("", "its answer is empty; no items would be `{\"output\":{\"parameters\":[]}}`"),
            (" \r\n\t", "its answer is empty; no items would be `{\"output\":{\"parameters\":[]}}`"),
            ("<!doctype html>", "its answer is a page, not JSON: is this the plugin's address?"),
            ("ok", "its answer is not JSON"),
            ("{\"output\":{\"parameters\":[", "its answer is not JSON"),
            ("{\"output\":{\"parameters\":[]}}x", "its answer is not JSON"),
            ("[]", "its answer is a list, not a map"),
            ("null", "its answer is null, not a map"),
            ("{}", "its answer has no `output`"),
            ("{\"parameters\":[]}", "its answer has no `output`"),
            ("{\"output\":null}", "its `output` is null, not a map"),
            ("{\"output\":[]}", "its `output` is a list, not a map"),
            ("{\"output\":{}}", "its `output` has no `parameters`"),
            ("{\"output\":{\"parameters\":null}}", "its `output.parameters` is null, not a list"),
            ("{\"output\":{\"parameters\":{}}}", "its `output.parameters` is a map, not a list"),
            ("{\"output\":{\"parameters\":\"\"}}", "its `output.parameters` is a text, not a list"),
        ] {
            assert_eq!(items(body.as_bytes(), None).unwrap_err(), reason, "{body}");
        }
    }

    #[test]
    fn items_are_maps_with_the_same_keys() {
        let wrong = |list: Value| read(&list).unwrap_err();
        assert_eq!(wrong(json!([{}, null])), "item 2 of its list is null, not a map");
        assert_eq!(wrong(json!(["a"])), "item 1 of its list is a text, not a map");
        assert_eq!(wrong(json!([[]])), "item 1 of its list is a list, not a map");
        assert_eq!(
            wrong(json!([{"a": 1}, {"a": 2, "b": 3}])),
            "item 2 of its list has the key `b`, which item 1 lacks"
        );
        assert_eq!(
            wrong(json!([{"a": 1, "b": 2}, {"a": 3}])),
            "item 2 of its list lacks the key `b`, which item 1 has"
        );
        assert_eq!(wrong(json!([{"": 1}])), "item 1 of its list has a key that cannot be used: ``");
        assert_eq!(wrong(json!([{"a\u{1b}": 1}])), "item 1 of its list has a key that cannot be used: `a\\u{1b}`");
        assert_eq!(wrong(json!(vec![json!({}); MAX_ITEMS + 1])), "its list has more than 10000 items");
        assert_eq!(read(&json!(vec![json!({}); MAX_ITEMS])).unwrap().len(), MAX_ITEMS);
    }

    #[test]
    fn keys_that_are_told_are_those_that_count() {
        let keys = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        let read = |list: Value| items(json!({"output": {"parameters": list}}).to_string().as_bytes(), Some(&keys));
        assert_eq!(
            read(json!([{"a": 1, "b": 2, "c": 3}, {"a": 4, "b": 5}])).unwrap()[0],
            item([("a", "1"), ("b", "2")])
        );
        assert_eq!(read(json!([{"a": 1, "c": 3}])).unwrap_err(), "item 1 of its list lacks the key `b`");
        assert_eq!(read(json!([])), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn no_body_is_too_odd(body in prop::collection::vec(any::<u8>(), 0..60), inside in "[a-z{}\\[\\]:,\"0-9.]{0,40}") {
            prop_assert!(items(&body, None).is_err());
            let near = format!("{{\"output\":{{\"parameters\":{inside}}}}}");
            if let Ok(items) = items(near.as_bytes(), None) {
                prop_assert!(inside.starts_with('['), "{items:?}");
            }
        }
    }
}
