//! Which line a question means. Pure.
//!
//! A line is what a record belongs to: a pull request, or an own branch that has none. Names are not enough to tell
//! lines apart (a fork may use the same one), so a number wins, then the head that was seen, then the repository's
//! own branch, then what was recorded, then a single fork.

use std::fmt;

use super::{Branch, CommitSha, Commits, Pull, Question, Snapshot, Tip};

/// What a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Line {
    /// A pull request, by its number.
    Pull(u64),
    /// An own branch without a pull request, by its name.
    Branch(Branch),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull(number) => write!(f, "#{number}"),
            Self::Branch(branch) => write!(f, "branch {branch}"),
        }
    }
}

/// What a question turned out to mean.
#[derive(Clone, Copy, Debug)]
pub enum Chosen<'a> {
    /// A pull request.
    Pull(&'a Pull),
    /// An own branch without a pull request.
    Branch(&'a Tip),
    /// Nothing, for this reason.
    Nothing(NoLine),
}

/// Why a question means no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLine {
    /// No own branch and no open pull request has that name.
    NoSuchBranch,
    /// There is no pull request with that number.
    NoSuchPull(u64),
    /// Several forks have open pull requests of that name.
    SeveralForks,
    /// Several lines have that name, and none of them has the head that was asked with: GitHub may be behind.
    HeadOfNone,
}

impl NoLine {
    /// The reason for people.
    pub fn reason(self) -> String {
        match self {
            Self::NoSuchBranch => "no branch and no open pull request has this name".to_owned(),
            Self::NoSuchPull(number) => format!("there is no pull request #{number}"),
            Self::SeveralForks => "several forks have open pull requests of this name; pass `number`".to_owned(),
            Self::HeadOfNone => "several lines have this name and none has this head_sha; pass `number`".to_owned(),
        }
    }
}

/// Chooses the line that `question` means; `forks` tells whether forks' pull requests count, `recorded` which lines have a
/// record, `had` which head a line once had.
pub fn choose<'a>(
    snapshot: &'a Snapshot,
    question: &Question,
    forks_count: bool,
    recorded: impl Fn(&Line) -> bool,
    had: impl Fn(&Line, CommitSha) -> bool,
) -> Chosen<'a> {
    if let Some(number) = question.number {
        return snapshot
            .pulls
            .iter()
            .find(|pull| pull.number == number)
            .map_or(Chosen::Nothing(NoLine::NoSuchPull(number)), Chosen::Pull);
    }
    let own = own_line(snapshot, &recorded);
    let forks: Vec<_> = snapshot.pulls.iter().filter(|pull| pull.from_fork).collect();
    if let Some(head) = question.head_sha
        && usize::from(own.is_some()) + forks.len() > 1
    {
        let chosen =
            by_head(own, &forks, head, |line| line.line(&question.branch).is_some_and(|line| had(&line, head)));
        match (chosen, own) {
            // Forks that are refused make no name ambiguous.
            (Chosen::Nothing(NoLine::HeadOfNone), Some(own)) if !forks_count => return own,
            (chosen, _) => return chosen,
        }
    }
    if let Some(own) = own {
        return own;
    }
    if let Some(pull) = forks.iter().find(|pull| recorded(&Line::Pull(pull.number))) {
        return Chosen::Pull(pull);
    }
    match forks.as_slice() {
        [] => Chosen::Nothing(NoLine::NoSuchBranch),
        [pull] if !snapshot.more_pulls => Chosen::Pull(pull),
        _ => Chosen::Nothing(NoLine::SeveralForks),
    }
}

/// The lines that have the name that was asked for: the own one, if there is one, and every fork's.
pub fn lines_of_name(snapshot: &Snapshot, branch: &Branch, recorded: impl Fn(&Line) -> bool) -> Vec<Line> {
    let own = own_line(snapshot, &recorded).and_then(|own| own.line(branch));
    let forks = snapshot.pulls.iter().filter(|pull| pull.from_fork).map(|pull| Line::Pull(pull.number));
    own.into_iter().chain(forks).collect()
}

/// The own branch's line: its pull request (of several the recorded one, else the first), else the branch itself.
fn own_line<'a>(snapshot: &'a Snapshot, recorded: &impl Fn(&Line) -> bool) -> Option<Chosen<'a>> {
    let own = || snapshot.pulls.iter().filter(|pull| !pull.from_fork);
    own()
        .find(|pull| recorded(&Line::Pull(pull.number)))
        .or_else(|| own().next())
        .map(Chosen::Pull)
        .or_else(|| snapshot.own_branch.as_ref().map(Chosen::Branch))
}

/// Of several lines, the one with this head; else the only one with it among its commits; else the only one that once
/// had it.
fn by_head<'a>(
    own: Option<Chosen<'a>>,
    forks: &[&'a Pull],
    head: CommitSha,
    once_had_it: impl Fn(&Chosen<'a>) -> bool,
) -> Chosen<'a> {
    let lines: Vec<_> = own.into_iter().chain(forks.iter().map(|pull| Chosen::Pull(pull))).collect();
    let heads: Vec<_> = lines.iter().filter(|line| line.head() == Some(head)).collect();
    if let Some(line) = heads.first() {
        // Where several have the very same head, their builds are the same too.
        return **line;
    }
    let only = |mut lines: std::vec::IntoIter<Chosen<'a>>| match (lines.next(), lines.next()) {
        (Some(line), None) => Some(line),
        _ => None,
    };
    // Of a line whose commits are not loaded nobody knows whether it has the head, too.
    let all_loaded = lines.iter().all(|line| line.commits().is_some());
    let through: Vec<_> = lines.iter().filter(|line| all_loaded && line.has(head)).copied().collect();
    let once: Vec<_> = lines.iter().filter(|line| once_had_it(line)).copied().collect();
    only(through.into_iter()).or_else(|| only(once.into_iter())).unwrap_or(Chosen::Nothing(NoLine::HeadOfNone))
}

impl Chosen<'_> {
    /// The line that was chosen, if the branch that was asked for is `branch`.
    fn line(&self, branch: &Branch) -> Option<Line> {
        match self {
            Self::Pull(pull) => Some(Line::Pull(pull.number)),
            Self::Branch(_) => Some(Line::Branch(branch.clone())),
            Self::Nothing(_) => None,
        }
    }

    fn head(&self) -> Option<CommitSha> {
        match self {
            Self::Pull(pull) => Some(pull.head),
            Self::Branch(tip) => Some(tip.head),
            Self::Nothing(_) => None,
        }
    }

    fn commits(&self) -> Option<&Commits> {
        match self {
            Self::Pull(pull) => pull.commits.as_ref(),
            Self::Branch(tip) => Some(&tip.commits),
            Self::Nothing(_) => None,
        }
    }

    fn has(&self, sha: CommitSha) -> bool {
        self.commits().is_some_and(|commits| commits.loaded.iter().any(|commit| commit.sha == sha))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Moment,
        domain::{Commits, Repository},
    };

    fn sha(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn pull(number: u64, from_fork: bool, head: char) -> Pull {
        Pull {
            number,
            open: true,
            from_fork,
            branch: "patch-1".parse().unwrap(),
            head: sha(head),
            test_merge: None,
            commits: None,
        }
    }

    fn snapshot(own: Option<char>, pulls: Vec<Pull>) -> Snapshot {
        Snapshot {
            began: Moment::START,
            github_time: chrono::DateTime::UNIX_EPOCH,
            repository: Repository { id: 1, name: "myorg/myrepo".parse().unwrap() },
            own_branch: own.map(|head| Tip { head: sha(head), commits: Commits::default() }),
            pulls,
            named: Moment::START,
            more_pulls: false,
        }
    }

    fn question(number: Option<u64>, head: Option<char>) -> Question {
        Question {
            application_set: "set".to_owned(),
            branch: "patch-1".parse().unwrap(),
            number,
            head_sha: head.map(sha),
        }
    }

    fn chosen(snapshot: &Snapshot, question: &Question, recorded: &[u64]) -> String {
        let recorded = |line: &Line| matches!(line, Line::Pull(number) if recorded.contains(number));
        let had = |line: &Line, head: CommitSha| *line == Line::Pull(2) && head == sha('e');
        match choose(snapshot, question, true, recorded, had) {
            Chosen::Pull(pull) => format!("#{}", pull.number),
            Chosen::Branch(_) => "branch".to_owned(),
            Chosen::Nothing(why) => format!("{why:?}"),
        }
    }

    #[test]
    fn a_number_wins() {
        let world = snapshot(Some('a'), vec![pull(1, false, 'a'), pull(2, true, 'b')]);
        assert_eq!(chosen(&world, &question(Some(2), Some('a')), &[]), "#2");
        assert_eq!(chosen(&world, &question(Some(9), None), &[]), "NoSuchPull(9)");
    }

    #[test]
    fn the_head_tells_lines_of_one_name_apart_and_never_guesses() {
        let world = snapshot(Some('a'), vec![pull(1, false, 'a'), pull(2, true, 'b'), pull(3, true, 'c')]);
        assert_eq!(chosen(&world, &question(None, Some('a')), &[]), "#1");
        assert_eq!(chosen(&world, &question(None, Some('c')), &[]), "#3");
        assert_eq!(chosen(&world, &question(None, Some('d')), &[1, 2]), "HeadOfNone");
        assert_eq!(chosen(&world, &question(None, Some('e')), &[1]), "#2");
        let alone = snapshot(None, vec![pull(2, true, 'b')]);
        assert_eq!(chosen(&alone, &question(None, Some('d')), &[]), "#2");
    }

    #[test]
    fn without_either_the_own_branch_comes_first_then_the_recorded_then_the_only_fork() {
        let own = snapshot(Some('a'), vec![pull(1, true, 'b'), pull(4, false, 'a'), pull(6, false, 'a')]);
        assert_eq!(chosen(&own, &question(None, None), &[1]), "#4");
        assert_eq!(chosen(&own, &question(None, None), &[6]), "#6");
        assert_eq!(chosen(&snapshot(Some('a'), vec![pull(1, true, 'b')]), &question(None, None), &[1]), "branch");
        let forks = snapshot(None, vec![pull(1, true, 'b'), pull(2, true, 'c')]);
        assert_eq!(chosen(&forks, &question(None, None), &[2]), "#2");
        assert_eq!(chosen(&forks, &question(None, None), &[]), "SeveralForks");
        assert_eq!(chosen(&snapshot(None, vec![]), &question(None, None), &[]), "NoSuchBranch");
        let one = Snapshot { more_pulls: true, ..snapshot(None, vec![pull(1, true, 'b')]) };
        assert_eq!(chosen(&one, &question(None, None), &[]), "SeveralForks");
    }
}
