//! Selectors of items, as Kubernetes selects by labels.

use std::{collections::BTreeMap, fmt};

/// Which items are wanted: those that meet every requirement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// What an item's value of one key must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The key.
    pub key: String,
    /// What about it.
    pub is: Condition,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is one of these.
    In(Vec<String>),
    /// It is none of these, or there is no such key.
    NotIn(Vec<String>),
    /// There is such a key, be its value empty.
    Exists,
    /// There is no such key.
    DoesNotExist,
}

impl Selector {
    /// The selector with these requirements.
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Self(requirements)
    }

    /// The selector of items with these values.
    pub fn labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let one =
            |(key, value): (&str, &str)| Requirement { key: key.to_owned(), is: Condition::In(vec![value.to_owned()]) };
        Self(labels.into_iter().map(one).collect())
    }

    /// Whether every item is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an item is wanted.
    pub fn matches(&self, item: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|Requirement { key, is }| {
            let value = item.get(key);
            match is {
                Condition::In(values) => value.is_some_and(|value| values.contains(value)),
                Condition::NotIn(values) => !value.is_some_and(|value| values.contains(value)),
                Condition::Exists => value.is_some(),
                Condition::DoesNotExist => value.is_none(),
            }
        })
    }

    /// The keys without which no item is wanted.
    pub fn needs(&self) -> impl Iterator<Item = &str> {
        let needed = |requirement: &&Requirement| matches!(requirement.is, Condition::In(_) | Condition::Exists);
        self.0.iter().filter(needed).map(|requirement| requirement.key.as_str())
    }
}

impl fmt::Display for Selector {
    /// As `kubectl` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, is }) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            match is {
                Condition::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0]),
                Condition::In(values) => write!(f, "{key} in ({})", values.join(",")),
                Condition::NotIn(values) => write!(f, "{key} notin ({})", values.join(",")),
                Condition::Exists => f.write_str(key),
                Condition::DoesNotExist => write!(f, "!{key}"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kubernetes_selects() {
        let item = BTreeMap::from([("status".to_owned(), "active".to_owned()), ("note".to_owned(), String::new())]);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (key, is, wanted) in [
            ("status", Condition::In(words(&["active", "paid"])), true),
            ("status", Condition::In(words(&["trial"])), false),
            ("absent", Condition::In(words(&["trial", ""])), false),
            ("status", Condition::NotIn(words(&["trial"])), true),
            ("status", Condition::NotIn(words(&["active"])), false),
            ("absent", Condition::NotIn(words(&["active"])), true),
            ("note", Condition::Exists, true),
            ("absent", Condition::Exists, false),
            ("note", Condition::DoesNotExist, false),
            ("absent", Condition::DoesNotExist, true),
        ] {
            let requirement = Requirement { key: key.to_owned(), is };
            assert_eq!(Selector::new(vec![requirement.clone()]).matches(&item), wanted, "{requirement:?}");
        }
        assert!(Selector::default().matches(&item) && Selector::default().is_empty());
        let all = [
            Condition::In(words(&["a"])),
            Condition::In(words(&["a", "b"])),
            Condition::NotIn(words(&["c"])),
            Condition::Exists,
            Condition::DoesNotExist,
        ];
        let all = all.into_iter().map(|is| Requirement { key: "k".to_owned(), is });
        assert_eq!(Selector::new(all.collect()).to_string(), "k=a,k in (a,b),k notin (c),k,!k");
        let both = Selector::labels([("status", "active"), ("note", "x")]);
        assert!(!both.matches(&item));
        assert_eq!(both.needs().collect::<Vec<_>>(), ["status", "note"]);
    }
}
