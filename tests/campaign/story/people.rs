//! What people do: push, open and close pull requests, run jobs again, clean up.

use std::rc::Rc;

use super::Story;
use crate::hub::{Line, Sha};

impl Story<'_> {
    /// Who works on what when the story begins.
    pub(super) fn people(&mut self) {
        for (name, twin) in [("feature-1", false), ("feature-2", false), ("patch-1", true), ("release-1", false)] {
            let name: Rc<str> = name.into();
            if *name == *"feature-2" && self.rng.bool() {
                continue;
            }
            self.push(&name, false, None);
            if *name == *"release-1" {
                self.forms.push((Line::Branch(Rc::clone(&name)), false, false));
            } else {
                self.open(&name, false);
            }
            if twin && self.rng.bool() {
                self.push(&name, true, None);
                self.open(&name, true);
                self.branches.push((name, true));
            } else {
                self.branches.push((name, false));
            }
        }
        if self.rng.bool() {
            self.forms.push((Line::Branch("main".into()), false, false));
        }
    }

    pub(super) fn push(&mut self, branch: &Rc<str>, fork: bool, parent: Option<&Sha>) {
        let now = self.now();
        let sha = self.world.push(&self.stage.sim, now, branch, fork, parent);
        let name = self.world.name(&sha);
        let under = if parent.is_some() { "force-push" } else { "push" };
        self.note(&format!("{under} {name} to {branch}{}", if fork { " of the fork" } else { "" }));
        self.tally.count(if parent.is_some() { "force-pushes" } else { "pushes" });
        self.builds(branch, fork, &sha);
    }

    fn builds(&mut self, branch: &Rc<str>, fork: bool, sha: &Sha) {
        let now = self.now();
        let lines = self.hub().lines_of(branch);
        let line = lines.into_iter().find(|line| self.hub().is_fork(line) == fork);
        if let Some(line) = line {
            self.world.build(now, &line, sha, &mut self.rng);
        }
    }

    pub(super) fn open(&mut self, branch: &Rc<str>, fork: bool) {
        self.pulls += 1;
        let (now, number) = (self.now(), self.pulls);
        self.world.open(&self.stage.sim, now, number, branch, fork);
        // The fork's cannot be told from its twin by the name alone.
        let (asks_number, head) = match self.rng.u8(..4) {
            0 => (true, false),
            1 => (true, true),
            2 => (false, true),
            _ => (fork, false),
        };
        self.forms.push((Line::Pull(number), asks_number, head));
        self.note(&format!("open #{number} from {branch}{}", if fork { " of the fork" } else { "" }));
        let head = self.hub().head(&Line::Pull(number)).expect("just opened");
        self.world.build(now, &Line::Pull(number), &head, &mut self.rng);
    }

    pub(super) fn somebody_pushes(&mut self) {
        let (branch, twin) = self.branches[self.rng.usize(..self.branches.len())].clone();
        let fork = twin && self.rng.bool();
        let tips = if fork { &self.hub().forked } else { &self.hub().branches };
        let history = self.hub().walk(&Line::Branch(Rc::clone(&branch)));
        let before = self.hub().commit(&tips[&branch]).parents.first().cloned();
        let parent = match self.rng.u8(..20) {
            0 => Some(Rc::clone(&self.hub().branches["main"])),
            1 | 2 if !fork => history.get(self.rng.usize(1..4)).cloned(),
            3 => before,
            _ => None,
        };
        if parent.is_none() && self.rng.u8(..10) == 0 && !fork {
            let now = self.now();
            if !self.hub().history(&self.hub().branches[&branch]).contains(&self.hub().branches["main"]) {
                let sha = self.world.merge_main(&self.stage.sim, now, &branch);
                self.note(&format!("main is merged into {branch}: {}", self.world.name(&sha)));
                self.builds(&branch, false, &sha);
                return;
            }
        }
        self.push(&branch, fork, parent.as_ref());
    }

    pub(super) async fn somebody_does_something_else(&mut self) {
        let now = self.now();
        match self.rng.u8(..10) {
            0..4 => {
                let commits: Vec<_> = self.hub().commits.keys().cloned().collect();
                let commit = &commits[self.rng.usize(..commits.len())];
                self.world.rerun(now, commit, &mut self.rng);
                self.catch_up(now).await;
            }
            4 => {
                if let Some(tag) = self.world.delete_tag(&self.stage.sim, now, &mut self.rng) {
                    self.note(&format!("cleaned up: {tag}"));
                }
            }
            5..9 => {
                // What was closed is mostly opened again.
                let closed: Vec<_> =
                    self.hub().pulls.iter().filter(|(_, pull)| !pull.open).map(|(one, _)| *one).collect();
                let all: Vec<_> = self.hub().pulls.keys().copied().collect();
                let numbers = if closed.is_empty() || self.rng.u8(..4) == 0 { all } else { closed };
                let number = numbers[self.rng.usize(..numbers.len())];
                let open = !self.hub().pulls[&number].open;
                let pull = &self.hub().pulls[&number];
                // One branch has one open pull request into one base.
                let taken = self
                    .hub()
                    .pulls
                    .values()
                    .any(|other| other.open && other.fork == pull.fork && other.branch == pull.branch);
                if !(open && taken) {
                    self.world.set_open(&self.stage.sim, now, number, open);
                    self.note(&format!("{} #{number}", if open { "reopen" } else { "close" }));
                }
            }
            _ => {
                let release: Rc<str> = "release-1".into();
                if matches!(self.hub().own_line(&release), Some(Line::Branch(_))) && self.pulls < 12 {
                    self.open(&release, false);
                }
            }
        }
    }
}
