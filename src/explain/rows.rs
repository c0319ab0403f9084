//! The lines of all generators filtered, sorted, and a page of them. Pure.
//!
//! A page must not take longer for there being many lines: texts are shared until a row is shown.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Number, Which};
use crate::{
    clock::Moment,
    domain::{self, Branch, CommitSha, List, Repo, Standing},
    generator::{ListNoted, Noted, Stood},
    ledger::{HeldBack, Known, ListKey, ListRecord, Record},
};

/// How many rows a page has.
pub const PER_PAGE: usize = 200;

/// How a line is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not at all: a 503, which stops the whole set for a while.
    Refused,
    /// The empty list; nobody could say.
    Unknown,
    /// What was answered before.
    Held,
    /// The empty list; there is nothing yet.
    NotYet,
    /// The last green build.
    Fresh,
    /// Nobody has asked since the process began.
    NotAsked,
}

impl State {
    /// All of them, those first that need somebody most.
    pub const ALL: [Self; 6] = [Self::Refused, Self::Unknown, Self::Held, Self::NotYet, Self::Fresh, Self::NotAsked];

    /// Its word, as in JSON and in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Held => "held",
            Self::NotYet => "not-yet",
            Self::Fresh => "fresh",
            Self::NotAsked => "not-asked",
        }
    }

    /// The one with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    pub(super) fn of(stood: Stood) -> Self {
        match stood {
            Stood::Refused => Self::Refused,
            Stood::Answered(Standing::Fresh) => Self::Fresh,
            Stood::Answered(Standing::Held) => Self::Held,
            Stood::Answered(Standing::NotYet) => Self::NotYet,
            Stood::Answered(Standing::Unknown) => Self::Unknown,
        }
    }
}

/// By what rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By the pull request's number; branches without one come as the lowest.
    #[default]
    Number,
    /// By the branch's name.
    Branch,
    /// By how it is answered, what needs somebody first.
    Standing,
    /// By how long its commit is served.
    Age,
    /// By when it was worked out last.
    Answered,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Number, Self::Branch, Self::Standing, Self::Age, Self::Answered];

    /// Its word in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Branch => "branch",
            Self::Standing => "standing",
            Self::Age => "age",
            Self::Answered => "answered",
        }
    }

    /// The one with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == word)
    }

    /// The order that people mean if they say none: the newest pull requests, the oldest answers.
    pub fn usual(self) -> Order {
        match self {
            Self::Number | Self::Age | Self::Answered => Order::Down,
            Self::Branch | Self::Standing => Order::Up,
        }
    }
}

/// Upwards or downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The lowest first.
    Up,
    /// The highest first.
    Down,
}

/// Which rows, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of one generator only.
    pub generator: Option<String>,
    /// Those of one repository only.
    pub repository: Option<Repo>,
    /// Words that a row must have, each of them; `#12` is that pull request.
    pub text: String,
    /// Those that are answered like this only.
    pub state: Option<State>,
    /// By what they are sorted.
    pub sort: Sort,
    /// In which direction; the usual one if none is given.
    pub order: Option<Order>,
    /// Which page, from 1 on; one that there is not is the nearest that there is.
    pub page: usize,
}

/// A line with all that is known of it, or a list that stands beside no build.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) generator: Arc<str>,
    pub(super) repository: Option<Repo>,
    pub(super) repository_id: Option<u64>,
    /// What it is in the ledger, if that could be told.
    pub(super) told: Option<domain::Line>,
    pub(super) number: Option<u64>,
    pub(super) branch: Option<Branch>,
    pub(super) state: State,
    /// What the ledger has of it, if it has anything, or why that cannot be read.
    pub(super) known: Option<Result<Known, Arc<str>>>,
    pub(super) asked_at: Option<DateTime<Utc>>,
    pub(super) noted: Option<Arc<Noted>>,
    /// When the note was made.
    pub(super) answered_at: Option<DateTime<Utc>>,
    /// What it is where it is no line.
    pub(super) list: Option<OfList>,
}

/// A list that stands beside no build: of such inputs, or of all open pull requests.
#[derive(Clone, Debug)]
pub(super) struct OfList {
    pub(super) key: ListKey,
    /// What the ledger has of it, if it has anything, or why that cannot be read.
    pub(super) record: Option<Result<Arc<ListRecord>, Arc<str>>>,
    /// What was said and answered last.
    pub(super) noted: Option<Arc<ListNoted>>,
}

impl OfList {
    pub(super) fn recorded(&self) -> Option<&ListRecord> {
        self.record.as_ref()?.as_deref().ok()
    }

    /// How many items were answered last; where nobody has asked, as many as its sole part has.
    fn items(&self) -> Option<usize> {
        if let Some(answered) = self.noted.as_ref().and_then(|noted| noted.answered.as_ref()) {
            return answered.items;
        }
        let mut parts = self.recorded()?.parts.values();
        parts.next().filter(|_| parts.next().is_none()).map(List::len)
    }
}

impl Line {
    /// What is served, if anything is.
    pub(super) fn record(&self) -> Option<&Arc<Record>> {
        match &self.known {
            Some(Ok(Known::Item(record))) => Some(record),
            _ => None,
        }
    }

    /// The commit that is served: what the ledger has, which another replica may have recorded since.
    pub(super) fn commit(&self) -> Option<CommitSha> {
        let noted = || self.noted.as_ref().and_then(|noted| noted.commit);
        self.record().map(|record| record.build.commit()).or_else(noted)
    }

    pub(super) fn reason(&self) -> &str {
        let of_list = || Some(&*self.list.as_ref()?.noted.as_ref()?.answered.as_ref()?.reason);
        self.noted.as_ref().map(|noted| &*noted.reason).or_else(of_list).unwrap_or_default()
    }

    /// Since when it is answered like this.
    pub(super) fn standing_since(&self) -> Option<Moment> {
        let of_list = || Some(self.list.as_ref()?.noted.as_ref()?.answered.as_ref()?.since);
        self.noted.as_ref().map(|noted| noted.since).or_else(of_list)
    }

    /// How many items a list has.
    pub(super) fn items(&self) -> Option<usize> {
        self.list.as_ref()?.items()
    }

    /// What the guard holds back of a list.
    pub(super) fn held_back(&self) -> Option<HeldBack> {
        self.list.as_ref()?.recorded()?.guarded.held_back
    }

    /// Its branch's name, or what the list is about.
    fn label(&self) -> Option<&str> {
        let about = self.list.as_ref().map(|list| &*list.key.about);
        self.branch.as_ref().map(Branch::as_str).or(about)
    }

    /// Since when its commit or its list is served.
    pub(super) fn served_since(&self) -> Option<DateTime<Utc>> {
        let listed = || self.list.as_ref()?.recorded().map(|record| record.recorded_at);
        self.record().map(|record| record.recorded_at).or_else(listed)
    }

    /// Whether it is one of those that are meant.
    pub(super) fn fits(&self, which: &Which) -> bool {
        let by_repository = which.repository.is_none() || which.repository == self.repository;
        if let (Some(about), Some(list)) = (&which.about, &self.list) {
            return **about == *list.key.about && by_repository;
        }
        if which.about.is_some() || self.list.is_some() {
            return false;
        }
        let by_number = match which.number {
            Number::Any => true,
            Number::None => self.number.is_none(),
            Number::Is(number) => self.number == Some(number),
        };
        // A number is enough: the branch of a pull request may have been renamed.
        let by_branch = matches!(which.number, Number::Is(_))
            || which
                .branch
                .as_deref()
                .is_none_or(|wanted| self.branch.as_ref().is_some_and(|is| is.as_str() == wanted));
        by_number
            && by_branch
            && by_repository
            && which.repository_id.is_none_or(|wanted| self.repository_id == Some(wanted))
    }

    fn has(&self, words: &[Word]) -> bool {
        let lower = |text: &str| text.to_lowercase();
        words.iter().all(|word| match word {
            Word::Number(number) => self.number == Some(*number),
            Word::Text(word) => {
                self.label().is_some_and(|label| lower(label).contains(word))
                    || self.commit().is_some_and(|commit| commit.as_str().contains(word))
                    || self.number.is_some_and(|number| number.to_string().contains(word))
                    || lower(self.reason()).contains(word)
                    || self.repository.as_ref().is_some_and(|name| lower(&name.to_string()).contains(word))
            }
        })
    }
}

/// A word that is looked for.
enum Word {
    Number(u64),
    Text(String),
}

fn words(text: &str) -> Vec<Word> {
    let word = |word: &str| match word.strip_prefix('#').and_then(|number| number.parse().ok()) {
        Some(number) => Word::Number(number),
        None => Word::Text(word.to_lowercase()),
    };
    text.split_whitespace().map(word).collect()
}

/// A page of the lines that fit.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) lines: Vec<Line>,
    /// How many there are of each state, whichever is filtered for.
    pub(super) counts: BTreeMap<&'static str, usize>,
    /// How many there are in all.
    pub(super) total: usize,
    /// How many fit.
    pub(super) matching: usize,
    pub(super) number: usize,
    pub(super) pages: usize,
}

/// Filters, sorts, and takes a page.
pub(super) fn page(mut lines: Vec<Line>, filter: &Filter) -> Page {
    let total = lines.len();
    let words = words(&filter.text);
    let of_generator = |line: &Line| filter.generator.as_deref().is_none_or(|name| *line.generator == *name);
    let of_repository = |line: &Line| filter.repository.is_none() || line.repository == filter.repository;
    lines.retain(|line| of_generator(line) && of_repository(line) && line.has(&words));
    let mut counts: BTreeMap<_, _> = State::ALL.into_iter().map(|state| (state.as_str(), 0)).collect();
    for line in &lines {
        *counts.entry(line.state.as_str()).or_default() += 1;
    }
    lines.retain(|line| filter.state.is_none_or(|state| line.state == state));
    let order = filter.order.unwrap_or(filter.sort.usual());
    lines.sort_unstable_by(|a, b| compare(a, b, filter.sort, order));
    let matching = lines.len();
    let pages = matching.div_ceil(PER_PAGE).max(1);
    let number = filter.page.clamp(1, pages);
    let lines = lines.into_iter().skip((number - 1) * PER_PAGE).take(PER_PAGE).collect();
    Page { lines, counts, total, matching, number, pages }
}

/// What has none of what is sorted by comes last, whatever the direction; of equals the newest pull request first.
fn compare(a: &Line, b: &Line, sort: Sort, order: Order) -> Ordering {
    let directed = |ordering: Ordering| match order {
        Order::Up => ordering,
        Order::Down => ordering.reverse(),
    };
    let by = match sort {
        Sort::Number => last(a.number, b.number, directed),
        Sort::Branch => last(a.label(), b.label(), directed),
        Sort::Standing => directed(a.state.cmp(&b.state)),
        // The older, the greater the age.
        Sort::Age => last(a.served_since(), b.served_since(), |ordering| directed(ordering.reverse())),
        Sort::Answered => last(a.answered_at, b.answered_at, directed),
    };
    by.then_with(|| a.generator.cmp(&b.generator))
        .then_with(|| b.number.cmp(&a.number))
        .then_with(|| a.label().cmp(&b.label()))
        .then_with(|| a.repository_id.cmp(&b.repository_id))
}

fn last<T: Ord>(a: Option<T>, b: Option<T>, directed: impl Fn(Ordering) -> Ordering) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => directed(a.cmp(&b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests;
