//! The judgement of one answer.
//!
//! Where several lines may be meant (GitHub has shown both lately, or nobody can tell them apart while it is down), an
//! answer that is right for one of them is right.

use std::time::Duration;

use super::{
    Answer, Item, Oracle, Promise, Standing, Violation,
    account::{Known, Prior},
};
use crate::{
    hub::{At, Line, Question},
    rules::{Ahead, Hold, MEMORY},
    stage::Reply,
};

/// Healthy for so long, nobody may be refused: longer than any failure is remembered, and than a second read is waited
/// for.
pub(super) const HEALTHY: Duration = Duration::from_mins(2);

/// Two questions so far apart are two reads.
pub(super) const SECOND_READ: Duration = Duration::from_secs(5);

impl Oracle {
    /// Judges an answer, and notes it.
    pub(crate) fn hears(
        &mut self,
        program: usize,
        question: &Question,
        reply: &Reply,
        now: At,
    ) -> Result<Answer, Violation> {
        self.replicas.answers = program;
        self.replicas.hears(now);
        self.observe(now);
        let answer = Answer::read(reply, &self.shelf)?;
        self.note_trust(&answer, now);
        if let Some(item) = &answer.item
            && !self.was_green.contains(&item.commit)
        {
            let how = format!("{} was never green", self.hub.name(&item.commit));
            return Promise::OnlyGreen.violated(how);
        }
        let mut lines = self.lines(question, now);
        // What is held is held for the line that it was answered for.
        let is_its = |line: &Line| answer.item.as_ref().is_some_and(|item| self.accounts.is_own(line, item));
        lines.sort_by_key(|line| answer.standing == Standing::Held && !is_its(line));
        let several = lines.len() > 1;
        let mut first = None;
        let mut right = None;
        for line in lines {
            match self.judge(&line, question, &answer, now) {
                Ok(()) => {
                    right = Some(line);
                    break;
                }
                Err(violation) => first = first.or(Some(violation)),
            }
        }
        self.asked.retain(|(at, ..)| *at + 2 * MEMORY >= now);
        self.asked.push((now, program, question.clone()));
        match (right, first) {
            (Some(line), _) => {
                self.note(&line, several, &answer, now);
                Ok(answer)
            }
            (None, Some(violation)) => Err(violation),
            // A name that nobody has any more: there is nothing to promise but that nothing is made up.
            (None, None) => Ok(answer),
        }
    }

    /// The lines that a question may mean: by what GitHub shows, or has shown lately.
    fn lines(&self, question: &Question, now: At) -> Vec<Line> {
        let mut lines: Vec<Line> = self.shown().meant(question).into_iter().collect();
        let since = now.saturating_sub(MEMORY);
        lines.extend(self.views_since(since).filter_map(|hub| hub.meant(question)));
        // A head that a line once had still tells it apart.
        if let Some(head) = question.head.as_ref().filter(|_| question.number.is_none()) {
            let named = self.views_since(Duration::ZERO).flat_map(|hub| hub.lines_of(&question.branch));
            lines.extend(named.filter(|line| self.heads.get(line).is_some_and(|heads| heads.contains(head))));
        }
        // "While GitHub cannot say: the one recorded last."
        if question.number.is_none() && self.weather.is_rough(now) {
            lines.extend(self.views_since(Duration::ZERO).flat_map(|hub| hub.lines_of(&question.branch)));
            let named = |line: &&Line| self.hub.branch_of(line).as_ref() == Some(&question.branch);
            lines.extend(self.accounts.lines.keys().filter(named).cloned());
        }
        let mut once: Vec<Line> = Vec::new();
        for line in lines {
            if !once.contains(&line) {
                once.push(line);
            }
        }
        once
    }

    fn judge(&self, line: &Line, question: &Question, answer: &Answer, now: At) -> Result<(), Violation> {
        let prior = self.accounts.prior(line, &self.hub);
        if self.garbage {
            let excused = answer.standing == Standing::Refused || self.is_refused_fork(line) && answer.item.is_none();
            let how = "the ledger cannot be used, and nobody knows what was answered before";
            return if excused { Ok(()) } else { Promise::NothingWithdrawn.violated(how) };
        }
        match (&answer.item, answer.standing) {
            (Some(item), standing) => self.judge_item(line, item, standing, &prior, now)?,
            (None, Standing::Refused) => self.judge_refusal(line, question, &prior, now)?,
            (None, standing) => self.judge_nothing(line, standing, &prior, now)?,
        }
        self.judge_life(line, question, answer, now)
    }

    /// Whether the ledger may have been watching for long enough.
    fn may_be_trusted(&self) -> bool {
        self.trust.most >= self.rules.trust_after
    }

    pub(super) fn is_refused_fork(&self, line: &Line) -> bool {
        self.hub.is_fork(line) && !self.rules.forks
    }

    fn judge_item(
        &self,
        line: &Line,
        item: &Item,
        standing: Standing,
        prior: &Prior,
        now: At,
    ) -> Result<(), Violation> {
        let name = self.hub.name(&item.commit);
        if self.is_refused_fork(line) {
            return Promise::OnlyGreen.violated(format!("{name} is a fork's, and forks are refused"));
        }
        let family = self.family(line);
        if !family.is_some_and(|family| self.commits_of.get(&family).is_some_and(|own| own.contains(&item.commit))) {
            return Promise::OnlyGreen.violated(format!("{name} was never a commit of {line}"));
        }
        let lately = now.saturating_sub(MEMORY);
        // A replica that can neither hear nor read gives what it answered last itself, or heard of before: what was looked
        // at ahead nobody may have been told.
        let its_own = self.replicas.may_be_deaf(now)
            && (self.rules.ahead != Ahead::Never
                || self.accounts.kins(line, &self.hub).any(|line| self.replicas.is_its_own(line, item)));
        if let Known::Item(last) = &prior.account.known
            && !its_own
            // It may have been another line's, which this one has nothing of.
            && !prior.account.perhaps_anothers
            // Nobody can tell while GitHub is down that a pull request is open again and has what its branch had meanwhile.
            && !(standing == Standing::Held
                && matches!(line, Line::Pull(_))
                && self.accounts.is_own(line, item)
                && self.weather.is_rough(now))
            && self.hub.is_older(&item.commit, &last.commit)
            // GitHub may have shown another walk: then there is nothing to go back on.
            && self.views_since(lately).all(|hub| hub.walk(line).contains(&last.commit))
        {
            let how = format!("{name} is older than {}, which was answered last", self.hub.name(&last.commit));
            return Promise::NeverBack.violated(how);
        }
        if standing == Standing::Held {
            return match &prior.account.known {
                _ if prior.account.unheard || its_own => Ok(()),
                // What is looked at ahead is recorded before anybody is told of it. That it is green, whole, the line's
                // and no step back is judged all the same.
                _ if self.rules.ahead != Ahead::Never => Ok(()),
                Known::Item(last) if last == item => Ok(()),
                _ if prior.account.also.as_ref() == Some(item) => Ok(()),
                // What was answered as another kind of line is taken over when GitHub shows that line's history, be it
                // that its history was another one later.
                _ if self.accounts.is_kins(line, item, &self.hub) => Ok(()),
                Known::Item(last) => {
                    let last = self.hub.name(&last.commit);
                    Promise::NothingLost.violated(format!("{name} is held, but {last} was answered last"))
                }
                Known::Nothing | Known::Never => {
                    Promise::NothingLost.violated(format!("{name} is held, which nobody was told before"))
                }
            };
        }
        if self.weather.silent_for(now) > MEMORY {
            return Promise::Form
                .violated("fresh, though GitHub has been silent for longer than anything is remembered");
        }
        if !self.views_since(lately).any(|hub| hub.walk(line).contains(&item.commit)) {
            return Promise::OnlyGreen.violated(format!("{name} is fresh, but is not on the walk"));
        }
        if self.weather.calm_for(now) > MEMORY
            && let Some((position, ready)) = self.ready_for(line, MEMORY, now)
            && self.shown().walk(line)[position + 1..].contains(&item.commit)
        {
            return Promise::Alive.violated(format!("{name} is fresh, but {} has been ready", self.hub.name(&ready)));
        }
        Ok(())
    }

    /// An empty list.
    fn judge_nothing(&self, line: &Line, standing: Standing, prior: &Prior, now: At) -> Result<(), Violation> {
        if self.is_refused_fork(line) {
            return Ok(());
        }
        let account = &prior.account;
        let had = account.deployed.is_some() || matches!(account.known, Known::Item(_));
        if standing == Standing::NotYet {
            // What is surely ready can be hidden by a failure, but never looks absent.
            if let Some((_, sha)) = self.ready_for(line, MEMORY, now) {
                let how = format!("not yet, but {} has been ready", self.hub.name(&sha));
                let promise = if had { Promise::NothingWithdrawn } else { Promise::Alive };
                return promise.violated(how);
            }
            if self.weather.silent_for(now) > MEMORY {
                return Promise::NothingWithdrawn.violated("not yet, though GitHub has been silent for long");
            }
        }
        if account.broken && !account.unheard {
            return Promise::NothingWithdrawn.violated("the record cannot be read: nobody knows what was answered");
        }
        match &account.known {
            _ if account.unheard && standing == Standing::NotYet => Ok(()),
            // Whoever hung up may have been told that its hold had ended.
            _ if account.unheard && self.rules.hold != Hold::Forever => Ok(()),
            // It was answered from memory, as the line that the branch was before; whose history this is not.
            Known::Item(last) if account.perhaps_anothers && self.accounts.is_kins_alone(line, last, &self.hub) => {
                Ok(())
            }
            // "The generator's `hold` may end it."
            Known::Item(last) => {
                let last = self.hub.name(&last.commit);
                let ended = match self.rules.hold {
                    Hold::Forever => false,
                    Hold::For(limit) => {
                        account.spent + account.not_yet_at.map_or(Duration::ZERO, |at| now.saturating_sub(at)) >= limit
                    }
                    Hold::Never => true,
                };
                if standing == Standing::NotYet && ended {
                    return Ok(());
                }
                Promise::NothingWithdrawn
                    .violated(format!("{last} was answered before, and is withdrawn as {}", standing.word()))
            }
            // "A ledger that was lost and a line with no green commit left on its walk is the one case." A ledger that is
            // trusted again has been asked about every line meanwhile, so nothing that is deployed is unknown to it.
            Known::Never
                if standing == Standing::Unknown
                    && !account.unheard
                    && (!self.may_be_trusted() || account.deployed.is_some()) =>
            {
                let had = if account.deployed.is_some() { ", and a preview is withdrawn" } else { "" };
                let most = self.trust.most;
                let how = format!("nobody can say, and the ledger has been watching for {most:?} at most{had}");
                Promise::NothingWithdrawn.violated(how)
            }
            Known::Never | Known::Nothing => Ok(()),
        }
    }

    /// A 503, which stops everybody.
    fn judge_refusal(&self, line: &Line, question: &Question, prior: &Prior, now: At) -> Result<(), Violation> {
        let calm = self.weather.calm_for(now);
        if self.replicas.may_be_deaf(now) {
            // What it answered itself it remembers, whether or not the ledger can be read.
            let remembers = question.number.is_some() && self.replicas.has_own(line);
            let is_sure = !(prior.broken || prior.taken_over || prior.perhaps_taken_over || prior.account.unheard);
            return if remembers && is_sure && !self.is_refused_fork(line) {
                Promise::NobodyElses.violated("the database is gone, but this replica has answered a build itself")
            } else {
                Ok(())
            };
        }
        if prior.broken {
            return Ok(());
        }
        if calm > HEALTHY {
            return Promise::NobodyElses.violated(format!("all has been well for {calm:?}"));
        }
        // Nobody can tell whether something was answered before where it is not certain for whom: lines of one name, or
        // one that was another kind of line when it was answered. Whether it was, GitHub alone can tell by the history.
        let mut lately = self.views_since(now.saturating_sub(2 * MEMORY));
        let several = question.number.is_none() && lately.any(|hub| hub.lines_of(&question.branch).len() > 1);
        // GitHub may be down since before it showed that one of them was closed.
        let was_anothers = question.number.is_none()
            && question.head.is_some()
            && self.weather.is_rough(now)
            && self.accounts.has_other(line, &self.hub);
        let perhaps = prior.perhaps_taken_over || prior.account.perhaps_anothers;
        if several || was_anothers || prior.taken_over || perhaps && self.weather.is_rough(now) {
            return Ok(());
        }
        if self.is_refused_fork(line) {
            return Ok(());
        }
        match &prior.account.known {
            Known::Item(last) => {
                let last = self.hub.name(&last.commit);
                Promise::NobodyElses.violated(format!("{last} was answered before, and is to be held"))
            }
            Known::Nothing if !prior.account.unheard => {
                Promise::NobodyElses.violated("it is known that there was nothing")
            }
            // What each of several replicas has watched is not told apart.
            Known::Never if !self.rules.ledger.is_shared() && self.trust.least >= self.rules.trust_after => {
                Promise::NobodyElses.violated(format!("the ledger has been watching for {:?}", self.trust.least))
            }
            Known::Nothing | Known::Never => Ok(()),
        }
    }

    /// After some quiet minutes, and asked a second time, the newest build is answered.
    fn judge_life(&self, line: &Line, question: &Question, answer: &Answer, now: At) -> Result<(), Violation> {
        let quiet = 2 * MEMORY;
        if self.weather.calm_for(now) < quiet || self.is_refused_fork(line) || self.is_lagging() {
            return Ok(());
        }
        let head = self.shown().head(line);
        let steady = self
            .views_since(now.saturating_sub(quiet))
            .all(|hub| hub.head(line) == head && hub.meant(question).as_ref() == Some(line));
        let second = self.asked.iter().any(|(at, program, asked)| {
            let before = *at + SECOND_READ <= now && *at + MEMORY >= now;
            before && *program == self.replicas.answers && asked == question
        });
        let Some((position, ready)) = self.ready_for(line, MEMORY, now).filter(|_| steady && second) else {
            return Ok(());
        };
        let walk = self.shown().walk(line);
        match &answer.item {
            Some(item) if walk[..=position].contains(&item.commit) => Ok(()),
            Some(item) => Promise::Alive.violated(format!(
                "{} has been ready, {} is answered",
                self.hub.name(&ready),
                self.hub.name(&item.commit)
            )),
            None => Promise::Alive.violated(format!("{} has been ready", self.hub.name(&ready))),
        }
    }
}
