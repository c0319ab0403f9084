//! What CI makes of a push: jobs that begin and end, and images that are pushed before or after, late, in part, or never.

use std::{rc::Rc, time::Duration};

use fastrand::Rng;
use lastgreen_sim::ImageSpec;

use crate::{
    hub::{At, Line, Outcome, Sha},
    rules::{IMAGES, Tags},
    shelf::{Built, Origin},
    world::{Event, World},
};

impl World {
    /// Plans what CI makes of a commit that was just pushed.
    pub(crate) fn build(&mut self, now: At, line: &Line, commit: &Sha, rng: &mut Rng) {
        let second = |rng: &mut Rng, range: std::ops::Range<u64>| Duration::from_secs(rng.u64(range));
        let begins = now + second(rng, 2..40);
        let ends = begins + second(rng, 60..900);
        let fate = rng.u8(..100);
        let outcome = if fate < 80 { Outcome::Passed } else { Outcome::Failed };
        let lasts = fate >= 4;
        let mut report = |at, name, outcome| self.later(at, Event::Check { commit: Rc::clone(commit), name, outcome });
        report(begins, "build", Outcome::Running);
        if lasts {
            report(ends, "build", outcome);
        }
        // The second job begins when the first one has ended: for a moment all looks done.
        if rng.u8(..10) < if self.rules.require { 9 } else { 2 } {
            let again = ends + second(rng, 1..14);
            let done = again + second(rng, 20..300);
            let outcome = if rng.u8(..10) < 9 { Outcome::Passed } else { Outcome::Failed };
            let mut report =
                |at, name, outcome| self.later(at, Event::Check { commit: Rc::clone(commit), name, outcome });
            report(again, "e2e", Outcome::Running);
            report(done, "e2e", outcome);
        }
        let pushed =
            [ends.saturating_sub(second(rng, 1..50)), ends + second(rng, 1..300), ends + second(rng, 300..4000)]
                [[0, 0, 0, 1, 2][rng.usize(..5)]];
        self.plan_images(pushed.max(begins), line, commit, rng);
    }

    fn plan_images(&mut self, at: At, line: &Line, commit: &Sha, rng: &mut Rng) {
        let merge = match line {
            Line::Pull(number) => self.oracle.hub.pulls[number].merge.as_ref().map(|(merge, _)| Rc::clone(merge)),
            Line::Branch(_) => None,
        };
        let by_merge = merge.filter(|_| self.rules.tags != Tags::Sha && rng.u8(..3) < 2);
        let odd = rng.u8(..100);
        for image in 0..IMAGES.len() {
            // One image of two is never pushed; or it is built from something else.
            if odd < 5 && image == 1 {
                continue;
            }
            let merge = by_merge.as_ref().filter(|_| !(odd < 9 && image == 1));
            let origin = merge.map_or(Origin::Head, |merge| Origin::Merge(Rc::clone(merge)));
            let revision = merge.unwrap_or(commit);
            let tag = match (self.rules.tags, line) {
                (Tags::Moving, Line::Pull(number)) => format!("pr-{number}"),
                (Tags::Moving, Line::Branch(_)) => continue,
                (Tags::Sha | Tags::ShaOrMerge, _) => format!("sha-{revision}"),
            };
            let labelled = !self.unlabelled && (self.rules.tags != Tags::Moving || odd < 95);
            let mut spec = if labelled { ImageSpec::revision(revision) } else { ImageSpec::default() };
            spec.multi_arch = odd.is_multiple_of(5);
            spec.provenance_child = odd.is_multiple_of(7);
            spec.docker = odd.is_multiple_of(11) && !spec.provenance_child;
            // Two pushes are two images, whatever they are built from.
            self.serial += 1;
            spec = spec.label("serial", &self.serial.to_string());
            let mut built = Built { image, commit: Rc::clone(commit), origin, labelled };
            if self.careless
                && image == 1
                && let Some(parent) = self.oracle.hub.commit(commit).parents.first()
            {
                built.commit = Rc::clone(parent);
            }
            let delay = Duration::from_secs(if image == 1 { rng.u64(0..120) } else { 0 });
            self.later(at + delay, Event::Image { tag, built, spec });
        }
    }

    /// A job is started again.
    pub(crate) fn rerun(&mut self, now: At, commit: &Sha, rng: &mut Rng) {
        let name = if rng.bool() { "build" } else { "e2e" };
        if !self.oracle.hub.commit(commit).checks.contains_key(name) {
            return;
        }
        let outcome = if rng.u8(..3) > 0 { Outcome::Passed } else { Outcome::Failed };
        self.later(now, Event::Check { commit: Rc::clone(commit), name, outcome: Outcome::Running });
        let ends = now + Duration::from_secs(rng.u64(30..900));
        self.later(ends, Event::Check { commit: Rc::clone(commit), name, outcome });
    }
}
