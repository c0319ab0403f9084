//! What was done to GitHub, in the oracle's own words: commits, branches, pull requests, checks.
//!
//! Nothing of it is read back from the program or from its libraries. Cloning is cheap: what GitHub showed is kept for
//! as long as the program may remember it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    time::Duration,
};

use crate::rules::{Rules, WALK};

/// A commit's full name.
pub(crate) type Sha = Rc<str>;

/// A time since the story began.
pub(crate) type At = Duration;

/// What a check has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Running,
    Passed,
    Failed,
}

/// The newest run of a check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    pub(crate) outcome: Outcome,
    pub(crate) changed: At,
}

/// A commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    /// What the story calls it.
    pub(crate) name: Rc<str>,
    pub(crate) parents: Vec<Sha>,
    pub(crate) checks: BTreeMap<&'static str, Check>,
    /// GitHub's test merges of it, oldest first.
    pub(crate) merges: Vec<Sha>,
}

/// A pull request.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    pub(crate) branch: Rc<str>,
    pub(crate) fork: bool,
    pub(crate) open: bool,
    pub(crate) head: Sha,
    /// The test merge that GitHub shows, and since when.
    pub(crate) merge: Option<(Sha, At)>,
}

/// What a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Line {
    Pull(u64),
    Branch(Rc<str>),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull(number) => write!(f, "#{number}"),
            Self::Branch(branch) => f.write_str(branch),
        }
    }
}

/// What Argo CD asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) branch: Rc<str>,
    pub(crate) number: Option<u64>,
    pub(crate) head: Option<Sha>,
}

/// Everything that GitHub shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub {
    pub(crate) commits: BTreeMap<Sha, Rc<Commit>>,
    /// The repository's own branches.
    pub(crate) branches: BTreeMap<Rc<str>, Sha>,
    /// The fork's.
    pub(crate) forked: BTreeMap<Rc<str>, Sha>,
    pub(crate) pulls: BTreeMap<u64, Pull>,
}

impl Hub {
    pub(crate) fn commit(&self, sha: &str) -> &Commit {
        &self.commits[sha]
    }

    pub(crate) fn commit_mut(&mut self, sha: &str) -> &mut Commit {
        Rc::make_mut(self.commits.get_mut(sha).expect("a commit of the story"))
    }

    /// What the story calls a commit.
    pub(crate) fn name(&self, sha: &str) -> &str {
        self.commits.get(sha).map_or("?", |commit| &commit.name)
    }

    /// A commit and everything that it came from.
    pub(crate) fn history(&self, of: &Sha) -> BTreeSet<Sha> {
        let mut seen = BTreeSet::new();
        let mut open = vec![Rc::clone(of)];
        while let Some(sha) = open.pop() {
            if let Some(commit) = self.commits.get(&sha)
                && seen.insert(sha)
            {
                open.extend(commit.parents.iter().cloned());
            }
        }
        seen
    }

    /// Whether one commit came before the other.
    pub(crate) fn is_older(&self, one: &Sha, than: &Sha) -> bool {
        one != than && self.history(than).contains(one)
    }

    /// Whether a line's branch is the fork's.
    pub(crate) fn is_fork(&self, line: &Line) -> bool {
        matches!(line, Line::Pull(number) if self.pulls.get(number).is_some_and(|pull| pull.fork))
    }

    /// The branch of a line.
    pub(crate) fn branch_of(&self, line: &Line) -> Option<Rc<str>> {
        match line {
            Line::Pull(number) => self.pulls.get(number).map(|pull| Rc::clone(&pull.branch)),
            Line::Branch(branch) => Some(Rc::clone(branch)),
        }
    }

    /// The head of a line.
    pub(crate) fn head(&self, line: &Line) -> Option<Sha> {
        match line {
            Line::Pull(number) => self.pulls.get(number).map(|pull| Rc::clone(&pull.head)),
            Line::Branch(branch) => self.branches.get(branch).cloned(),
        }
    }

    /// A line's commits, newest first: a pull request's own ones, or a branch by first parents.
    pub(crate) fn walk(&self, line: &Line) -> Vec<Sha> {
        let base = match line {
            Line::Pull(_) => self.branches.get("main").map(|main| self.history(main)).unwrap_or_default(),
            Line::Branch(_) => BTreeSet::new(),
        };
        let mut found = Vec::new();
        let mut next = self.head(line).filter(|head| !base.contains(head));
        while let Some(sha) = next.filter(|_| found.len() < WALK) {
            let parents = &self.commit(&sha).parents;
            next = match line {
                Line::Pull(_) => parents.iter().find(|parent| !base.contains(*parent)).cloned(),
                Line::Branch(_) => parents.first().cloned(),
            };
            found.push(sha);
        }
        found
    }

    /// The line of an own branch: its open pull request, else itself.
    pub(crate) fn own_line(&self, branch: &str) -> Option<Line> {
        let pull = self.pulls.iter().find(|(_, pull)| pull.open && !pull.fork && *pull.branch == *branch);
        let itself = || self.branches.get_key_value(branch).map(|(name, _)| Line::Branch(Rc::clone(name)));
        pull.map(|(number, _)| Line::Pull(*number)).or_else(itself)
    }

    /// The lines that have a name: the own one, and open pull requests of forks.
    pub(crate) fn lines_of(&self, branch: &str) -> Vec<Line> {
        let forks = self.pulls.iter().filter(|(_, pull)| pull.open && pull.fork && *pull.branch == *branch);
        self.own_line(branch).into_iter().chain(forks.map(|(number, _)| Line::Pull(*number))).collect()
    }

    /// The line that a question means: the number's; else the one whose head was named, or that has it on its walk; else
    /// the own one; else the only one.
    pub(crate) fn meant(&self, question: &Question) -> Option<Line> {
        if let Some(number) = question.number {
            return self.pulls.contains_key(&number).then_some(Line::Pull(number));
        }
        let lines = self.lines_of(&question.branch);
        let named = question.head.as_ref().and_then(|head| {
            let at_head = lines.iter().find(|line| self.head(line).as_ref() == Some(head));
            at_head.or_else(|| lines.iter().find(|line| self.walk(line).contains(head)))
        });
        named.or(lines.first()).cloned()
    }

    /// Since when a commit has been green, if it is: when the last of its checks changed.
    pub(crate) fn green_since(&self, sha: &str, rules: &Rules) -> Option<At> {
        let checks = &self.commit(sha).checks;
        let counts = |name: &str| !rules.require || name == "build" || name == "e2e";
        let missing = rules.require && ["build", "e2e"].iter().any(|name| !checks.contains_key(name));
        let failed = checks.iter().any(|(name, check)| counts(name) && check.outcome != Outcome::Passed);
        if missing || failed || checks.is_empty() {
            return None;
        }
        checks.values().map(|check| check.changed).max()
    }
}
