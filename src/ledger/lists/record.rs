//! Lists as they are written: JSON with a version and a seal, as a line's record is.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Guarded, HeldBack, ListKey, ListRecord};
use crate::{
    domain::List,
    ledger::record::{Sealed, seal_of},
};

/// The version that is written. A change of meaning makes it another one; a further field that may be absent does not.
const VERSION: u32 = 1;

/// What a row of the ledger says of lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum ListFact {
    /// These were answered last.
    Lists(ListRecord),
    /// They were forgotten: as if nobody had ever asked for them.
    Forgotten,
}

type Items = Vec<BTreeMap<String, String>>;

#[derive(Serialize, Deserialize)]
struct Versioned {
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "known", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Stored {
    Lists {
        v: u32,
        recorded_at: DateTime<Utc>,
        parts: BTreeMap<String, Items>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<StoredWindow>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held_back: Option<StoredHeldBack>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        released: Option<usize>,
    },
    Forgotten {
        v: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredWindow {
    since: DateTime<Utc>,
    items: Items,
}

#[derive(Serialize, Deserialize)]
struct StoredHeldBack {
    vanish: usize,
    of: usize,
}

/// Writes a fact.
pub(in crate::ledger) fn seal(key: &ListKey, fact: &ListFact) -> Sealed {
    let items = |list: &List| list.items().to_vec();
    let stored = match fact {
        ListFact::Forgotten => Stored::Forgotten { v: VERSION },
        ListFact::Lists(ListRecord { parts, guarded, recorded_at }) => Stored::Lists {
            v: VERSION,
            recorded_at: *recorded_at,
            parts: parts.iter().map(|(part, list)| (part.to_string(), items(list))).collect(),
            window: guarded.window.as_ref().map(|(since, list)| StoredWindow { since: *since, items: items(list) }),
            held_back: guarded.held_back.map(|HeldBack { vanish, of }| StoredHeldBack { vanish, of }),
            released: guarded.released,
        },
    };
    let text = serde_json::to_string(&stored).expect("strings, numbers and maps of them are always JSON");
    Sealed { seal: seal_of([&*key.generator, &*key.about, &text]), text }
}

/// Reads a fact; the error is a sentence for people.
pub(in crate::ledger) fn open(key: &ListKey, sealed: &Sealed) -> Result<ListFact, String> {
    if seal_of([&*key.generator, &*key.about, &sealed.text]) != sealed.seal {
        return Err("its seal is broken: it was damaged, or changed by hand".to_owned());
    }
    let Versioned { v } = serde_json::from_str(&sealed.text).map_err(|error| error.to_string())?;
    if v != VERSION {
        return Err(format!("it has version {v}; this lastgreen reads version {VERSION}"));
    }
    Ok(match serde_json::from_str(&sealed.text).map_err(|error| error.to_string())? {
        Stored::Forgotten { .. } => ListFact::Forgotten,
        Stored::Lists { recorded_at, parts, window, held_back, released, .. } => ListFact::Lists(ListRecord {
            parts: parts.into_iter().map(|(part, items)| (Arc::from(part), List::said(items))).collect(),
            guarded: Guarded {
                window: window.map(|window| (window.since, List::said(window.items))),
                held_back: held_back.map(|StoredHeldBack { vanish, of }| HeldBack { vanish, of }),
                released,
            },
            recorded_at,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let generator = Arc::from("tenants");
        let key = ListKey::of_inputs(&generator, "{}");
        let list = List::said(vec![BTreeMap::from([("tenant".to_owned(), "Acme \"Corp\"\u{0}".to_owned())])]);
        let record = |guarded| ListRecord {
            parts: BTreeMap::from([(Arc::from("sql"), list.clone()), (Arc::from("plugins"), List::said(Vec::new()))]),
            guarded,
            recorded_at: DateTime::UNIX_EPOCH,
        };
        let guarded = Guarded {
            window: Some((DateTime::UNIX_EPOCH, list.clone())),
            held_back: Some(HeldBack { vanish: 3, of: 7 }),
            released: Some(4),
        };
        for fact in [ListFact::Lists(record(Guarded::default())), ListFact::Lists(record(guarded)), ListFact::Forgotten]
        {
            let sealed = seal(&key, &fact);
            assert_eq!(open(&key, &sealed), Ok(fact));
            let elsewhere = ListKey::of_inputs(&generator, "{\"a\":\"b\"}");
            assert!(open(&elsewhere, &sealed).unwrap_err().starts_with("its seal is broken"));
            let changed = Sealed { text: sealed.text.replace('e', "f"), ..sealed };
            assert!(open(&key, &changed).unwrap_err().starts_with("its seal is broken"));
        }
        let text = r#"{"known":"lists","v":2}"#.to_owned();
        let newer = Sealed { seal: seal_of(["tenants", &*key.about, &text]), text };
        assert_eq!(open(&key, &newer).unwrap_err(), "it has version 2; this lastgreen reads version 1");
    }

    #[test]
    fn long_inputs_have_a_short_name() {
        let generator = Arc::from("tenants");
        let long = |c: &str| ListKey::of_inputs(&generator, &c.repeat(3000));
        assert!(long("a").about.len() < 60);
        assert_ne!(long("a"), long("b"));
        assert_eq!(&*ListKey::of_inputs(&generator, "{}").about, "inputs {}");
    }
}
