//! What people and CI do to the world: to the simulated one, and to the oracle's books in the same breath.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use fastrand::Rng;
use lastgreen_sim::{CheckRun, ImageSpec, Sim, sha};

use crate::{
    faults::Trouble,
    hub::{At, Check, Commit, Hub, Outcome, Pull, Sha},
    oracle::Oracle,
    rules::{FORK, IMAGES, REPO, Rules},
    shelf::Built,
};

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Check { commit: Sha, name: &'static str, outcome: Outcome },
    Image { tag: String, built: Built, spec: ImageSpec },
    TroubleEnds(u64),
    CatchesUp,
    LedgerIsTakenAway,
    DatabaseIsBack,
}

/// The world, and what is about to happen in it.
pub(crate) struct World {
    pub(crate) rules: Rules,
    pub(crate) oracle: Oracle,
    pub(crate) agenda: BTreeMap<(At, u64), Event>,
    pub(crate) troubles: BTreeMap<u64, Trouble>,
    pub(crate) serial: u64,
    commits: BTreeMap<Rc<str>, u32>,
    /// Every third build is another commit's in part, or its tag leads elsewhere: only a mutation does so.
    pub(crate) careless: bool,
    pub(crate) unlabelled: bool,
}

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            oracle: Oracle::new(rules.clone()),
            rules,
            agenda: BTreeMap::new(),
            troubles: BTreeMap::new(),
            serial: 0,
            commits: BTreeMap::new(),
            careless: false,
            unlabelled: false,
        }
    }

    /// The simulated world that the story begins with, and its books.
    pub(crate) fn begin(&mut self) -> lastgreen_sim::World {
        let mut world = lastgreen_sim::World::with_repository(REPO);
        world.fork(REPO, FORK);
        // The registry knows both images, of an older build.
        for (image, _) in IMAGES {
            world.push_image(&format!("myorg/{image}"), "old", &ImageSpec::default());
        }
        let root: Sha = sha("m1").into();
        self.oracle.happens(Duration::ZERO, |hub, _| {
            hub.commits.insert(Rc::clone(&root), Rc::new(Commit { name: "m1".into(), ..Commit::default() }));
            hub.branches.insert("main".into(), root);
        });
        world
    }

    pub(crate) fn later(&mut self, at: At, event: Event) {
        self.serial += 1;
        self.agenda.insert((at, self.serial), event);
    }

    /// The next event that is due by then.
    pub(crate) fn due(&mut self, by: At) -> Option<(At, Event)> {
        let entry = self.agenda.first_entry().filter(|entry| entry.key().0 <= by)?;
        let ((at, _), event) = entry.remove_entry();
        Some((at, event))
    }

    /// A commit's name in the story.
    pub(crate) fn name(&self, sha: &str) -> String {
        self.oracle.hub.name(sha).to_owned()
    }

    fn next_name(&mut self, branch: &str, fork: bool) -> Rc<str> {
        let stem: Rc<str> = format!("{}{branch}", if fork { "fork-" } else { "" }).into();
        let count = self.commits.entry(Rc::clone(&stem)).or_default();
        *count += 1;
        format!("{stem}~{count}").into()
    }

    /// Pushes a new commit on `parent`, or on the branch's tip, and gives it.
    pub(crate) fn push(&mut self, sim: &Sim, now: At, branch: &Rc<str>, fork: bool, parent: Option<&Sha>) -> Sha {
        let name = self.next_name(branch, fork);
        let (repository, tips) = if fork { (FORK, &self.oracle.hub.forked) } else { (REPO, &self.oracle.hub.branches) };
        let tip = tips.get(branch).unwrap_or(&self.oracle.hub.branches["main"]);
        let parent = parent.unwrap_or(tip).clone();
        let oid: Sha = sha(&name).into();
        sim.world(|world| world.force_push(repository, branch, &*name, &[&parent]));
        let commit = Commit { name, parents: vec![parent], ..Commit::default() };
        self.moved(sim, now, branch, fork, (&oid, commit));
        oid
    }

    /// Merges `main` into an own branch.
    pub(crate) fn merge_main(&mut self, sim: &Sim, now: At, branch: &Rc<str>) -> Sha {
        let name = self.next_name(branch, false);
        let parents = vec![self.oracle.hub.branches[branch].clone(), self.oracle.hub.branches["main"].clone()];
        let oid: Sha = Rc::from(&*sim.world(|world| world.merge(REPO, branch, "main")));
        self.moved(sim, now, branch, false, (&oid, Commit { name, parents, ..Commit::default() }));
        oid
    }

    /// A branch has moved: pull requests follow, test merges are new.
    fn moved(&mut self, sim: &Sim, now: At, branch: &Rc<str>, fork: bool, (oid, commit): (&Sha, Commit)) {
        self.oracle.happens(now, |hub, _| {
            hub.commits.entry(Rc::clone(oid)).or_insert_with(|| Rc::new(commit));
            let tips = if fork { &mut hub.forked } else { &mut hub.branches };
            tips.insert(Rc::clone(branch), Rc::clone(oid));
            for pull in hub.pulls.values_mut() {
                if pull.open && pull.fork == fork && pull.branch == *branch {
                    pull.head = Rc::clone(oid);
                }
            }
            note_merges(sim, hub, now);
        });
    }

    /// Opens a pull request.
    pub(crate) fn open(&mut self, sim: &Sim, now: At, number: u64, branch: &Rc<str>, fork: bool) {
        sim.world(|world| {
            let pull = lastgreen_sim::Pull::new(number, branch);
            world.open_pull(REPO, if fork { pull.from_fork(FORK) } else { pull });
        });
        self.oracle.happens(now, |hub, _| {
            let head = Rc::clone(if fork { &hub.forked[branch] } else { &hub.branches[branch] });
            hub.pulls.insert(number, Pull { branch: Rc::clone(branch), fork, open: true, head, merge: None });
            note_merges(sim, hub, now);
        });
    }

    /// Closes a pull request, or reopens it.
    pub(crate) fn set_open(&mut self, sim: &Sim, now: At, number: u64, open: bool) {
        sim.world(|world| if open { world.reopen_pull(REPO, number) } else { world.close_pull(REPO, number) });
        self.oracle.happens(now, |hub, _| {
            let pull = &hub.pulls[&number];
            let tips = if pull.fork { &hub.forked } else { &hub.branches };
            let tip = Rc::clone(&tips[&pull.branch]);
            let pull = hub.pulls.get_mut(&number).unwrap();
            pull.open = open;
            if open {
                pull.head = tip;
            }
            note_merges(sim, hub, now);
        });
    }

    /// CI reports.
    pub(crate) fn check(&mut self, sim: &Sim, now: At, commit: &Sha, name: &'static str, outcome: Outcome) {
        let run = match outcome {
            Outcome::Running => CheckRun::running(name, "in_progress"),
            Outcome::Passed => CheckRun::completed(name, "success"),
            Outcome::Failed => CheckRun::completed(name, "failure"),
        };
        sim.world(|world| world.check(REPO, &**commit, run));
        self.oracle.happens(now, |hub, _| {
            hub.commit_mut(commit).checks.insert(name, Check { outcome, changed: now });
        });
    }

    /// An image is pushed.
    pub(crate) fn image(&mut self, sim: &Sim, now: At, tag: &str, built: Built, spec: &ImageSpec) {
        let repository = format!("myorg/{}", IMAGES[built.image].0);
        let digest = sim.world(|world| world.push_image(&repository, tag, spec));
        self.oracle.happens(now, |_, shelf| shelf.put(tag, digest, built));
    }

    /// A tag is cleaned up.
    pub(crate) fn delete_tag(&mut self, sim: &Sim, now: At, rng: &mut Rng) -> Option<String> {
        let mut tags: Vec<_> = self.oracle.shelf.tags.keys().cloned().collect();
        tags.sort();
        let (image, tag) = tags.get(rng.usize(..tags.len().max(1)))?.clone();
        sim.world(|world| world.delete_tag(&format!("myorg/{}", IMAGES[image].0), &tag));
        self.oracle.happens(now, |_, shelf| shelf.tags.remove(&(image, tag.clone())));
        Some(format!("{}:{tag}", IMAGES[image].0))
    }

    /// Something goes wrong.
    pub(crate) fn trouble(&mut self, sim: &Sim, now: At, trouble: Trouble, lasts: Duration) {
        self.serial += 1;
        self.oracle.weather.trouble_begins(now, trouble.silences_github);
        sim.fail(trouble.fault.clone());
        self.troubles.insert(self.serial, trouble);
        self.later(now + lasts, Event::TroubleEnds(self.serial));
    }

    /// It is well again.
    pub(crate) fn trouble_ends(&mut self, sim: &Sim, now: At, id: u64) -> Option<&'static str> {
        let trouble = self.troubles.remove(&id)?;
        self.oracle.weather.trouble_ends(now, trouble.silences_github, trouble.echo);
        sim.clear_faults();
        for other in self.troubles.values() {
            sim.fail(other.fault.clone());
        }
        Some(trouble.name)
    }
}

/// Notes the test merges that GitHub has made.
fn note_merges(sim: &Sim, hub: &mut Hub, now: At) {
    let found: Vec<(u64, Option<Sha>)> = sim.world(|world| {
        let repository = world.github.repository(REPO).unwrap();
        repository.pulls.iter().map(|pull| (pull.number, pull.test_merge.as_deref().map(Rc::from))).collect()
    });
    for (number, merge) in found {
        let Some(pull) = hub.pulls.get_mut(&number) else { continue };
        if pull.merge.as_ref().map(|(merge, _)| merge) == merge.as_ref() {
            continue;
        }
        pull.merge = merge.map(|merge| (merge, now));
        let (head, merge) = (Rc::clone(&pull.head), pull.merge.clone());
        if let Some((merge, _)) = merge {
            hub.commit_mut(&head).merges.push(merge);
        }
    }
}
