//! What was answered last, for people: by line, with what it was made of.
//!
//! An answer that is given again is not noted again: it is what was noted. The commits of a story are those that GitHub's
//! cache holds, so that what a line costs here is little more than its images' references; of very many lines the
//! stories, then the notes of those go that were answered longest ago.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Refusal;
use crate::{
    clock::Moment,
    domain::{Answer, Branch, CommitSha, Question, Standing},
    ledger::LineKey,
    parts::build::{Considered, Meant, Outcome, Resolution},
};

/// How many lines are noted, and how many with their story.
const CAPACITY: Limits = Limits { lines: 120_000, stories: 20_000 };

/// The notes of one generator.
pub struct Book {
    notes: Mutex<Notes>,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    lines: usize,
    stories: usize,
}

#[derive(Default)]
struct Notes {
    all: HashMap<About, Arc<Noted>>,
    /// How many of them have a story.
    stories: usize,
}

/// What a note is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// A line.
    Line(LineKey),
    /// A question whose line could not be told.
    Question {
        /// The pull request's number that it gave.
        number: Option<u64>,
        /// The branch that it gave.
        branch: Branch,
    },
}

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stood {
    /// It was.
    Answered(Standing),
    /// It was not: a 503, which stops the whole set for a while.
    Refused,
}

/// What was answered last.
#[derive(Clone, Debug)]
pub struct Noted {
    /// The head branch.
    pub branch: Branch,
    /// How it was answered.
    pub stood: Stood,
    /// Since when it is answered like this.
    pub since: Moment,
    /// When it was worked out last.
    pub at: Moment,
    /// The commit of the digests.
    pub commit: Option<CommitSha>,
    /// What was passed over and why.
    pub reason: Arc<str>,
    /// What it was made of, if that is still known.
    pub seen: Option<Seen>,
}

/// What the upstreams were seen to say.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The line.
    pub line: Option<Meant>,
    /// The commits, newest first.
    pub considered: Arc<[Considered]>,
    /// The commit of the last green build.
    pub found: Option<CommitSha>,
    /// When GitHub was asked for it; the clock's beginning where it was not.
    pub as_of: Moment,
    /// The earliest moment at which asking again may help, where an upstream could not say.
    pub again_at: Option<Moment>,
    /// Whether the head is decided for good, as far as anybody can tell.
    pub is_final: bool,
}

impl Seen {
    /// What a resolution rests on.
    pub fn of(resolution: &Resolution) -> Self {
        let found = match &resolution.outcome {
            Outcome::Ready(build) => Some(build.commit()),
            _ => None,
        };
        let Resolution { line, considered, as_of, again_at, is_final, .. } = resolution;
        Self {
            line: line.clone(),
            considered: Arc::clone(considered),
            found,
            as_of: *as_of,
            again_at: *again_at,
            is_final: *is_final,
        }
    }
}

impl Default for Book {
    fn default() -> Self {
        Self { notes: Mutex::default(), limits: CAPACITY }
    }
}

impl Book {
    /// Notes an answer, or that there was none. A question that no pull request can cause is nothing to note.
    pub fn note(&self, question: &Question, seen: Option<Seen>, answer: Result<&Answer, &Refusal>, now: Moment) {
        let (stood, commit, reason) = match answer {
            Ok(answer) => {
                let commit = match answer {
                    Answer::Item { commit, .. } => Some(*commit),
                    Answer::List { commit, .. } => *commit,
                    Answer::Nothing { .. } => None,
                };
                (Stood::Answered(answer.standing()), commit, answer.reason().to_owned())
            }
            Err(Refusal::Bad(_)) => return,
            Err(refusal) => (Stood::Refused, None, refusal.to_string()),
        };
        let asked = About::Question { number: question.number, branch: question.branch.clone() };
        let line = seen.as_ref().and_then(|seen| seen.line.as_ref());
        let branch = line.map_or(&question.branch, |meant| &meant.branch).clone();
        let about = line.map_or_else(|| asked.clone(), |meant| About::Line(meant.key.clone()));
        let mut notes = self.notes();
        if about != asked {
            // What could not be told before is told now.
            notes.remove(&asked);
        }
        let before = notes.remove(&about);
        let before = before.as_ref();
        let is_same = |before: &&Arc<Noted>| (before.stood, before.commit) == (stood, commit);
        let since = before.filter(is_same).map_or(now, |before| before.since);
        let reason = match before {
            Some(before) if *before.reason == *reason => Arc::clone(&before.reason),
            _ => reason.into(),
        };
        notes.insert(about, Arc::new(Noted { branch, stood, since, at: now, commit, reason, seen }));
        notes.bound(self.limits);
    }

    /// All notes, in no order.
    pub fn all(&self) -> Vec<(About, Arc<Noted>)> {
        self.notes().all.iter().map(|(about, noted)| (about.clone(), Arc::clone(noted))).collect()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn remove(&mut self, about: &About) -> Option<Arc<Noted>> {
        let removed = self.all.remove(about)?;
        self.stories -= usize::from(removed.seen.is_some());
        Some(removed)
    }

    fn insert(&mut self, about: About, noted: Arc<Noted>) {
        self.stories += usize::from(noted.seen.is_some());
        self.all.insert(about, noted);
    }

    /// Lets the older half go of what there is too much of.
    fn bound(&mut self, limits: Limits) {
        if self.stories > limits.stories {
            let half = middle(self.all.values().filter(|noted| noted.seen.is_some()).map(|noted| noted.at).collect());
            for noted in self.all.values_mut().filter(|noted| noted.seen.is_some() && noted.at <= half) {
                *noted = Arc::new(Noted { seen: None, ..Noted::clone(noted) });
                self.stories -= 1;
            }
        }
        if self.all.len() > limits.lines {
            let half = middle(self.all.values().map(|noted| noted.at).collect());
            self.all.retain(|_, noted| noted.at > half);
            self.stories = self.all.values().filter(|noted| noted.seen.is_some()).count();
        }
    }
}

/// The moment in the middle of some.
fn middle(mut moments: Vec<Moment>) -> Moment {
    let at = moments.len() / 2;
    if moments.is_empty() { Moment::START } else { *moments.select_nth_unstable(at).1 }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Line, QuestionError, WhyNothing};

    fn second(second: u64) -> Moment {
        Moment::after_start(Duration::from_secs(second))
    }

    fn question(number: u64) -> Question {
        let branch = format!("b{number}").parse().unwrap();
        Question { application_set: "set".to_owned(), branch, number: Some(number), head_sha: None }
    }

    fn nothing(reason: &str) -> Answer {
        Answer::Nothing { why: WhyNothing::NotYet, reason: reason.to_owned() }
    }

    fn seen(line: Option<u64>) -> Seen {
        let meant = |number| {
            let key = LineKey { generator: "preview".into(), repository: 1, line: Line::Pull(number) };
            Meant { key, branch: "head".parse().unwrap(), own: true }
        };
        let (considered, as_of) = (Arc::default(), second(1));
        Seen { line: line.map(meant), considered, found: None, as_of, again_at: None, is_final: false }
    }

    #[test]
    fn what_stays_as_it_is_began_when_it_became_so() {
        let book = Book::default();
        book.note(&question(1), Some(seen(None)), Ok(&nothing("a")), second(10));
        assert!(matches!(&book.all()[..], [(About::Question { number: Some(1), .. }, _)]));
        // Once the line can be told there is one note, not two.
        for (at, reason) in [(20, "a"), (30, "b"), (40, "b")] {
            book.note(&question(1), Some(seen(Some(1))), Ok(&nothing(reason)), second(at));
        }
        let [(About::Line(_), noted)] = &book.all()[..] else { panic!("{:?}", book.all()) };
        assert_eq!(
            (noted.since, noted.at, &*noted.reason, noted.branch.as_str()),
            (second(20), second(40), "b", "head")
        );
        let refusal = Refusal::Unavailable("GitHub is down".to_owned());
        book.note(&question(1), Some(seen(Some(1))), Err(&refusal), second(50));
        let [(_, noted)] = &book.all()[..] else { panic!("{:?}", book.all()) };
        assert_eq!(
            (noted.stood, noted.since, &*noted.reason),
            (Stood::Refused, second(50), "no answer yet: GitHub is down")
        );
        let bad = Refusal::Bad(QuestionError::new("branch", "is empty"));
        book.note(&question(2), None, Err(&bad), second(60));
        assert_eq!(book.all().len(), 1);
    }

    #[test]
    fn stories_go_first_and_then_the_oldest_notes() {
        let book = Book { limits: Limits { lines: 20, stories: 8 }, ..Book::default() };
        for number in 1..=60 {
            book.note(&question(number), Some(seen(Some(number))), Ok(&nothing("")), second(number));
            let (all, stories) = (book.all(), book.notes().stories);
            assert!(all.len() <= 20 && stories <= 8, "{number}");
            assert_eq!(all.iter().filter(|(_, noted)| noted.seen.is_some()).count(), stories);
            let has_story = |(_, noted): &(About, Arc<Noted>)| noted.at == second(number) && noted.seen.is_some();
            assert!(all.iter().any(has_story), "{number}");
        }
        let oldest = book.all().iter().map(|(_, noted)| noted.at).min().unwrap();
        assert!(oldest >= second(40), "{oldest:?}");
    }
}
