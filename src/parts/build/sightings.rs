//! What this process has seen of lines: heads, doubts, and images that were absent.
//!
//! GitHub's reads may be stale. A head that does not fit what is known already (the head that Argo CD saw, the commit
//! that was recorded, the head seen last) is doubted until a second read some seconds later shows it again.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::bounded::Bounded;
use crate::{
    clock::Moment,
    domain::{Branch, CommitSha, ImageName, Line, Tag},
};

/// How much later the second read must begin.
pub(super) const SECOND_LOOK: Duration = Duration::from_secs(5);

/// How long an image may be absent before it is more than late.
const LATE: Duration = Duration::from_mins(1);

/// How many doubts of a line are remembered.
const DOUBTS: usize = 4;

/// How many heads of a line are remembered.
const HEADS: usize = 16;

/// How many lines, heads and absences are remembered.
const CAPACITY: usize = 400_000;

/// What was seen.
pub(super) struct Sightings {
    lines: Bounded<(u64, Line), Sighting>,
    first_seen: Bounded<(u64, CommitSha), DateTime<Utc>>,
    names: Bounded<(u64, Branch), Arc<[Line]>>,
    absences: Bounded<(ImageName, Tag), Moment>,
    no_repositories: Bounded<ImageName, ()>,
}

/// What was seen of one line.
#[derive(Clone, Debug, Default)]
struct Sighting {
    /// The heads that were believed, newest last.
    heads: Box<[CommitSha]>,
    /// What was doubted lately, the newest last: questions with and without a head may doubt different things.
    doubts: Box<[Doubt]>,
}

/// A head that may be a stale read, because a commit that should be behind it is missing. It is kept after a second
/// read agreed: for this head and this commit the question is settled.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    head: CommitSha,
    missing: CommitSha,
    first_read: Moment,
}

/// A doubt that stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsettled {
    /// The moment from which a further read settles it.
    pub(super) due: Moment,
    /// Whether this read raised it.
    pub(super) is_new: bool,
}

impl Sightings {
    pub(super) fn new() -> Self {
        Self {
            lines: Bounded::new(CAPACITY),
            first_seen: Bounded::new(CAPACITY),
            names: Bounded::new(CAPACITY),
            absences: Bounded::new(CAPACITY),
            no_repositories: Bounded::new(CAPACITY),
        }
    }

    /// The head that was believed last.
    pub(super) fn last_head(&self, repository: u64, line: &Line) -> Option<CommitSha> {
        self.lines.get(&(repository, line.clone()))?.heads.last().copied()
    }

    /// Whether this head was believed at some time.
    pub(super) fn knows_head(&self, repository: u64, line: &Line, head: CommitSha) -> bool {
        self.lines.get(&(repository, line.clone())).is_some_and(|sighting| sighting.heads.contains(&head))
    }

    /// Believes a head.
    pub(super) fn believe(&self, repository: u64, line: &Line, head: CommitSha) {
        let key = (repository, line.clone());
        let Sighting { heads, doubts } = self.lines.get(&key).unwrap_or_default();
        // A head that is shown again refutes every doubt that had it missing, or had another in its place.
        let stays = |doubt: &&Doubt| doubt.head == head && doubt.missing != head;
        let left: Box<[Doubt]> = doubts.iter().filter(stays).copied().collect();
        if heads.last() == Some(&head) && left.len() == doubts.len() {
            return;
        }
        let mut heads: Vec<_> = heads.into_iter().filter(|known| *known != head).chain([head]).collect();
        heads.drain(..heads.len().saturating_sub(HEADS));
        self.lines.insert(key, Sighting { heads: heads.into(), doubts: left });
    }

    /// Doubts a head that was read by a request sent at `read`, because `missing` is not behind it. `Ok` if an earlier
    /// read had shown the same long enough before. What was read before `asked` says nothing about a commit that was
    /// first heard of then.
    pub(super) fn doubt(
        &self,
        repository: u64,
        line: &Line,
        head: CommitSha,
        missing: CommitSha,
        read: Moment,
        asked: Moment,
    ) -> Result<(), Unsettled> {
        let key = (repository, line.clone());
        let Sighting { heads, doubts } = self.lines.get(&key).unwrap_or_default();
        if let Some(doubt) = doubts.iter().find(|doubt| (doubt.head, doubt.missing) == (head, missing)) {
            let due = doubt.first_read + SECOND_LOOK;
            return if read >= due { Ok(()) } else { Err(Unsettled { due, is_new: false }) };
        }
        let first_read = read.max(asked);
        let mut doubts: Vec<_> = doubts.into_iter().chain([Doubt { head, missing, first_read }]).collect();
        doubts.drain(..doubts.len().saturating_sub(DOUBTS));
        self.lines.insert(key, Sighting { heads, doubts: doubts.into() });
        Err(Unsettled { due: first_read + SECOND_LOOK, is_new: true })
    }

    /// When a head was first seen, by GitHub's clock; now is the first time if it was never before.
    pub(super) fn first_seen(&self, repository: u64, head: CommitSha, now: DateTime<Utc>) -> DateTime<Utc> {
        self.first_seen.get_or_insert(&(repository, head), now).0
    }

    /// Remembers which lines have a branch name now.
    pub(super) fn remember_name(&self, repository: u64, branch: &Branch, lines: Vec<Line>) {
        let key = (repository, branch.clone());
        if self.names.get(&key).is_none_or(|known| *known != lines[..]) {
            self.names.insert(key, lines.into());
        }
    }

    /// The lines that had a branch name when it was last read.
    pub(super) fn lines_of(&self, repository: u64, branch: &Branch) -> Arc<[Line]> {
        self.names.get(&(repository, branch.clone())).unwrap_or_default()
    }

    /// Says once in the log that a repository does not exist: a typo more often than a build to come.
    pub(super) fn warn_of_missing_repository(&self, image: &ImageName) {
        if self.no_repositories.get_or_insert(image, ()).1 {
            tracing::warn!(%image, "this image repository does not exist; is its name right?");
        }
    }

    /// Notes that a tag was absent when it was looked for at `at`; whether a look long before had found it absent too.
    pub(super) fn stays_away(&self, image: &ImageName, tag: &Tag, at: Moment) -> bool {
        self.absences.get_or_insert(&(image.clone(), tag.clone()), at).0 + LATE <= at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn second(second: u64) -> Moment {
        Moment::after_start(Duration::from_secs(second))
    }

    #[test]
    fn a_doubted_head_needs_a_second_read_five_seconds_later() {
        let sightings = Sightings::new();
        let line = Line::Pull(1);
        let doubt =
            |head, missing, at| sightings.doubt(1, &line, sha(head), sha(missing), second(at), second(at.min(30)));
        let unsettled = |due, is_new| Err(Unsettled { due: second(due), is_new });
        assert_eq!(doubt('a', '1', 10), unsettled(15, true));
        assert_eq!(doubt('a', '1', 14), unsettled(15, false));
        assert_eq!(doubt('b', '1', 14), unsettled(19, true));
        assert_eq!(doubt('b', '1', 19), Ok(()));
        sightings.believe(1, &line, sha('b'));
        assert_eq!(sightings.last_head(1, &line), Some(sha('b')));
        assert_eq!(doubt('b', '1', 30), Ok(()));
        assert_eq!(doubt('b', '2', 30), unsettled(35, true));
        // Another head that was believed in between refutes what was settled.
        sightings.believe(1, &line, sha('c'));
        assert_eq!(doubt('b', '1', 30), unsettled(35, true));
        // Memory from before the question is no first read.
        assert_eq!(
            sightings.doubt(1, &line, sha('b'), sha('3'), second(30), second(90)),
            Err(Unsettled { due: second(95), is_new: true })
        );
    }

    #[test]
    fn an_absence_is_old_only_at_a_look_long_after() {
        let sightings = Sightings::new();
        let (image, tag) = ("ghcr.io/myorg/front".parse().unwrap(), "x".parse().unwrap());
        assert!(!sightings.stays_away(&image, &tag, second(1)));
        assert!(!sightings.stays_away(&image, &tag, second(60)));
        assert!(sightings.stays_away(&image, &tag, second(61)));
    }
}
