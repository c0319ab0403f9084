//! An answer as it came, read by what the oracle knows of digests. Whatever is wrong with every possible line is found
//! here: the form, the time, digests of nobody's, digests of several commits.

use std::{rc::Rc, time::Duration};

use crate::{
    hub::Sha,
    rules::{ANSWER_WITHIN, IMAGES},
    shelf::{Origin, Shelf},
    stage::Reply,
};

/// A promise that was broken, and how.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) promise: Promise,
    pub(crate) how: String,
}

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// A digest of a commit that was not green, or that is not the line's.
    OnlyGreen,
    /// Digests that do not belong together.
    OneCommit,
    /// An empty list that was not due.
    NothingWithdrawn,
    /// An older commit after a newer one.
    NeverBack,
    /// What is held is not what was answered last.
    NothingLost,
    /// A refusal that was not due.
    NobodyElses,
    /// An answer after its deadline.
    InTime,
    /// Not the newest build, though nothing was in its way.
    Alive,
    /// A list that no part said.
    AsSaid,
    /// What is gone from its source, and is answered all the same.
    LetGo,
    /// A form that is no answer's.
    Form,
}

impl Promise {
    pub(crate) const ALL: [(Self, &str); 11] = [
        (Self::OnlyGreen, "digests of commits that were not green, or another line's"),
        (Self::OneCommit, "mixed sets"),
        (Self::NothingWithdrawn, "empties that were not due"),
        (Self::NeverBack, "older commits after newer ones"),
        (Self::NothingLost, "items lost"),
        (Self::NobodyElses, "refusals that were not due"),
        (Self::InTime, "answers after the deadline"),
        (Self::Alive, "new builds not answered"),
        (Self::AsSaid, "lists that nobody said"),
        (Self::LetGo, "rows kept that were to go"),
        (Self::Form, "answers of another form"),
    ];

    pub(crate) fn violated<T>(self, how: impl Into<String>) -> Result<T, Violation> {
        Err(Violation { promise: self, how: how.into() })
    }
}

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) commit: Sha,
    pub(crate) origin: Origin,
    pub(crate) digests: Vec<String>,
}

/// What the program says of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Fresh,
    Held,
    NotYet,
    Unknown,
    Refused,
}

impl Standing {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Held => "held",
            Self::NotYet => "not-yet",
            Self::Unknown => "unknown",
            Self::Refused => "503",
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) item: Option<Item>,
    pub(crate) standing: Standing,
}

impl Answer {
    /// Reads what came.
    pub(crate) fn read(reply: &Reply, shelf: &Shelf) -> Result<Self, Violation> {
        // The clock is a little later with every look at it.
        if reply.after > ANSWER_WITHIN + Duration::from_millis(10) {
            return Promise::InTime.violated(format!("answered after {:?}", reply.after));
        }
        let standing = reply.header("x-lastgreen-standing");
        if reply.status == 503 && standing == "unknown" && reply.body["message"].is_string() {
            return Ok(Self { item: None, standing: Standing::Refused });
        }
        let items = reply.body["output"]["parameters"].as_array().filter(|_| reply.status == 200);
        let Some(items) = items else {
            return Promise::NobodyElses.violated(format!("status {}: {}", reply.status, reply.body));
        };
        let (item, standing) = match (items.as_slice(), standing) {
            ([], "not-yet") => (None, Standing::NotYet),
            ([], "unknown") => (None, Standing::Unknown),
            ([one], "fresh") => (Some(one), Standing::Fresh),
            ([one], "held") => (Some(one), Standing::Held),
            _ => return Promise::Form.violated(format!("{} items, standing {standing:?}", items.len())),
        };
        let item = item.map(|item| read_item(item, shelf)).transpose()?;
        let told = reply.header("x-lastgreen-commit");
        if told != item.as_ref().map_or("", |item| &item.commit) {
            return Promise::Form.violated(format!("the header tells the commit {told:?}"));
        }
        Ok(Self { item, standing })
    }
}

fn read_item(item: &serde_json::Value, shelf: &Shelf) -> Result<Item, Violation> {
    let keys: Vec<_> = item.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
    let mut expected: Vec<_> = IMAGES.iter().map(|(_, key)| (*key).to_owned()).collect();
    expected.sort();
    if keys != expected {
        return Promise::Form.violated(format!("the keys {keys:?}"));
    }
    read_digests(item, shelf)
}

/// The build that an item's digests are of, whatever else the item has.
pub(super) fn read_digests(item: &serde_json::Value, shelf: &Shelf) -> Result<Item, Violation> {
    let mut found: Option<Item> = None;
    for (image, (_, key)) in IMAGES.iter().enumerate() {
        let digest = item[key].as_str().unwrap_or_default().to_owned();
        let Some(built) = shelf.digests.get(&digest) else {
            return Promise::OneCommit.violated(format!("{key} is {digest:?}, which nobody pushed"));
        };
        let found = found.get_or_insert_with(|| Item {
            commit: Rc::clone(&built.commit),
            origin: built.origin.clone(),
            digests: Vec::new(),
        });
        if built.image != image || built.commit != found.commit || built.origin != found.origin {
            return Promise::OneCommit.violated(format!("{key} was built from another commit than the other image"));
        }
        found.digests.push(digest);
    }
    found.map_or_else(|| Promise::Form.violated("no image"), Ok)
}
