//! A record as it is written: facts in JSON, with a version and a seal.
//!
//! The seal covers the line's key as well, so that a row that was damaged, edited or put in another one's place is
//! found out. What cannot be read is reported and never guessed.

use std::{collections::BTreeMap, fmt::Write as _};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{LineKey, Record};
use crate::domain::{Branch, Build, BuiltImage, CommitSha, Images, Line};

/// The version that is written. A change of meaning makes it another one; a further field that may be absent does not.
const VERSION: u32 = 1;

/// What a row of the ledger says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// This was answered last.
    Item(Record),
    /// It was asked, and truly had nothing.
    Nothing(Nothing),
    /// It was forgotten: as if it had never been seen.
    Forgotten,
}

/// What is kept of a line that has nothing. Records of earlier versions have none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nothing {
    /// The head branch's name, and whether that branch lives in the repository itself.
    pub(super) branch: Option<(Branch, bool)>,
    /// Which process withdrew an item, if one did.
    pub(super) withdrawn_by: Option<u64>,
}

/// A fact as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) text: String,
    pub(super) seal: String,
}

#[derive(Serialize, Deserialize)]
struct Versioned {
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "known", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Stored {
    Item {
        v: u32,
        commit: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        test_merge: Option<String>,
        branch: String,
        own: bool,
        recorded_at: DateTime<Utc>,
        images: BTreeMap<String, StoredImage>,
    },
    Nothing {
        v: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        own: Option<bool>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        withdrawn_by: Option<u64>,
    },
    Forgotten {
        v: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredImage {
    image: String,
    tag: String,
    digest: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    built_from: String,
}

/// Writes a fact.
pub(super) fn seal(key: &LineKey, fact: &Fact) -> Sealed {
    let stored = match fact {
        Fact::Item(record) => Stored::Item {
            v: VERSION,
            commit: record.build.commit().to_string(),
            test_merge: record.build.test_merge().map(|sha| sha.to_string()),
            branch: record.branch.to_string(),
            own: record.own,
            recorded_at: record.recorded_at,
            images: record.build.images().iter().map(|(key, image)| (key.to_owned(), store(image))).collect(),
        },
        Fact::Nothing(Nothing { branch, withdrawn_by }) => Stored::Nothing {
            v: VERSION,
            branch: branch.as_ref().map(|(branch, _)| branch.to_string()),
            own: branch.as_ref().map(|(_, own)| *own),
            withdrawn_by: *withdrawn_by,
        },
        Fact::Forgotten => Stored::Forgotten { v: VERSION },
    };
    let text = serde_json::to_string(&stored).expect("strings, numbers and maps of them are always JSON");
    Sealed { seal: seal_of_line(key, &text), text }
}

/// Reads a fact; the error is a sentence for people.
pub(super) fn open(key: &LineKey, sealed: &Sealed) -> Result<Fact, String> {
    if seal_of_line(key, &sealed.text) != sealed.seal {
        return Err("its seal is broken: it was damaged, or changed by hand".to_owned());
    }
    let Versioned { v } = serde_json::from_str(&sealed.text).map_err(|error| error.to_string())?;
    if v != VERSION {
        return Err(format!("it has version {v}; this lastgreen reads version {VERSION}"));
    }
    let stored = serde_json::from_str(&sealed.text).map_err(|error| error.to_string())?;
    Ok(match stored {
        Stored::Nothing { branch, own, withdrawn_by, .. } => {
            let branch = branch.as_deref().map(parse).transpose()?.zip(own);
            Fact::Nothing(Nothing { branch, withdrawn_by })
        }
        Stored::Forgotten { .. } => Fact::Forgotten,
        Stored::Item { commit, test_merge, branch, own, recorded_at, images, .. } => {
            let commit: CommitSha = parse(&commit)?;
            let test_merge = test_merge.as_deref().map(parse).transpose()?;
            let images = images.into_iter().map(|(key, image)| Ok((key, load(&image)?)));
            let images = Images::recorded(images.collect::<Result<_, String>>()?).ok_or("it has no image")?;
            let build = Build::recorded(commit, test_merge, images);
            Fact::Item(Record { build, branch: parse(&branch)?, own, recorded_at })
        }
    })
}

fn store(image: &BuiltImage) -> StoredImage {
    StoredImage {
        image: image.image.to_string(),
        tag: image.tag.to_string(),
        digest: image.digest.to_string(),
        labels: image.labels.clone(),
        built_from: image.built_from.to_string(),
    }
}

fn load(stored: &StoredImage) -> Result<BuiltImage, String> {
    Ok(BuiltImage {
        image: parse(&stored.image)?,
        tag: parse(&stored.tag)?,
        digest: parse(&stored.digest)?,
        labels: stored.labels.clone(),
        built_from: parse(&stored.built_from)?,
    })
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn seal_of_line(key: &LineKey, text: &str) -> String {
    seal_of([&*key.generator, &key.repository.to_string(), &line_text(&key.line), text])
}

/// The first half of a SHA-256 of a key and a text, in hex.
pub(super) fn seal_of<const N: usize>(parts: [&str; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}

/// A line as it is written: `#12`, or `branch main`.
pub(super) fn line_text(line: &Line) -> String {
    line.to_string()
}

/// Reads what [`line_text`] wrote.
pub(super) fn line_of(text: &str) -> Option<Line> {
    match text.strip_prefix('#') {
        Some(number) => number.parse().ok().map(Line::Pull),
        None => text.strip_prefix("branch ")?.parse::<Branch>().ok().map(Line::Branch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;

    fn key(line: Line) -> LineKey {
        LineKey { generator: "preview".into(), repository: 7, line }
    }

    fn record() -> Record {
        let commit: CommitSha = "a".repeat(40).parse().unwrap();
        let image = |digest: &str| BuiltImage {
            image: "ghcr.io/myorg/front".parse().unwrap(),
            tag: "sha-1".parse().unwrap(),
            digest: Digest::of(digest.as_bytes()),
            labels: BTreeMap::from([("org.example".to_owned(), "1 \"x\"\u{0}".to_owned())]),
            built_from: commit,
        };
        let images = BTreeMap::from([("front".to_owned(), image("f")), ("back".to_owned(), image("b"))]);
        let images = Images::recorded(images).unwrap();
        Record {
            build: Build::recorded(commit, Some("b".repeat(40).parse().unwrap()), images),
            branch: "feature/ü".parse().unwrap(),
            own: true,
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for line in [Line::Pull(12), Line::Branch("#12".parse().unwrap()), Line::Branch("a/b".parse().unwrap())] {
            assert_eq!(line_of(&line_text(&line)), Some(line.clone()));
            let branch = Some(("feature/ü".parse().unwrap(), false));
            let nothing = Nothing { branch, withdrawn_by: Some(u64::MAX) };
            for fact in
                [Fact::Item(record()), Fact::Nothing(Nothing::default()), Fact::Nothing(nothing), Fact::Forgotten]
            {
                assert_eq!(open(&key(line.clone()), &seal(&key(line.clone()), &fact)), Ok(fact));
            }
        }
    }

    #[test]
    fn a_nothing_without_a_name_is_read() {
        let key = key(Line::Pull(12));
        let text = r#"{"known":"nothing","v":1}"#.to_owned();
        let sealed = Sealed { seal: seal_of_line(&key, &text), text };
        assert_eq!(open(&key, &sealed), Ok(Fact::Nothing(Nothing::default())));
        assert_eq!(seal(&key, &Fact::Nothing(Nothing::default())), sealed);
    }

    #[test]
    fn what_was_changed_is_found_out() {
        let key = key(Line::Pull(12));
        let sealed = seal(&key, &Fact::Item(record()));
        let broken = "its seal is broken: it was damaged, or changed by hand";
        for position in 0..sealed.text.len() {
            if !sealed.text.is_char_boundary(position) || !sealed.text.is_char_boundary(position + 1) {
                continue;
            }
            let mut text = sealed.text.clone();
            text.replace_range(position..=position, "\u{1}");
            assert_eq!(open(&key, &Sealed { text, ..sealed.clone() }).unwrap_err(), broken);
        }
        let elsewhere = LineKey { line: Line::Pull(13), ..key.clone() };
        assert_eq!(open(&elsewhere, &sealed).unwrap_err(), broken);
    }

    #[test]
    fn what_a_newer_one_wrote_is_not_guessed() {
        let key = key(Line::Pull(12));
        let text = r#"{"v":2,"known":"item"}"#.to_owned();
        let sealed = Sealed { seal: seal_of_line(&key, &text), text };
        assert_eq!(open(&key, &sealed).unwrap_err(), "it has version 2; this lastgreen reads version 1");
        for text in ["", "{}", r#"{"v":1}"#, r#"{"v":1,"known":"item"}"#, r#"{"v":1,"known":"else"}"#] {
            assert!(open(&key, &Sealed { seal: seal_of_line(&key, text), text: text.to_owned() }).is_err(), "{text}");
        }
    }
}
