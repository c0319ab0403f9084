//! What the fuzz targets of `fuzz/` call: the code that reads what strangers write, and what must hold of it.
//!
//! It exists only where `--cfg fuzzing` is set. Each function takes a target's bytes and panics where something does
//! not hold; the parts that look into a module live in that module.

use std::collections::BTreeSet;

use crate::{
    config::Config,
    domain::{Branch, CommitSha, Dialect, Digest, ImageName, ImageTemplate, Names, Repo, Statement, Tag, TagContext},
    github, http, kubernetes,
    parts::plugins,
    registry,
    trace::{Caller, TraceParent},
};

/// No message is longer, in bytes.
const LONGEST: usize = 2000;

/// A request's body, as the plugin reads it.
pub fn question(data: &[u8]) {
    let read = http::fuzzing::question(data);
    assert_eq!(read, http::fuzzing::question(data), "the same question is another one");
    match read {
        Ok(question) => {
            assert!(is_branch(question.branch.as_str()), "git refuses `{}`", question.branch);
            assert!(question.number != Some(0));
            assert!(question.application_set.len() <= 253);
            assert_eq!(http::fuzzing::question(&http::fuzzing::body(&question)), Ok(question));
        }
        Err(message) => is_decent(&message),
    }
}

/// An answer of another plugin: the first byte tells whether its keys are known.
pub fn plugin(data: &[u8]) {
    let Some((told, body)) = data.split_first() else { return };
    let read = plugins::fuzzing::items(body, told % 2 == 0);
    assert_eq!(read, plugins::fuzzing::items(body, told % 2 == 0), "the same answer is another one");
    match read {
        Ok(items) => {
            let same = items.windows(2).all(|pair| pair[0].keys().eq(pair[1].keys()));
            assert!(same, "items have other keys than the first");
            // What was taken can be said again, and is the same.
            let again = serde_json::json!({ "output": { "parameters": items } }).to_string();
            assert_eq!(plugins::fuzzing::items(again.as_bytes(), told % 2 == 0), Ok(items));
        }
        Err(message) => is_decent(&message),
    }
}

/// A Service that wants to be a plugin's, as JSON.
pub fn service(data: &[u8]) {
    match kubernetes::fuzzing::service(data) {
        None => {}
        Some(Ok(url)) => {
            let uri: ::http::Uri = url.parse().expect("an address is a URL");
            let authority = uri.authority().expect("an address has a host");
            let is_name = authority.host().parse::<std::net::IpAddr>().is_err();
            assert!(is_name && !authority.as_str().contains('@') && uri.query().is_none(), "{url}");
        }
        Some(Err(message)) => is_decent(&message),
    }
}

/// An answer of GitHub's GraphQL API: the first byte tells what was asked.
pub fn github(data: &[u8]) {
    let Some((asked, body)) = data.split_first() else { return };
    let read = || github::fuzzing::answer(asked % 2 == 0, body);
    let message = read();
    assert_eq!(message, read(), "the same answer is another one");
    if let Some(message) = message {
        is_decent(&message);
    }
}

/// The head and the body of an answer or a request, as text: headers that a registry, GitHub or a caller may send.
pub fn headers(data: &[u8]) {
    let (headers, body) = head(data);
    if let Some(caller) = Caller::read(&headers) {
        let again = caller.parent.to_string();
        assert_eq!((again.len(), TraceParent::parse(again.as_bytes())), (55, Some(caller.parent)));
        if let Some(state) = &caller.state {
            assert!(state.len() <= 512 && state.to_str().is_ok_and(|state| state.contains('=')), "{state:?}");
        }
    }
    for message in registry::fuzzing::headers(&headers, body).into_iter().chain(github::fuzzing::headers(headers, body))
    {
        is_decent(&message);
    }
}

/// A configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // YAML's lines end at a carriage return, too.
    let lines = text.split(['\n', '\r']).count();
    match Config::parse(text, "config.yaml") {
        Ok((config, warnings)) => {
            for warning in &warnings {
                is_placed(&warning.0, lines);
            }
            assert!(!config.generators.is_empty());
            for (name, generator) in &config.generators {
                let part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                assert!((1..=63).contains(&name.len()) && name.bytes().all(part), "{name}");
                assert!(generator.refresh.pending <= generator.refresh.settled);
                assert!(generator.build.is_some() || generator.sql.is_some());
                assert!(generator.build.is_none() || config.github.is_some());
                if let Some(build) = &generator.build {
                    assert!((1..=100).contains(&build.walk) && !build.images.is_empty());
                    let images = build.images.iter().map(|image| &image.key);
                    let keys: Vec<_> = images.chain(build.outputs.iter().map(|(key, _)| key)).collect();
                    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "a key comes twice: {keys:?}");
                }
                if let Some(sql) = &generator.sql {
                    let read =
                        [Dialect::Postgres, Dialect::Sqlite].map(|dialect| Statement::parse(&sql.query, dialect));
                    assert!(read.iter().any(Result::is_ok), "no database takes {}", sql.query);
                }
            }
            // What is accepted can be run, but for files that are not there.
            if let Some(github) = &config.github {
                github::fuzzing::address(&github.api);
            }
            for registry in config.registries {
                registry::fuzzing::host(registry.host, registry.realms, registry.plain_http);
            }
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            for error in &errors.0 {
                is_placed(error, lines);
            }
        }
    }
}

/// An image with a tag template, a branch, a pull request's number, and a repository, each on a line.
pub fn tag(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (name, template) = match ImageTemplate::candidate(line()) {
        Ok(candidate) => candidate,
        Err(error) => return is_decent(&error.to_string()),
    };
    let branch: Branch = match line().parse() {
        Ok(branch) => branch,
        Err(error) => return is_decent(&error.to_string()),
    };
    assert!(is_branch(branch.as_str()), "git refuses `{branch}`");
    let number = line().parse().ok();
    let repository: Repo = line().parse().or_else(|_| "myorg/myrepo".parse()).expect("this is a repository");
    let name = match name.of(&repository) {
        Ok(image) => {
            assert_eq!(image.host(), name.host(), "{repository} leads {name} elsewhere");
            let folders = |text: &str| text.matches('/').count();
            let is_official = name.host() == "docker.io" && folders(&name.to_string()) == 1;
            let written = folders(&name.to_string()) + usize::from(is_official);
            assert_eq!(folders(&image.to_string()), written, "{repository} leads {name} elsewhere");
            image
        }
        Err(error) => return is_decent(&error.to_string()),
    };
    let commits: Vec<CommitSha> = ["a", "b"].iter().filter_map(|digit| digit.repeat(40).parse().ok()).collect();
    let tags: Vec<Option<Tag>> = commits
        .iter()
        .map(|commit| {
            let context = TagContext { commit, test_merge: Some(commit), number, branch: &branch };
            let tag = template.render(&context);
            assert_eq!(tag, template.render(&context));
            tag.map_err(|error| is_decent(&error.to_string())).ok()
        })
        .collect();
    for (tag, commit) in tags.iter().zip(&commits) {
        let Some(tag) = tag else { continue };
        is_tag(tag.as_str());
        assert!(template.names() == Names::Moving || tag.as_str().contains(commit.short(7)), "{template}: {tag}");
        names_this_image(&name, tag);
    }
    assert_eq!(tags[0].is_some(), tags[1].is_some());
    assert!(tags[0].is_none() || (template.names() == Names::Moving) == (tags[0] == tags[1]), "{template}: {tags:?}");
}

/// A manifest or an image's configuration.
pub fn image(data: &[u8]) {
    if let Some(message) = registry::fuzzing::image(data) {
        is_decent(&message);
    }
}

/// A Docker `config.json`, or a token server's answer.
pub fn credentials(data: &[u8]) {
    registry::fuzzing::token(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    for message in registry::fuzzing::docker_config(text) {
        is_decent(&message);
    }
}

/// What people are told is short, and nothing in it changes how a terminal or a log shows it.
#[track_caller]
fn is_decent(message: &str) {
    assert!(!message.is_empty() && message.len() <= LONGEST, "{} bytes: {message}", message.len());
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

fn is_placed(error: &crate::config::ConfigError, lines: usize) {
    is_decent(&error.to_string());
    assert!((1..=lines).contains(&error.line) && error.column > 0, "of {lines} lines: {error}");
}

/// `git check-ref-format refs/heads/<name>`, written down once more.
fn is_branch(name: &str) -> bool {
    let bytes = name.as_bytes();
    let component = |part: &[u8]| !part.is_empty() && part[0] != b'.' && !part.ends_with(b".lock");
    let character = |byte: &u8| *byte > b' ' && *byte != 0x7f && !b"~^:?*[\\".contains(byte);
    let pair = |pair: &[u8]| pair != b".." && pair != b"@{";
    bytes.split(|byte| *byte == b'/').all(component)
        && bytes.iter().all(character)
        && bytes.windows(2).all(pair)
        && !bytes.ends_with(b".")
}

fn is_tag(tag: &str) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!((1..=128).contains(&tag.len()) && tag.starts_with(word), "{tag}");
    assert!(tag.chars().all(|c| word(c) || c == '.' || c == '-'), "{tag}");
}

/// Whatever was in the tag, it is this repository at this registry that is asked.
fn names_this_image(name: &ImageName, tag: &Tag) {
    let text = format!("{name}:{tag}");
    let (again, template) = ImageTemplate::candidate(&text).expect("a reference is a candidate without placeholders");
    assert_eq!((again.to_string(), template.to_string()), (name.to_string(), tag.to_string()));
    registry::fuzzing::reference(name, tag, &Digest::of(tag.as_str().as_bytes()));
}

/// Headers up to an empty line, then a body.
fn head(data: &[u8]) -> (::http::HeaderMap, &[u8]) {
    let mut headers = ::http::HeaderMap::new();
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.trim_ascii().is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = ::http::HeaderName::from_bytes(&line[..colon]);
        let value = ::http::HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}
