//! GitHub's answers, for the fuzz targets.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use chrono::DateTime;
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::Value;

use super::{
    address::Address,
    credential::{Credential, Holder, Resource, speaks_of_limit},
    envelope::{self, Meaning},
    read,
    transport::Answer,
};
use crate::{
    clock::{ManualClock, Moment, SharedClock},
    domain::{Commit, Snapshot},
    upstream::{Kind, PaceLimits, Secret, UpstreamError},
};

/// What was sent, and may come back.
const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

/// A limit never stops us for longer.
const LONGEST: Duration = Duration::from_hours(1);

fn answered(status: StatusCode, headers: HeaderMap, body: &[u8]) -> Answer {
    let (sent, date) = (Moment::after_start(Duration::from_hours(1)), DateTime::UNIX_EPOCH);
    let mut answer = Answer { status, headers, body: body.to_vec(), sent, received: sent, date };
    answer.hide(&Secret::new(TOKEN));
    assert!(!String::from_utf8_lossy(&answer.body).contains(TOKEN));
    answer
}

/// Reads an answer about a pull request by its number, or about a branch; what is wrong with it.
pub(crate) fn answer(number: bool, body: &[u8]) -> Option<String> {
    let answer = answered(StatusCode::OK, HeaderMap::new(), body);
    match snapshot(number, &answer) {
        Ok(Some(snapshot)) => {
            // What is skipped is not looked at, and may be what no JSON holds.
            if let Ok(told) = serde_json::from_slice(&answer.body) {
                is_whole(&snapshot, &told);
            }
            None
        }
        Ok(None) => None,
        Err(error) => Some(error.to_string()),
    }
}

/// `None` is a limit.
fn snapshot(number: bool, answer: &Answer) -> Result<Option<Snapshot>, UpstreamError> {
    let repo = "myorg/myrepo".parse().expect("a repository");
    let (_, faults) = envelope::faults(&answer.body)?;
    match envelope::judge(&faults, &repo) {
        Meaning::Limit => return Ok(None),
        Meaning::Failure(error) => return Err(error),
        Meaning::Tolerable => {}
    }
    if number {
        read::by_number(answer, &mut read::repository(&answer.body, &repo)?).map(Some)
    } else {
        read::by_branch(answer, &mut read::repository(&answer.body, &repo)?).map(Some)
    }
}

/// Nothing that GitHub did not say passes for "none": it says so by a `null`.
fn is_whole(snapshot: &Snapshot, body: &Value) {
    let repository = &body["data"]["repository"];
    let has = |key: &str| repository.get(key).is_some();
    assert!(has("pull") || has("branch"), "neither was answered: {body}");
    assert!(snapshot.own_branch.is_some() || !repository["branch"].is_object() || has("pull"));
    assert!(snapshot.pulls.is_sorted_by_key(|pull| pull.number));
    let mut told = Vec::new();
    commits(body, &mut told);
    let walked = snapshot.pulls.iter().filter_map(|pull| pull.commits.as_ref());
    for commit in snapshot.own_branch.iter().map(|tip| &tip.commits).chain(walked).flat_map(|some| &some.loaded) {
        assert!(told.iter().any(|told| is_told(commit, told)), "{commit:?} is not what was told");
    }
}

/// Everything that looks like a commit.
fn commits<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| commits(item, found)),
        Value::Object(map) => {
            if map.contains_key("statusCheckRollup") {
                found.push(value);
            }
            map.values().for_each(|value| commits(value, found));
        }
        _ => {}
    }
}

/// Whether a commit has all the parents and all the checks that GitHub told of it.
fn is_told(commit: &Commit, told: &Value) -> bool {
    let count = |list: &Value| list["nodes"].as_array().map_or(0, Vec::len);
    let rollup = &told["statusCheckRollup"];
    told["oid"].as_str().is_some_and(|oid| oid.eq_ignore_ascii_case(commit.sha.as_str()))
        && count(&told["parents"]) == commit.parents.len()
        && count(&rollup["contexts"]) == commit.checks.len()
        && rollup["contexts"]["pageInfo"]["hasNextPage"].as_bool().unwrap_or(false) == commit.more_checks.is_some()
}

/// Reads what headers say of limits and redirects; what is wrong with them.
pub(crate) fn headers(headers: HeaderMap, body: &[u8]) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(location) = headers.get(header::LOCATION).and_then(|location| location.to_str().ok()) {
        stays_at_home(location);
    }
    let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
    let pace = PaceLimits { per_second: NonZeroU32::MIN, concurrent: NonZeroU32::MIN };
    let credential = Credential::new(Holder::Token("/secret".into()), pace, clock);
    let answer = answered(StatusCode::FORBIDDEN, headers, body);
    credential.learn(Resource::Graphql, &answer);
    if speaks_of_limit(&answer) {
        let error = credential.limited(Resource::Graphql, &answer);
        let Kind::Limited { until } = error.kind else { panic!("{error:?}") };
        assert!(until > answer.received && until.since(answer.received) <= LONGEST, "{until:?}");
        said.push(error.to_string());
    }
    said.extend(super::send::judge_status(&credential, &answer).err().map(|error| error.to_string()));
    said
}

/// A redirect is followed to a path of the same origin or not at all.
fn stays_at_home(location: &str) {
    let address = Address::parse("https://ghe.example.com/api/v3").expect("an address");
    let Some(path) = address.within(location) else { return };
    let uri: Uri = path.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(uri.authority().is_none() && uri.scheme().is_none() && path.starts_with('/'), "{path}");
    let whole: Uri = format!("https://ghe.example.com{path}").parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(whole.host(), Some("ghe.example.com"));
}

/// An address that a configuration may have.
pub(crate) fn address(api: &str) {
    Address::parse(api).unwrap_or_else(|error| panic!("{error}"));
}
