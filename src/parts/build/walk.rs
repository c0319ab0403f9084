//! The walk along a line: the newest commit that is green and complete wins.

use std::{sync::Arc, time::Duration};

use super::{
    BuildPart, Considered, Outcome, Resolution,
    considered::{Found, reason},
    gate::Walk,
    images::{Outcome as ImageOutcome, Wanted},
    line::{MeantLine, Reading},
    patience::Patience,
};
use crate::{
    clock::Moment,
    domain::{Build, Chain, ChainEnd, Commit, GreenBuild, Question, Verdict},
    ledger::Record,
    upstream::{Kind, UpstreamError},
};

/// How a walk ended.
struct Ended {
    /// The build that was found, and whether it was believed without proof.
    found: Option<(Build, bool)>,
    /// What was considered; the build's commit is the last.
    considered: Vec<Considered>,
    /// The first upstream that could not say.
    unknown: Option<UpstreamError>,
    /// How often the head's images are looked for, if the head is green and only they are missing.
    head_awaits: Option<Duration>,
    /// Whether what was answered last is still green, and only images of it are missing.
    recorded_awaits: bool,
}

/// What became of one commit.
enum Step {
    Found(Build, bool),
    PassedOver,
    /// It is green, but its images are not there.
    Awaited(Duration),
    Unknown(UpstreamError),
}

/// What the walk looks at beside the commits.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) meant: &'a MeantLine,
    pub(super) record: Option<&'a Record>,
    /// When the question came.
    pub(super) asked: Moment,
    pub(super) thorough: bool,
}

impl BuildPart {
    /// Walks a line and says what came of it.
    pub(super) async fn walk(&self, question: &Question, walk: &mut Walk<'_>, view: View<'_>) -> Resolution {
        let ended = self.walk_on(walk, view).await;
        let believed = matches!(ended.found, Some((_, true)));
        let resolution = self.conclude(ended, walk, view);
        if believed { self.confirm(question, view.meant, resolution).await } else { resolution }
    }

    async fn walk_on(&self, walk: &mut Walk<'_>, view: View<'_>) -> Ended {
        let mut ended =
            Ended { found: None, considered: Vec::new(), unknown: None, head_awaits: None, recorded_awaits: false };
        for index in 0.. {
            let chain = match walk.reach(index).await {
                Ok(chain) => chain,
                Err(error) => {
                    ended.unknown = ended.unknown.or(Some(error));
                    break;
                }
            };
            let Some(commit) = chain.commits.get(index) else {
                if index == 0 && !walk.commits.loaded.is_empty() {
                    ended.unknown = Some(head_not_listed());
                }
                break;
            };
            let (considered, step) = self.consider_commit(walk, &chain, (index, commit), view).await;
            ended.considered.push(considered);
            match step {
                Step::Found(build, believed) => {
                    ended.found = Some((build, believed));
                    break;
                }
                Step::Awaited(wait) => {
                    ended.recorded_awaits |= view.record.is_some_and(|record| record.build.commit() == commit.sha);
                    ended.head_awaits = ended.head_awaits.or((index == 0).then_some(wait));
                }
                Step::PassedOver => {}
                Step::Unknown(error) => {
                    ended.unknown = ended.unknown.or(Some(error));
                    // What was answered before is held. Else an older commit is a true answer all the same.
                    if view.record.is_some() {
                        break;
                    }
                }
            }
        }
        ended
    }

    /// Judges one commit, and looks for its images if it is green.
    async fn consider_commit(
        &self,
        walk: &Walk<'_>,
        chain: &Chain,
        (index, commit): (usize, &Arc<Commit>),
        view: View<'_>,
    ) -> (Considered, Step) {
        let mut considered = Considered {
            commit: Arc::clone(commit),
            verdict: Ok(Verdict::NoChecks),
            roles: Box::default(),
            looks: Vec::new(),
        };
        let judged = match walk.judge(commit).await {
            Ok(judged) => judged,
            Err(error) => {
                considered.verdict = Err(error.to_string());
                return (considered, Step::Unknown(error));
            }
        };
        considered.verdict = Ok(judged.verdict.clone());
        (considered.commit, considered.roles) = (judged.commit, judged.roles);
        let Verdict::Green(green) = judged.verdict else { return (considered, Step::PassedOver) };
        let quiet_for = (walk.read_at - judged.changed_at).to_std().unwrap_or_default();
        let patience = Patience {
            asked: view.asked,
            quiet_for: quiet_for + view.asked.since(walk.began),
            pending: self.options.pending,
            thorough: view.thorough,
        };
        let search = self.finder.find(wanted(green, walk, chain, index, view, patience)).await;
        considered.looks = search.looks;
        let step = match search.result {
            ImageOutcome::Complete(build) => Step::Found(build, search.believed),
            ImageOutcome::Absent => Step::Awaited(patience.wait()),
            ImageOutcome::Unknown(error) => Step::Unknown(error),
        };
        (considered, step)
    }

    /// Turns the end of a walk into a resolution.
    fn conclude(&self, ended: Ended, walk: &Walk<'_>, view: View<'_>) -> Resolution {
        let meant = view.meant;
        let Ended { found, considered, unknown, head_awaits, recorded_awaits } = ended;
        let passed_over = if found.is_some() { considered.len() - 1 } else { considered.len() };
        let why = reason(&considered[..passed_over]);
        let head_red = considered.first().is_some_and(|head| matches!(head.verdict, Ok(Verdict::Red(_))));
        let at_head = found.as_ref().is_some_and(|(build, _)| build.commit() == meant.head);
        let is_final = unknown.is_none() && (at_head || head_red);
        let is_settled = unknown.is_none() && rests_on_github(found.as_ref(), &considered, view.record);
        let good_for = if is_final { self.options.settled } else { self.options.pending };
        let (outcome, reason) = match (found, &unknown) {
            (Some((build, _)), _) => (Outcome::Ready(build), why),
            (None, Some(error)) if why.is_empty() => (Outcome::Unknown, error.to_string()),
            (None, Some(_)) => (Outcome::Unknown, why),
            (None, None) => (Outcome::NotYet, nothing_will_do(&why, &walk.chain())),
        };
        let now = self.clock.now();
        Resolution {
            considered: considered.into(),
            as_of: walk.began,
            again_at: unknown.as_ref().map(|error| error.again_at(now)),
            upstream_failed: unknown.is_some(),
            good_until: if is_settled { walk.began + good_for } else { Moment::START },
            is_final,
            fresh_for: head_awaits.filter(|_| unknown.is_none()).map(|wait| wait.min(self.options.settled)),
            reconfigured: recorded_awaits,
            ..Resolution::of(outcome, Some(meant.meant()), reason)
        }
    }

    /// A moving tag was believed to be the head's: the head must still be the same, and green, now that its digest is
    /// known.
    async fn confirm(&self, question: &Question, meant: &MeantLine, resolution: Resolution) -> Resolution {
        let since = self.clock.now();
        let still_green = match self.read(question, since).await {
            Ok(reading) => self.still_green(question, meant, &reading).await,
            Err(error) => Err(error),
        };
        match still_green {
            Ok(true) => resolution,
            Ok(false) => {
                let reason = "the head moved or lost its green while its images were looked up";
                let again_at = Some(self.clock.now());
                Resolution { again_at, ..Resolution::of(Outcome::Unknown, resolution.line, reason) }
            }
            Err(error) => Resolution::failed(resolution.line, &error, self.clock.now()),
        }
    }

    async fn still_green(
        &self,
        question: &Question,
        meant: &MeantLine,
        reading: &Reading,
    ) -> Result<bool, UpstreamError> {
        let Ok(mut again) = self.choose(question, reading) else { return Ok(false) };
        if again.head != meant.head || again.key != meant.key {
            return Ok(false);
        }
        let mut walk = self.walk_of(reading, &mut again).await?;
        let chain = walk.reach(0).await?;
        let Some(head) = chain.commits.first() else { return Ok(false) };
        Ok(matches!(walk.judge(head).await?.verdict, Verdict::Green(_)))
    }
}

/// Whether nothing but GitHub's next word can change what came out: the build is the recorded one, whose digests are
/// facts, and no commit lacks an image that may be pushed in the meantime.
fn rests_on_github(found: Option<&(Build, bool)>, considered: &[Considered], record: Option<&Record>) -> bool {
    let recorded = found.is_none_or(|(build, _)| record.is_some_and(|record| record.build.covers(build)));
    let mut looks = considered.iter().flat_map(|considered| &considered.looks);
    recorded && looks.all(|look| matches!(look.found, Found::Yes { .. }))
}

/// GitHub lists commits, but not the head: its parts do not agree.
fn head_not_listed() -> UpstreamError {
    UpstreamError::new("GitHub", Kind::Unavailable, "its list of commits lacks the head")
}

fn wanted<'a>(
    green: GreenBuild,
    walk: &'a Walk<'_>,
    chain: &'a Chain,
    index: usize,
    view: View<'a>,
    patience: Patience,
) -> Wanted<'a> {
    Wanted {
        green,
        repository: walk.repository,
        chain,
        branch: &view.meant.branch,
        number: view.meant.number(),
        is_head: index == 0,
        recorded: view.record.map(|record| &record.build),
        patience,
        began: walk.began,
    }
}

fn nothing_will_do(why: &str, chain: &Chain) -> String {
    match (why.is_empty(), chain.end) {
        (true, _) => "there is no commit of its own".to_owned(),
        (false, ChainEnd::Limit) => format!("none of the {} newest commits will do: {why}", chain.commits.len()),
        (false, ChainEnd::Complete | ChainEnd::Unloaded(_)) => format!("no commit will do: {why}"),
    }
}
