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
    /// Its place on the shelf.
    place: u64,
    shelf: Arc<Shelf>,
}

/// Books that share what may be noted: those of the generators of one configured generator.
pub struct Shelf {
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
    /// By the book's place.
    books: HashMap<u64, HashMap<About, Arc<Noted>>>,
    /// The place of the next book.
    next: u64,
    /// How many notes there are in all books, and how many of them have a story.
    lines: usize,
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

impl Default for Shelf {
    fn default() -> Self {
        Self { notes: Mutex::default(), limits: CAPACITY }
    }
}

impl Shelf {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// A new book on a shelf.
    pub fn on(shelf: &Arc<Shelf>) -> Self {
        let mut notes = shelf.notes();
        let place = notes.next;
        notes.next += 1;
        notes.books.insert(place, HashMap::new());
        Self { place, shelf: Arc::clone(shelf) }
    }

    /// Notes an answer, or that there was none, and tells whether that is another one than before. A question that no pull
    /// request can cause is nothing to note.
    pub fn note(
        &self,
        question: &Question,
        seen: Option<Seen>,
        answer: Result<&Answer, &Refusal>,
        now: Moment,
    ) -> bool {
        let (stood, commit, reason) = match answer {
            Ok(answer) => (Stood::Answered(answer.standing()), answer.commit(), answer.reason().to_owned()),
            Err(Refusal::Bad(_)) => return false,
            Err(refusal) => (Stood::Refused, None, refusal.to_string()),
        };
        let asked = About::Question { number: question.number, branch: question.branch.clone() };
        let line = seen.as_ref().and_then(|seen| seen.line.as_ref());
        let branch = line.map_or(&question.branch, |meant| &meant.branch).clone();
        let about = line.map_or_else(|| asked.clone(), |meant| About::Line(meant.key.clone()));
        let mut notes = self.shelf.notes();
        if about != asked {
            // What could not be told before is told now.
            notes.remove(self.place, &asked);
        }
        let before = notes.remove(self.place, &about);
        let before = before.as_ref();
        let is_same = |before: &&Arc<Noted>| (before.stood, before.commit) == (stood, commit);
        let is_news = !before.as_ref().is_some_and(is_same);
        let since = before.filter(is_same).map_or(now, |before| before.since);
        let reason = match before {
            Some(before) if *before.reason == *reason => Arc::clone(&before.reason),
            _ => reason.into(),
        };
        notes.insert(self.place, about, Arc::new(Noted { branch, stood, since, at: now, commit, reason, seen }));
        notes.bound(self.shelf.limits);
        is_news
    }

    /// All its notes, in no order.
    pub fn all(&self) -> Vec<(About, Arc<Noted>)> {
        let notes = self.shelf.notes();
        let own = notes.books.get(&self.place);
        own.into_iter().flatten().map(|(about, noted)| (about.clone(), Arc::clone(noted))).collect()
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.shelf.notes().take_away(self.place);
    }
}

impl Notes {
    fn remove(&mut self, place: u64, about: &About) -> Option<Arc<Noted>> {
        let removed = self.books.get_mut(&place)?.remove(about)?;
        self.lines -= 1;
        self.stories -= usize::from(removed.seen.is_some());
        Some(removed)
    }

    fn insert(&mut self, place: u64, about: About, noted: Arc<Noted>) {
        let has_story = noted.seen.is_some();
        if self.books.entry(place).or_default().insert(about, noted).is_none() {
            self.lines += 1;
            self.stories += usize::from(has_story);
        }
    }

    fn take_away(&mut self, place: u64) {
        let Some(book) = self.books.remove(&place) else { return };
        self.lines -= book.len();
        self.stories -= book.values().filter(|noted| noted.seen.is_some()).count();
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Noted>> {
        self.books.values().flat_map(HashMap::values)
    }

    /// Lets the older half go of what there is too much of.
    fn bound(&mut self, limits: Limits) {
        if self.stories > limits.stories {
            let half = middle(self.all().filter(|noted| noted.seen.is_some()).map(|noted| noted.at).collect());
            let all = self.books.values_mut().flat_map(HashMap::values_mut);
            for noted in all.filter(|noted| noted.seen.is_some() && noted.at <= half) {
                *noted = Arc::new(Noted { seen: None, ..Noted::clone(noted) });
                self.stories -= 1;
            }
        }
        if self.lines > limits.lines {
            let half = middle(self.all().map(|noted| noted.at).collect());
            for book in self.books.values_mut() {
                book.retain(|_, noted| noted.at > half);
            }
            self.lines = self.books.values().map(HashMap::len).sum();
            self.stories = self.all().filter(|noted| noted.seen.is_some()).count();
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

    fn book() -> Book {
        Book::on(&Arc::default())
    }

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
        let book = book();
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
        let shelf = Arc::new(Shelf { limits: Limits { lines: 20, stories: 8 }, ..Shelf::default() });
        let book = Book::on(&shelf);
        for number in 1..=60 {
            book.note(&question(number), Some(seen(Some(number))), Ok(&nothing("")), second(number));
            let (all, stories) = (book.all(), shelf.notes().stories);
            assert!(all.len() <= 20 && stories <= 8, "{number}");
            assert_eq!(all.iter().filter(|(_, noted)| noted.seen.is_some()).count(), stories);
            let has_story = |(_, noted): &(About, Arc<Noted>)| noted.at == second(number) && noted.seen.is_some();
            assert!(all.iter().any(has_story), "{number}");
        }
        let oldest = book.all().iter().map(|(_, noted)| noted.at).min().unwrap();
        assert!(oldest >= second(40), "{oldest:?}");
    }

    #[test]
    fn books_on_a_shelf_share_its_bounds_and_nothing_else() {
        let shelf = Arc::new(Shelf { limits: Limits { lines: 20, stories: 8 }, ..Shelf::default() });
        let books: Vec<_> = (0..3).map(|_| Book::on(&shelf)).collect();
        for number in 1..=20 {
            for book in &books {
                assert!(book.note(&question(number), Some(seen(Some(number))), Ok(&nothing("")), second(number)));
                let notes = shelf.notes();
                let (lines, stories) = (notes.all().count(), notes.all().filter(|noted| noted.seen.is_some()).count());
                assert_eq!((lines, stories), (notes.lines, notes.stories));
                assert!(lines <= 20 && stories <= 8);
            }
        }
        assert!(books.iter().all(|book| !book.all().is_empty()));
        let (mut left, first) = (books, shelf.notes().lines);
        let gone = left.pop().unwrap();
        let of_it = gone.all().len();
        drop(gone);
        assert_eq!(shelf.notes().lines, first - of_it);
        drop(left);
        let notes = shelf.notes();
        assert_eq!((notes.lines, notes.stories, notes.books.len()), (0, 0, 0));
    }
}
