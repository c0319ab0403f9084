//! From one read of GitHub to the line that is walked, and to what was recorded for it.

use std::{sync::Arc, time::Duration};

use super::{BuildPart, Meant, Outcome, Resolution, gate::Walk, sightings::SECOND_LOOK};
use crate::{
    clock::Moment,
    domain::{
        Branch, Chain, ChainEnd, Chosen, CommitSha, Commits, Line, NoLine, Question, QuestionError, Repository,
        Snapshot, choose, lines_of_name,
    },
    github::{Ask, By, CommitsOf},
    ledger::{LineKey, Newer, Record},
    upstream::{Kind, UpstreamError},
};

/// How long a record that changes its line may take; it is where it was if it takes longer.
const LEDGER_PATIENCE: Duration = Duration::from_secs(2);

/// One read of GitHub.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) snapshot: Arc<Snapshot>,
}

/// The line that a question means, with its head.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any may go with any")]
pub(super) struct MeantLine {
    pub(super) key: LineKey,
    pub(super) branch: Branch,
    pub(super) head: CommitSha,
    pub(super) from_fork: bool,
    /// Whether it is open; a branch without a pull request always is.
    open: bool,
    test_merge: Option<CommitSha>,
    /// Whether its record was just taken over from another line, so that the commit may lie before its own ones.
    took_over: bool,
    /// That record, where the ledger could not be told that it is this line's now.
    pub(super) inherited: Option<Arc<Record>>,
    /// Whether something newer is recorded for another line of the same branch, which is not this one's: as of when that
    /// is right.
    pub(super) disowns: Option<Moment>,
    /// Whether there is a record that may be its own, of the line that it came from, but it cannot be read.
    pub(super) other_unreadable: bool,
    /// Its commits, where the reading brought them.
    commits: Option<Commits>,
}

/// A head that may be a stale read.
#[derive(Clone, Debug)]
pub(super) struct StaleRead {
    pub(super) reason: String,
    /// When a further read settles it.
    pub(super) again_at: Moment,
    /// Whether this reading was the first to show it.
    pub(super) is_new: bool,
}

impl MeantLine {
    pub(super) fn meant(&self) -> Meant {
        Meant { key: self.key.clone(), branch: self.branch.clone(), own: !self.from_fork }
    }

    /// The pull request's number, if the line is one.
    pub(super) fn number(&self) -> Option<u64> {
        match self.key.line {
            Line::Pull(number) => Some(number),
            Line::Branch(_) => None,
        }
    }
}

impl BuildPart {
    /// Reads GitHub, and asks the registry for what the given head would need at the same time.
    pub(super) async fn read(&self, question: &Question, since: Moment) -> Result<Reading, UpstreamError> {
        let ask = self.ask(question);
        let in_memory = self.github.is_fresh(&ask, since).await;
        let snapshot = match question.head_sha.filter(|_| !in_memory) {
            None => self.github.snapshot(ask, since).await?,
            Some(head) => {
                let ahead = self.finder.look_ahead(head, &question.branch, question.number);
                let snapshot = self.github.snapshot(ask, since);
                tokio::pin!(ahead, snapshot);
                // What was begun for the registry goes on by itself; a slow one is not waited for here.
                tokio::select! {
                    snapshot = &mut snapshot => snapshot?,
                    () = &mut ahead => snapshot.await?,
                }
            }
        };
        self.ledger.remember_repository(&self.options.repository, snapshot.repository.id);
        Ok(Reading { snapshot })
    }

    /// The line that the question means.
    pub(super) fn choose(&self, question: &Question, reading: &Reading) -> Result<MeantLine, NoLine> {
        let snapshot = &reading.snapshot;
        let key =
            |line| LineKey { generator: Arc::clone(&self.options.generator), repository: snapshot.repository.id, line };
        let recorded = |line: &Line| self.ledger.has_item(&key(line.clone()));
        let had = |line: &Line, head| self.sightings.knows_head(snapshot.repository.id, line, head);
        match choose(snapshot, question, self.options.forks, recorded, had) {
            Chosen::Nothing(no_line) => Err(no_line),
            Chosen::Pull(pull) => Ok(MeantLine {
                key: key(Line::Pull(pull.number)),
                branch: pull.branch.clone(),
                head: pull.head,
                from_fork: pull.from_fork,
                open: pull.open,
                test_merge: pull.test_merge,
                took_over: false,
                inherited: None,
                disowns: None,
                other_unreadable: false,
                commits: pull.commits.clone(),
            }),
            Chosen::Branch(tip) => Ok(MeantLine {
                key: key(Line::Branch(question.branch.clone())),
                branch: question.branch.clone(),
                head: tip.head,
                from_fork: false,
                open: true,
                test_merge: None,
                took_over: false,
                inherited: None,
                disowns: None,
                other_unreadable: false,
                commits: Some(tip.commits.clone()),
            }),
        }
    }

    /// The walk along a line; asks for its commits where the reading did not bring them.
    pub(super) async fn walk_of<'a>(
        &'a self,
        reading: &'a Reading,
        meant: &mut MeantLine,
    ) -> Result<Walk<'a>, UpstreamError> {
        let snapshot = &reading.snapshot;
        let of = meant.number().map_or(CommitsOf::History(meant.head), CommitsOf::Pull);
        let commits = match (&meant.commits, meant.number()) {
            (Some(commits), _) => commits.clone(),
            (None, None) => Commits::default(),
            (None, Some(number)) => {
                let ask =
                    Ask { repo: self.options.repository.clone(), by: By::Number(number), walk: self.options.walk };
                let detail = self.github.snapshot(ask, snapshot.began).await?;
                let pull = detail.pulls.iter().find(|pull| pull.number == number && pull.head == meant.head);
                meant.test_merge = pull.and_then(|pull| pull.test_merge);
                pull.and_then(|pull| pull.commits.clone()).ok_or_else(|| {
                    UpstreamError::new("GitHub", Kind::Unavailable, "the head moved between two reads")
                })?
            }
        };
        // It matters only where a commit without checks may pass, and there is one for each commit.
        let first_seen = if self.options.ci.no_checks_pass {
            self.sightings.first_seen(snapshot.repository.id, meant.head, snapshot.github_time)
        } else {
            snapshot.github_time
        };
        Ok(Walk {
            github: &self.github,
            policy: &self.options.ci,
            limit: self.options.walk as usize,
            repository: &snapshot.repository,
            head: meant.head,
            of,
            commits,
            began: snapshot.began,
            read_at: snapshot.github_time,
            first_seen,
        })
    }

    /// Remembers what later questions may need when GitHub cannot be asked.
    pub(super) fn remember(&self, question: &Question, reading: &Reading, meant: &MeantLine) {
        let repository = reading.snapshot.repository.id;
        if question.number.is_none() {
            let recorded = |line: &Line| self.ledger.has_item(&LineKey { line: line.clone(), ..meant.key.clone() });
            let lines = lines_of_name(&reading.snapshot, &question.branch, recorded);
            self.sightings.remember_name(repository, &question.branch, lines);
        }
        if let (Some(number), Some(merge)) = (meant.number(), meant.test_merge) {
            self.ledger.remember_merge(repository, number, meant.head, merge);
        }
    }

    /// What is recorded for the line, or was for the line that it came from: an own branch that gained or lost its
    /// pull request keeps its preview, if the recorded commit is in its history.
    pub(super) async fn record_of(
        &self,
        meant: &mut MeantLine,
        chain: &Chain,
        repository: &Repository,
    ) -> Result<Option<Arc<Record>>, UpstreamError> {
        let (own, version) = (self.ledger.item(&meant.key), self.ledger.version(&meant.key));
        if meant.from_fork {
            return Ok(own);
        }
        let (other, as_of) = match self.ledger.newer_of_same_branch(&meant.key, &meant.branch) {
            None => return Ok(own),
            Some(Newer::Unreadable) => {
                meant.other_unreadable = true;
                return Ok(own);
            }
            Some(Newer::Item(other, as_of)) => (other, as_of),
        };
        let commit = other.build.commit();
        // A pull request that was known before that is open again: nothing but its own branch can reopen it.
        let reopened = meant.number().is_some() && meant.open && version != 0;
        let in_history = reopened
            || chain.contains(commit)
            || chain.commits.last().is_some_and(|oldest| oldest.parents.contains(&commit))
            || self.github.is_ancestor(&repository.name, commit, meant.head).await?;
        if !in_history {
            meant.disowns = Some(as_of);
            return Ok(own);
        }
        meant.took_over = true;
        // That the ledger cannot be written costs only the move: the record itself is still where it was.
        let until = self.clock.now() + LEDGER_PATIENCE;
        if self.ledger.take_over(&meant.key, (&other, as_of), version, until).await.is_err() {
            meant.inherited = Some(Arc::clone(&other));
        }
        Ok(Some(other))
    }

    /// The commit that should be on the walk, but is not: the head that was asked with; else the head seen last, or
    /// before one was seen the recorded commit, which may lie further back than the walk reaches.
    pub(super) fn missing(
        &self,
        question: &Question,
        meant: &MeantLine,
        chain: &Chain,
        record: Option<&Record>,
    ) -> Option<CommitSha> {
        let reaches = chain.end != ChainEnd::Limit && !meant.took_over;
        let recorded = || record.map(|record| record.build.commit()).filter(|_| reaches);
        let expected = question
            .head_sha
            .or_else(|| self.sightings.last_head(meant.key.repository, &meant.key.line))
            .or_else(recorded)?;
        (expected != meant.head && !chain.contains(expected)).then_some(expected)
    }

    /// Doubts a head that does not fit what is known: it may be a stale read.
    pub(super) fn doubt(
        &self,
        question: &Question,
        meant: &MeantLine,
        chain: &Chain,
        record: Option<&Record>,
        (read, asked): (Moment, Moment),
    ) -> Result<(), StaleRead> {
        let (repository, line) = (meant.key.repository, &meant.key.line);
        let Some(missing) = self.missing(question, meant, chain, record) else { return Ok(()) };
        self.sightings.doubt(repository, line, meant.head, missing, read, asked).map_err(|doubt| StaleRead {
            reason: format!(
                "GitHub shows {} as the head, and {} is not among its commits: a second read will tell whether that is stale",
                meant.head.short(7),
                missing.short(7)
            ),
            again_at: doubt.due,
            is_new: doubt.is_new,
        })
    }

    /// Doubts which lines have a name, where they were listed so long ago that another may have it by now.
    pub(super) fn doubt_name(&self, reading: &Reading, asked: Moment) -> Option<StaleRead> {
        let is_old = reading.snapshot.named + self.options.settled < asked;
        let reason = "GitHub is asked anew which pull requests have that branch's name";
        is_old.then(|| StaleRead { reason: reason.to_owned(), again_at: asked, is_new: true })
    }

    /// A question that means no line. That may be a stale read as well: it is settled by a second one.
    pub(super) fn no_line(
        &self,
        question: &Question,
        reading: &Reading,
        no_line: NoLine,
        asked: Moment,
    ) -> Result<Resolution, QuestionError> {
        if no_line == NoLine::SeveralForks {
            // Whatever closed line had the name, the open ones of strangers inherit nothing.
            return Ok(Resolution::of(Outcome::NotYet, None, no_line.reason()));
        }
        let repository = reading.snapshot.repository.id;
        let read = reading.snapshot.began;
        let line = self.line_without_github(question, Some(repository));
        let ambiguous = line.is_none() && !self.answered_lines(question, repository).is_empty();
        let expected = question.head_sha.or_else(|| line.as_ref().and_then(|meant| self.last_known(meant)));
        if let Some(expected) = expected {
            let place =
                line.as_ref().map_or_else(|| Line::Branch(question.branch.clone()), |meant| meant.key.line.clone());
            let doubt = self.sightings.doubt(repository, &place, expected, expected, read, asked);
            let settled = doubt.is_ok()
                && match no_line {
                    // A pull request cannot cease to exist: where one was known, this is a lack of permission at best.
                    NoLine::NoSuchPull(_) => false,
                    NoLine::NoSuchBranch | NoLine::SeveralForks | NoLine::HeadOfNone => true,
                };
            if !settled {
                let (again_at, is_new) =
                    doubt.map_or_else(|doubt| (doubt.due, doubt.is_new), |()| (read + SECOND_LOOK, false));
                let doubt = StaleRead { reason: no_line.reason(), again_at, is_new };
                return Ok(Resolution { ambiguous, ..Resolution::doubted(line, doubt) });
            }
        }
        let unrendered = question.branch.looks_unrendered() && question.number.is_none();
        if no_line == NoLine::NoSuchBranch && unrendered && line.is_none() && !ambiguous {
            // A pull request that was just opened may not have been there when memory was filled.
            if read < asked {
                let doubt = StaleRead { reason: no_line.reason(), again_at: asked, is_new: true };
                return Ok(Resolution::doubted(line, doubt));
            }
            return Err(QuestionError::new("branch", crate::domain::unrendered(question.branch.as_str())));
        }
        // A pull request that GitHub does not show may be one that it is yet to show: nothing is known of it.
        let unseen = matches!(no_line, NoLine::NoSuchPull(_));
        Ok(Resolution { unseen, ..Resolution::of(Outcome::NotYet, line, no_line.reason()) })
    }

    /// Whether a line is over: its pull request is closed, or its branch gone.
    pub async fn is_gone(&self, key: &LineKey) -> Result<bool, UpstreamError> {
        let by = match &key.line {
            Line::Pull(number) => By::Number(*number),
            Line::Branch(branch) => By::Branch(branch.clone()),
        };
        let ask = Ask { repo: self.options.repository.clone(), by, walk: self.options.walk };
        let snapshot = self.github.snapshot(ask, self.clock.now() - self.options.settled).await?;
        if snapshot.repository.id != key.repository {
            // The name is another repository's now; about this one nobody can say anything.
            return Ok(false);
        }
        Ok(match &key.line {
            Line::Pull(number) => snapshot.pulls.iter().any(|pull| pull.number == *number && !pull.open),
            Line::Branch(_) => snapshot.own_branch.is_none(),
        })
    }
}
