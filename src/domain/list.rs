//! Lists of items, where a list that is empty is an answer like any other.
//!
//! A [`List`] is what a source said, or what was recorded when it said it; and the product of lists is one. There is no
//! other way to one, and none that is empty to begin with: an empty list deletes what it does not hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use thiserror::Error;

use super::{Item, Selector, excerpt};

/// Keys and values of an item.
type Values = BTreeMap<String, String>;

/// Keys of an item that Argo CD's pullRequest generator fills, and those that it reads itself.
pub const TAKEN_KEYS: [&str; 13] = [
    "number",
    "title",
    "branch",
    "branch_slug",
    "target_branch",
    "target_branch_slug",
    "head_sha",
    "head_short_sha",
    "head_short_sha_7",
    "author",
    "labels",
    "generator",
    "values",
];

/// The key that says whether a pull request's item has something, where there is one for each.
pub const READY: &str = "ready";

/// The most items of a product.
const MOST: usize = 100_000;

/// Items in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List(Arc<[Values]>);

/// Lists that cannot be put together. The text is the same for the same cause.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Misfit {
    /// Two parts give a key, and not the same value.
    #[error("`{}` and `{second}` both give the key `{}`, with different values; rename it in one of them", .first.join("`, `"), excerpt(.key))]
    Clash {
        /// The parts that gave it first.
        first: Vec<Arc<str>>,
        /// The part that gives it again.
        second: Arc<str>,
        /// The key.
        key: String,
    },
    /// Argo CD fills that key itself.
    #[error("`{part}` gives the key `{}`, which Argo CD's pull request generator fills itself; rename it", excerpt(.key))]
    Taken {
        /// The part.
        part: Arc<str>,
        /// The key.
        key: String,
    },
    /// A selector wants a key that no item has.
    #[error("`onlyIf` of `{part}` selects by the key `{}`, which no item has", excerpt(.key))]
    Unselectable {
        /// The part.
        part: Arc<str>,
        /// The key.
        key: String,
    },
    /// There is nothing to multiply.
    #[error("there is no part")]
    NoParts,
    /// Several items for one pull request, where Argo CD takes one.
    #[error(
        "the parts beside the build give several items for one pull request, and Argo CD's Merge takes one for each `number`; select one by `onlyIf`"
    )]
    Several,
    /// A part's key is the one that says whether a pull request's item has something.
    #[error(
        "a part beside the build gives the key `{READY}`, which says for all pull requests at once whether each has something; rename it"
    )]
    Ready,
    /// The product is too large.
    #[error("the product of the parts' lists has more than {MOST} items")]
    TooMany,
}

impl List {
    /// What a source said.
    pub fn said(items: Vec<Values>) -> Self {
        Self(items.into())
    }

    /// An item for each of these pull requests, all with the same keys: what they lack of these is empty.
    pub fn of_pulls(pulls: Vec<(u64, Option<Values>)>, keys: impl IntoIterator<Item = String>) -> Self {
        let mut keys: BTreeSet<_> = keys.into_iter().collect();
        keys.extend(pulls.iter().flat_map(|(_, values)| values.iter().flat_map(BTreeMap::keys)).cloned());
        let item = |(number, values): (u64, Option<Values>)| {
            let ready = values.is_some().to_string();
            let mut item = values.unwrap_or_default();
            for key in &keys {
                item.entry(key.clone()).or_default();
            }
            item.insert("number".to_owned(), number.to_string());
            item.insert(READY.to_owned(), ready);
            item
        };
        Self(pulls.into_iter().map(item).collect())
    }

    /// The one item of a build.
    pub fn of_build(item: &Item) -> Self {
        Self(Arc::new([item.values().clone()]))
    }

    /// The items.
    pub fn items(&self) -> &[Values] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        self.0.iter().flatten().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The list that one part contributes to a product.
#[derive(Clone, Debug)]
pub struct Contribution<'a> {
    /// The part's name.
    pub part: Arc<str>,
    /// Its items.
    pub list: &'a List,
    /// Which items of the product so far, with this part's own keys, are wanted.
    pub only_if: Option<&'a Selector>,
}

/// The product of the parts' lists, item by item in order; `None` without any part.
///
/// A key may come from two parts if they agree on its value in each item of the product. What a part's `onlyIf` does not
/// match is left out: it sees the keys of the part itself, and of those before it.
pub fn product<'a>(
    first: Option<(Arc<str>, List)>,
    others: impl IntoIterator<Item = Contribution<'a>>,
) -> Result<Option<List>, Misfit> {
    let (mut parts, mut product) = match first {
        Some((part, list)) => (vec![part], Some(list)),
        None => (Vec::new(), None),
    };
    for Contribution { part, list, only_if } in others {
        let merged = match product {
            None => list.clone(),
            Some(so_far) => times(&so_far, list, (&parts, &part))?,
        };
        product = Some(match only_if {
            Some(selector) => select(&merged, selector, &part)?,
            None => merged,
        });
        parts.push(part);
    }
    Ok(product)
}

fn times(left: &List, right: &List, (first, second): (&[Arc<str>], &Arc<str>)) -> Result<List, Misfit> {
    if left.len().saturating_mul(right.len()) > MOST {
        return Err(Misfit::TooMany);
    }
    let mut all = Vec::with_capacity(left.len() * right.len());
    for left in left.items() {
        for right in right.items() {
            let mut merged = left.clone();
            for (key, value) in right {
                if merged.get(key).is_some_and(|other| other != value) {
                    return Err(Misfit::Clash { first: first.to_vec(), second: Arc::clone(second), key: key.clone() });
                }
                merged.insert(key.clone(), value.clone());
            }
            all.push(merged);
        }
    }
    Ok(List(all.into()))
}

/// A key that must be there and is in no item at all is a mistake, and never a reason for an empty list.
fn select(list: &List, selector: &Selector, part: &Arc<str>) -> Result<List, Misfit> {
    if !list.is_empty()
        && let Some(key) = selector.needs().find(|key| !list.items().iter().any(|item| item.contains_key(*key)))
    {
        return Err(Misfit::Unselectable { part: Arc::clone(part), key: key.to_owned() });
    }
    Ok(List(list.items().iter().filter(|item| selector.matches(item)).cloned().collect()))
}

/// How many of the former items are gone.
///
/// An item is known by a key in which no two of the former items agree; where there are several such keys, by the one in
/// which the fewest are gone, so that a changed value is no vanished item. Where there is none, only the number counts.
pub fn vanished(former: &List, now: &List) -> usize {
    let Some(one) = former.items().first() else { return 0 };
    let fewer = former.len().saturating_sub(now.len());
    let by_key = one.keys().filter_map(|key| {
        let before: BTreeSet<_> = former.items().iter().filter_map(|item| item.get(key)).collect();
        if before.len() < former.len() {
            return None;
        }
        let after: BTreeSet<_> = now.items().iter().filter_map(|item| item.get(key)).collect();
        Some(before.difference(&after).count())
    });
    by_key.min().unwrap_or(fewer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(items: &[&[(&str, &str)]]) -> List {
        let item = |pairs: &&[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Values>()
        };
        List::said(items.iter().map(item).collect())
    }

    fn contribution<'a>(part: &str, list: &'a List) -> Contribution<'a> {
        Contribution { part: part.into(), list, only_if: None }
    }

    #[test]
    fn each_with_each_in_order() {
        let (builds, tenants) = (list(&[&[("d", "1")]]), list(&[&[("t", "a")], &[("t", "b")]]));
        let regions = list(&[&[("r", "x"), ("t", "b")]]);
        let all = product(Some(("build".into(), builds.clone())), [contribution("sql", &tenants)]).unwrap().unwrap();
        assert_eq!(all, list(&[&[("d", "1"), ("t", "a")], &[("d", "1"), ("t", "b")]]));
        let clash = product(None, [contribution("sql", &tenants), contribution("plugins", &regions)]).unwrap_err();
        assert_eq!(
            clash.to_string(),
            "`sql` and `plugins` both give the key `t`, with different values; rename it in one of them"
        );
        let only = list(&[&[("t", "b"), ("s", "1")]]);
        let agreed = product(None, [contribution("sql", &only), contribution("plugins", &regions)]).unwrap().unwrap();
        assert_eq!(agreed, list(&[&[("r", "x"), ("s", "1"), ("t", "b")]]));
        assert_eq!(product(None, []).unwrap(), None);
        let none = list(&[]);
        let empty = product(Some(("build".into(), builds)), [contribution("sql", &none)]).unwrap().unwrap();
        assert!(empty.is_empty());
        let many = List::said(vec![Values::new(); 400]);
        let too_many = product(None, [contribution("a", &many), contribution("b", &many)]);
        assert_eq!(too_many.unwrap_err(), Misfit::TooMany);
    }

    #[test]
    fn what_is_not_wanted_is_left_out_and_an_unknown_key_is_a_mistake() {
        let tenants = list(&[&[("t", "a"), ("status", "active")], &[("t", "b"), ("status", "trial")]]);
        let active = Selector::labels([("status", "active")]);
        let select =
            |only_if| product(None, [Contribution { only_if: Some(only_if), ..contribution("sql", &tenants) }]);
        assert_eq!(select(&active).unwrap().unwrap(), list(&[&[("t", "a"), ("status", "active")]]));
        let typo = Selector::labels([("statu", "active")]);
        assert_eq!(
            select(&typo).unwrap_err().to_string(),
            "`onlyIf` of `sql` selects by the key `statu`, which no item has"
        );
        let none = list(&[]);
        let of_none = product(None, [Contribution { only_if: Some(&typo), ..contribution("sql", &none) }]);
        assert!(of_none.unwrap().unwrap().is_empty());
    }

    #[test]
    fn what_vanished_is_counted_by_the_key_that_tells_items_apart() {
        let before = list(&[&[("t", "a"), ("s", "1")], &[("t", "b"), ("s", "1")], &[("t", "c"), ("s", "2")]]);
        for (now, gone) in [
            (list(&[&[("t", "a"), ("s", "9")], &[("t", "b"), ("s", "9")], &[("t", "c"), ("s", "9")]]), 0),
            (list(&[&[("t", "a"), ("s", "1")], &[("t", "x"), ("s", "1")], &[("t", "y"), ("s", "2")]]), 2),
            (list(&[&[("t", "c"), ("s", "2")]]), 2),
            (list(&[]), 3),
        ] {
            assert_eq!(vanished(&before, &now), gone, "{now:?}");
        }
        // No key tells these apart: only the number counts.
        let before = list(&[&[("t", "a"), ("r", "1")], &[("t", "a"), ("r", "2")], &[("t", "b"), ("r", "1")]]);
        assert_eq!(vanished(&before, &list(&[&[("t", "z"), ("r", "7")]])), 2);
        assert_eq!(vanished(&list(&[]), &before), 0);
        assert_eq!(vanished(&before, &before), 0);
    }

    proptest! {
        #[test]
        fn a_product_has_all_pairs_and_no_more(left in 0_usize..12, right in 0_usize..12) {
            let numbered = |key: &str, count: usize| {
                List::said((0..count).map(|number| Values::from([(key.to_owned(), number.to_string())])).collect())
            };
            let (left, right) = (numbered("l", left), numbered("r", right));
            let all = product(None, [contribution("left", &left), contribution("right", &right)]).unwrap().unwrap();
            let pairs: BTreeSet<_> = all.items().iter().map(|item| (item["l"].clone(), item["r"].clone())).collect();
            prop_assert_eq!(pairs.len(), left.len() * right.len());
            prop_assert_eq!(all.len(), left.len() * right.len());
            prop_assert!(vanished(&all, &all) == 0);
        }

        #[test]
        fn what_stays_has_not_vanished(before in prop::collection::btree_set("[a-e]{1,2}", 0..20), keep in any::<u32>()) {
            let items: Vec<_> = before.iter().map(|id| Values::from([("id".to_owned(), id.clone())])).collect();
            let kept: Vec<_> =
                items.iter().enumerate().filter(|(at, _)| keep & (1 << at) != 0).map(|(_, item)| item.clone()).collect();
            let gone = items.len() - kept.len();
            prop_assert_eq!(vanished(&List::said(items), &List::said(kept)), gone);
        }
    }
}
