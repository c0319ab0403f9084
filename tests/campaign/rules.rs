//! What a story's generator is configured with: the rules that the oracle judges by, and the file that says them.

use std::{fmt::Write as _, path::Path, time::Duration};

use fastrand::Rng;
use lastgreen_sim::{Realm, RegistryAuth, Sim, World};

use crate::{
    ledgers::{FOLDER, URL},
    mutations::Mutation,
    parts::PartRules,
    story::is_shared,
};

/// The repository of all stories.
pub(crate) const REPO: &str = "myorg/myrepo";

/// Its fork.
pub(crate) const FORK: &str = "stranger/myrepo";

/// The image repositories, and their keys in an item.
pub(crate) const IMAGES: [(&str, &str); 2] = [("front", "digestFront"), ("back", "digestBack")];

/// An answer is due within.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long nothing may have changed before green is believed.
pub(crate) const SETTLE: Duration = Duration::from_secs(15);

/// How long what is decided may be answered from memory, an answer's time and a little more included.
pub(crate) const MEMORY: Duration = Duration::from_secs(300 + 10 + 10);

/// How many commits are walked.
pub(crate) const WALK: usize = 20;

/// How CI tags what it builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// By the head.
    Sha,
    /// By the head, or by GitHub's test merge.
    ShaOrMerge,
    /// By the pull request, with a label that names the commit or its test merge.
    Moving,
}

/// How long an item outlives its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Forever,
    For(Duration),
    Never,
}

/// How the registry asks who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    Anonymous,
    Bearer,
    OtherHost,
}

/// Where the ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LedgerKind {
    /// In memory: every restart loses it.
    Memory,
    /// In a file.
    Sqlite,
    /// In a PostgreSQL that two replicas share, which listen to what it tells, or read only when they must.
    Shared { listening: bool },
}

impl LedgerKind {
    /// Whether replicas share it.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::Shared { .. })
    }
}

/// What is promised in one story.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) tags: Tags,
    pub(crate) hold: Hold,
    pub(crate) forks: bool,
    pub(crate) trust_after: Duration,
    /// Whether the checks `build` and `e2e` are required; else every check counts.
    pub(crate) require: bool,
    pub(crate) auth: Auth,
    pub(crate) ledger: LedgerKind,
    /// Whether lines are looked at before they are asked for.
    pub(crate) ahead: Ahead,
}

/// When lines are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// When they are asked for.
    Never,
    /// With a question for another one.
    WithQuestions,
    /// In the background as well.
    Always,
}

impl Ahead {
    /// By the seed, and not by its dice: what else happens in a story does not hang on it. All kinds are there with two
    /// replicas, too.
    fn by(seed: u64) -> Self {
        let nth = if is_shared(seed) { seed / 8 } else { seed };
        match nth % 4 {
            0 => Self::Always,
            2 => Self::WithQuestions,
            _ => Self::Never,
        }
    }
}

impl Rules {
    pub(crate) fn random(rng: &mut Rng, seed: u64) -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let limit = [minutes(20), minutes(2 * 60), minutes(7 * 24 * 60)][(seed % 3) as usize];
        Self {
            tags: [Tags::Sha, Tags::Sha, Tags::ShaOrMerge, Tags::Moving][rng.usize(..4)],
            hold: [Hold::Forever, Hold::Forever, Hold::Forever, Hold::For(limit), Hold::Never][rng.usize(..5)],
            forks: rng.u8(..3) > 0,
            trust_after: [minutes(10), minutes(60), minutes(60), minutes(24 * 60)][rng.usize(..4)],
            require: rng.u8(..5) < 2,
            auth: [Auth::Anonymous, Auth::Anonymous, Auth::Bearer, Auth::OtherHost][rng.usize(..4)],
            ledger: if rng.u8(..5) == 0 { LedgerKind::Memory } else { LedgerKind::Sqlite },
            ahead: Ahead::by(seed),
        }
    }

    /// The registry that these rules are about.
    pub(crate) fn furnish(&self, world: &mut World) {
        world.registry.auth = if self.auth == Auth::Anonymous { RegistryAuth::Anonymous } else { RegistryAuth::Bearer };
        world.registry.realm = if self.auth == Auth::OtherHost { Realm::Other } else { Realm::Same };
    }

    /// The configuration that says these rules, or, with a mutation, another one: with further generators where there are
    /// parts, whose other plugin is at that address.
    pub(crate) fn config(
        &self,
        sim: &Sim,
        folder: &Path,
        parts: Option<(&PartRules, String)>,
        mutation: Option<Mutation>,
    ) -> String {
        let is = |wanted| mutation == Some(wanted);
        let (host, folder, place) = (sim.registry_host(), folder.display(), folder);
        let tags = match self.tags {
            _ if is(Mutation::Silent) => &["never-{sha}"][..],
            Tags::Sha => &["sha-{sha}"],
            Tags::ShaOrMerge => &["sha-{sha}", "sha-{merge_sha}"],
            Tags::Moving => &["pr-{number}"],
        };
        let hold = match self.hold {
            _ if is(Mutation::HoldOff) => "never".to_owned(),
            Hold::Forever => "forever".to_owned(),
            Hold::For(limit) => format!("{}s", limit.as_secs()),
            Hold::Never => "never".to_owned(),
        };
        let forks = if self.forks || is(Mutation::ForksAllowed) { "allow" } else { "refuse" };
        let require = if self.require && !is(Mutation::RequireDropped) { "[build, e2e]" } else { "[]" };
        let checks = if is(Mutation::NoChecksPass) { "pass" } else { "wait" };
        let settle = if is(Mutation::SettleOff) { 0 } else { SETTLE.as_secs() };
        let settled = if is(Mutation::LongMemory) { "1h" } else { "5m" };
        let ahead = self.ahead != Ahead::Never;
        let unlabelled = if is(Mutation::HeadTrusted) { "trustHead" } else { "refuse" };
        let within = if is(Mutation::LateAnswers) { 20 } else { ANSWER_WITHIN.as_secs() };
        let trust = if is(Mutation::TrustFromTheStart) { 0 } else { self.trust_after.as_secs() };
        let ledger = match self.ledger {
            LedgerKind::Memory => "url: \"memory:\"".to_owned(),
            LedgerKind::Sqlite => format!("url: \"sqlite://{FOLDER}/ledger.db\""),
            LedgerKind::Shared { .. } => format!("urlFile: \"{FOLDER}/{URL}\""),
        };
        let realms =
            if self.auth == Auth::OtherHost { format!(", realms: [\"{}\"]", sim.realm_host()) } else { String::new() };
        let mut build = format!(
            "    hold: {hold}
    forks: {forks}
    refresh: {{ pending: 15s, settled: {settled}, ahead: {ahead} }}
    build:
      repository: {REPO}
      unlabelledTags: {unlabelled}
      ci: {{ require: {require}, noChecks: {checks}, settle: {settle}s }}
      walk: {WALK}
      images:
"
        );
        for (name, key) in IMAGES {
            let references: Vec<_> = tags.iter().map(|tag| format!("\"{host}/myorg/{name}:{tag}\"")).collect();
            writeln!(build, "        {key}: [{}]", references.join(", ")).unwrap();
        }
        let mut text = format!(
            "tokenFile: {folder}/token
answerWithin: {within}s
ledger: {{ {ledger}, trustAfter: {trust}s }}
github:
  api: {}
  auth: {{ tokenFile: {folder}/github }}
  pace: {{ perSecond: 1000, concurrent: 100 }}
registries:
  - {{ host: \"{host}\", plainHttp: true, pace: {{ perSecond: 1000, concurrent: 100 }}{realms} }}
generators:
  preview:
{build}",
            sim.github_url()
        );
        if let Some((parts, url)) = parts {
            text.push_str(&parts.config(self, &build, (place, &url), mutation));
        }
        text
    }
}
