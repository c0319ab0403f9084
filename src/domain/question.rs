//! What is asked: parsed at the door, so that only what no pull request can cause is refused.

use std::borrow::Cow;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Branch, CommitSha, excerpt, looks_unrendered};

/// A question about one branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The ApplicationSet that asks.
    pub application_set: String,
    /// The head branch's name.
    pub branch: Branch,
    /// The pull request's number, if it was given.
    pub number: Option<u64>,
    /// The head that the pull request generator saw, if it was given.
    pub head_sha: Option<CommitSha>,
}

/// What is wrong with a question. The text names the parameter and is the same for the same mistake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("input.parameters.{parameter}: {problem}")]
pub struct QuestionError {
    /// The parameter's name.
    pub parameter: Cow<'static, str>,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

impl QuestionError {
    /// A mistake in `parameter`.
    pub fn new(parameter: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self { parameter: parameter.into(), problem: problem.into() }
    }
}

impl Question {
    /// The question in a request's `input.parameters`.
    pub fn parse(application_set: &str, parameters: &Map<String, Value>) -> Result<Self, QuestionError> {
        let branch = branch(parameters)?;
        let number = number(parameters, &branch)?;
        let head_sha = head_sha(parameters)?;
        if parameters.contains_key("repository") {
            return Err(QuestionError::new("repository", "the repository is the generator's; remove this parameter"));
        }
        Ok(Self { application_set: application_set.to_owned(), branch, number, head_sha })
    }
}

/// Whether all open pull requests are asked for at once.
pub fn wants_all(parameters: &Map<String, Value>) -> Result<bool, QuestionError> {
    match parameters.get("all") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(false),
        Some(Value::Bool(true)) => Ok(true),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text.is_empty() || text == "false" => Ok(false),
        Some(_) => Err(QuestionError::new("all", "expected \"true\" or \"false\"")),
    }
}

fn branch(parameters: &Map<String, Value>) -> Result<Branch, QuestionError> {
    let error = |problem: &str| QuestionError::new("branch", problem);
    let text = match parameters.get("branch") {
        None => {
            return Err(error(
                "is missing; pass the pull request's branch, `\"{{.branch}}\"` with goTemplate, `\"{{branch}}\"` without",
            ));
        }
        Some(Value::String(text)) => text,
        Some(_) => return Err(error("must be a string")),
    };
    if text.is_empty() {
        return Err(error("is empty"));
    }
    if text == "<no value>" {
        return Err(error(NO_VALUE));
    }
    if text.len() > Branch::MAX_BYTES {
        return Err(error("is longer than 1 KiB"));
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err(error("contains control characters"));
    }
    text.parse().map_err(|_| error(&format!("`{}` is no branch name that git accepts", excerpt(text))))
}

/// What Argo CD renders for a key that its parameters lack.
const NO_VALUE: &str = "is `<no value>`: the template names a parameter that the first generator does not have";

/// The longest input that a part is asked with.
const LONGEST_INPUT: usize = 4 * 1024;

/// The inputs of these names, as far as they are there, for a part that is asked with them: texts, and numbers and
/// booleans as texts.
pub fn inputs<'a>(
    names: impl Iterator<Item = &'a str>,
    parameters: &Map<String, Value>,
) -> Result<Map<String, Value>, QuestionError> {
    let mut inputs = Map::new();
    for name in names {
        let error = |problem: &str| Err(QuestionError::new(name.to_owned(), problem));
        let text = match parameters.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            Some(Value::Array(_) | Value::Object(_)) => return error("must be a string, a number or a boolean"),
        };
        if text == "<no value>" {
            return error(NO_VALUE);
        }
        if text.len() > LONGEST_INPUT {
            return error("is longer than 4 KiB");
        }
        if text.contains('\0') {
            return error("contains a NUL character");
        }
        inputs.insert(name.to_owned(), Value::String(text));
    }
    Ok(inputs)
}

fn number(parameters: &Map<String, Value>, branch: &Branch) -> Result<Option<u64>, QuestionError> {
    let error = |problem: String| Err(QuestionError::new("number", problem));
    let wrong = |got: &str| error(format!("expected a pull request's number such as \"123\", got `{}`", excerpt(got)));
    match parameters.get("number") {
        None => Ok(None),
        // Where both are templates that nobody rendered, the branch's story is told: it may even exist.
        Some(Value::String(text)) if looks_unrendered(text) && branch.looks_unrendered() => Ok(None),
        Some(Value::String(text)) if looks_unrendered(text) => error(unrendered(text)),
        Some(Value::String(text)) if text == "<no value>" => error(NO_VALUE.to_owned()),
        Some(Value::String(text)) => {
            let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
            match text.parse() {
                Ok(number) if digits && number > 0 => Ok(Some(number)),
                _ => wrong(text),
            }
        }
        Some(Value::Number(number)) => match number.as_u64() {
            Some(number) if number > 0 => Ok(Some(number)),
            _ => wrong(&number.to_string()),
        },
        Some(_) => error("must be a number or a string with a number".to_owned()),
    }
}

fn head_sha(parameters: &Map<String, Value>) -> Result<Option<CommitSha>, QuestionError> {
    let error = |problem: String| Err(QuestionError::new("head_sha", problem));
    match parameters.get("head_sha") {
        None => Ok(None),
        Some(Value::String(text)) if looks_unrendered(text) => error(unrendered(text)),
        Some(Value::String(text)) if text == "<no value>" => error(NO_VALUE.to_owned()),
        Some(Value::String(text)) => match text.parse() {
            Ok(sha) => Ok(Some(sha)),
            Err(_) => {
                error(format!("expected 40 hex digits (`head_sha`, not `head_short_sha`), got `{}`", excerpt(text)))
            }
        },
        Some(_) => error("must be a string".to_owned()),
    }
}

/// The advice for a template that arrived as it was written.
pub(crate) fn unrendered(text: &str) -> String {
    format!(
        "is the template `{}`, which nobody rendered: with goTemplate write `{{{{.name}}}}`, without it `{{{{name}}}}`, inside a matrix",
        excerpt(text)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(parameters: &Value) -> Result<Question, String> {
        Question::parse("set", parameters.as_object().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn good_questions() {
        let sha = "a".repeat(40);
        let full = parse(&json!({"branch": "b", "number": "12", "head_sha": sha, "other": [1]})).unwrap();
        assert_eq!((full.number, full.head_sha), (Some(12), Some(sha.parse().unwrap())));
        assert_eq!(parse(&json!({"branch": "b", "number": 12})).unwrap().number, Some(12));
        for odd in ["🎉", "a{{b", "$(x)", "-a", "{{branch}}", &"x".repeat(255)] {
            assert_eq!(parse(&json!({"branch": odd})).unwrap().branch.as_str(), odd);
        }
        assert_eq!(parse(&json!({"branch": "{{branch}}", "number": "{{number}}"})).unwrap().number, None);
        assert_eq!(parse(&json!({"branch": "{{branch}}", "number": "7"})).unwrap().number, Some(7));
    }

    #[test]
    fn inputs_are_texts_and_only_those_that_are_used() {
        let parameters = json!({"a": "x", "n": 7, "b": true, "nothing": null, "other": ["1"], "list": [1]});
        let parameters = parameters.as_object().unwrap();
        let found = inputs(["a", "n", "b", "nothing", "absent"].into_iter(), parameters).unwrap();
        assert_eq!(Value::Object(found), json!({"a": "x", "n": "7", "b": "true"}));
        for (value, problem) in [
            (json!([1]), "input.parameters.x: must be a string, a number or a boolean"),
            (json!({}), "input.parameters.x: must be a string, a number or a boolean"),
            (json!("a\u{0}"), "input.parameters.x: contains a NUL character"),
            (json!("y".repeat(5000)), "input.parameters.x: is longer than 4 KiB"),
        ] {
            let parameters = json!({ "x": value });
            let error = inputs(["x"].into_iter(), parameters.as_object().unwrap()).unwrap_err();
            assert_eq!(error.to_string(), problem);
        }
        let parameters = json!({"x": "<no value>"});
        assert!(inputs(["x"].into_iter(), parameters.as_object().unwrap()).is_err());
    }

    #[test]
    fn bad_questions_name_the_parameter() {
        for (parameters, parameter) in [
            (json!({}), "branch"),
            (json!({"branch": ""}), "branch"),
            (json!({"branch": 1}), "branch"),
            (json!({"branch": null}), "branch"),
            (json!({"branch": "<no value>"}), "branch"),
            (json!({"branch": "x".repeat(2048)}), "branch"),
            (json!({"branch": "../../x"}), "branch"),
            (json!({"branch": "a..b"}), "branch"),
            (json!({"branch": "a\nb"}), "branch"),
            (json!({"branch": "a\u{0}b"}), "branch"),
            (json!({"branch": "b", "number": "abc"}), "number"),
            (json!({"branch": "b", "number": "-1"}), "number"),
            (json!({"branch": "b", "number": -1}), "number"),
            (json!({"branch": "b", "number": 0}), "number"),
            (json!({"branch": "b", "number": 1.5}), "number"),
            (json!({"branch": "b", "number": "+1"}), "number"),
            (json!({"branch": "b", "number": ""}), "number"),
            (json!({"branch": "b", "number": "<no value>"}), "number"),
            (json!({"branch": "b", "number": "{{number}}"}), "number"),
            (json!({"branch": "b", "number": ["1"]}), "number"),
            (json!({"branch": "b", "head_sha": "abc1234"}), "head_sha"),
            (json!({"branch": "b", "head_sha": "{{head_sha}}"}), "head_sha"),
            (json!({"branch": "b", "head_sha": 1}), "head_sha"),
            (json!({"branch": "b", "repository": "a/b"}), "repository"),
        ] {
            let error = parse(&parameters).unwrap_err();
            assert!(error.starts_with(&format!("input.parameters.{parameter}: ")), "{parameters}: {error}");
        }
    }
}
