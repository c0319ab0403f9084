//! The repositories that fit a pattern: a generator for each, made when it is asked for first.
//!
//! ```text
//! question ─ `repository` ─ does it fit? ─ 403 ─► nothing is looked up
//!                                └ yes ─► its generator ─ kept while it is among those that were asked last
//! ```
//!
//! They share the configuration, GitHub, the registries and the ledger, whose records tell repositories apart. What one
//! has for itself is memory, and costs reads when it is gone: so only so many are kept. Those whose repository was never
//! seen go first: whoever asks for ever new names that nobody has is a nuisance to nobody but himself.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};

use super::{FORGET_AT_ONCE, Forgotten, Generator, Parts, Refusal, Repeat};
use crate::{
    clock::SharedClock,
    domain::{ImageSpec, ImageTemplate, NameError, QuestionError, Repo, RepoPattern, repository},
    ledger::Ledger,
};

/// How many repositories have a generator at the same time.
const MOST: usize = 200;

/// Makes the generator of one repository with these images.
type Make = Box<dyn Fn(Repo, Vec<ImageSpec>) -> Generator + Send + Sync>;

/// The generators of the repositories that fit a pattern.
pub struct Family {
    name: Arc<str>,
    pattern: RepoPattern,
    images: Vec<ImageTemplate>,
    make: Make,
    /// The parts beside each build.
    parts: Arc<Parts>,
    ledger: Arc<Ledger>,
    clock: SharedClock,
    members: Mutex<Members>,
    /// Told when there is a new one.
    joined: Notify,
}

#[derive(Default)]
struct Members {
    by_repository: HashMap<Repo, Member>,
    /// Counts the questions.
    turn: u64,
}

struct Member {
    generator: Arc<Generator>,
    /// When it was asked last.
    turn: u64,
    /// Whether it is kept fresh; that ends with it.
    kept_fresh: bool,
    gone: watch::Sender<()>,
}

/// What answers for the lines of repositories: those of one, or of many.
#[derive(Clone, Debug)]
pub enum Lines {
    /// Of one repository.
    Sole(Arc<Generator>),
    /// Of those that fit a pattern.
    Family(Arc<Family>),
}

impl Lines {
    /// The generator's name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Sole(generator) => generator.name(),
            Self::Family(family) => &family.name,
        }
    }

    /// Whether an answer may be given again now, without another look at anything.
    pub fn repeats(&self, repeat: &Repeat) -> bool {
        match self {
            Self::Sole(generator) => generator.repeats(repeat),
            Self::Family(family) => repeat.holds(&family.ledger, &family.clock),
        }
    }

    /// The parts beside each build.
    pub fn parts(&self) -> &Parts {
        match self {
            Self::Sole(generator) => generator.parts(),
            Self::Family(family) => family.parts(),
        }
    }

    /// The generators that there are now: of a family those of the repositories that were asked for last.
    pub fn generators(&self) -> Vec<Arc<Generator>> {
        match self {
            Self::Sole(generator) => vec![Arc::clone(generator)],
            Self::Family(family) => family.generators(),
        }
    }

    /// The repository, or the pattern of them, for people.
    pub fn repositories(&self) -> String {
        match self {
            Self::Sole(generator) => generator.build.repository().to_string(),
            Self::Family(family) => family.pattern.to_string(),
        }
    }

    /// The generator of one repository, for people: one that nobody has asked for is made, and not kept. Without a
    /// repository it is the sole one; of a family any, which is told the same as all.
    ///
    /// # Errors
    /// It does not answer for that repository.
    pub fn of(&self, repo: Option<&Repo>) -> Result<Arc<Generator>, Refusal> {
        match (self, repo) {
            (Self::Sole(generator), Some(repo)) if generator.build.repository() != repo => {
                Err(elsewhere(generator.build.repository()))
            }
            (Self::Sole(generator), _) => Ok(Arc::clone(generator)),
            (Self::Family(family), repo) => family.of(repo.unwrap_or(family.pattern.example())),
        }
    }

    /// Whose question that is, by its `repository`. Nothing is looked up for it.
    ///
    /// # Errors
    /// It is about another repository, or does not say about which.
    pub fn meant(&self, parameters: &Map<String, Value>) -> Result<Arc<Generator>, Refusal> {
        match self {
            Self::Sole(generator) => match repository(parameters)? {
                Some(asked) if asked != *generator.build.repository() => Err(elsewhere(generator.build.repository())),
                _ => Ok(Arc::clone(generator)),
            },
            Self::Family(family) => family.meant(parameters),
        }
    }
}

impl Family {
    /// A family that has no members yet.
    pub fn new(
        (name, pattern): (Arc<str>, RepoPattern),
        images: Vec<ImageTemplate>,
        make: impl Fn(Repo, Vec<ImageSpec>) -> Generator + Send + Sync + 'static,
        parts: Arc<Parts>,
        ledger: Arc<Ledger>,
        clock: SharedClock,
    ) -> Self {
        let (make, members, joined) = (Box::new(make), Mutex::default(), Notify::new());
        Self { name, pattern, images, make, parts, ledger, clock, members, joined }
    }

    /// The parts beside each build.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The generator of one repository, as it is or would be.
    fn of(&self, repo: &Repo) -> Result<Arc<Generator>, Refusal> {
        if !self.pattern.fits(repo) {
            return Err(elsewhere(&self.pattern));
        }
        let known = self.members().by_repository.get(repo).map(|member| Arc::clone(&member.generator));
        known.map_or_else(|| Ok(Arc::new(self.made(repo).map_err(unnameable)?.1)), Ok)
    }

    /// The generator of the repository that a question names.
    fn meant(&self, parameters: &Map<String, Value>) -> Result<Arc<Generator>, Refusal> {
        let Some(asked) = repository(parameters)? else {
            let problem = format!(
                "is missing: this generator answers for `{}`; pass the repository as `owner/name`, such as \
                 `\"{}/{{{{.repository}}}}\"`",
                self.pattern,
                self.pattern.example().owner()
            );
            return Err(QuestionError::new("repository", problem).into());
        };
        if !self.pattern.fits(&asked) {
            return Err(elsewhere(&self.pattern));
        }
        self.member(&asked).map_err(unnameable)
    }

    /// The generator of one repository, which fits.
    fn member(&self, repo: &Repo) -> Result<Arc<Generator>, NameError> {
        let mut members = self.members();
        members.turn += 1;
        let turn = members.turn;
        if let Some(member) = members.by_repository.get_mut(repo) {
            member.turn = turn;
            return Ok(Arc::clone(&member.generator));
        }
        let (repo, generator) = self.made(repo)?;
        let generator = Arc::new(generator);
        while members.by_repository.len() >= MOST {
            let seen = |repo: &Repo| self.ledger.repository(repo).is_some();
            let by_worth = members.by_repository.iter().map(|(repo, member)| ((seen(repo), member.turn), repo));
            let Some(least) = by_worth.min_by_key(|(worth, _)| *worth).map(|(_, repo)| repo.clone()) else { break };
            members.by_repository.remove(&least);
        }
        let gone = watch::Sender::new(());
        let member = Member { generator: Arc::clone(&generator), turn, kept_fresh: false, gone };
        members.by_repository.insert(repo, member);
        self.joined.notify_one();
        Ok(generator)
    }

    /// In lower case, since records go by names too, and questions may write them in any.
    fn made(&self, repo: &Repo) -> Result<(Repo, Generator), NameError> {
        let repo: Repo = repo.to_string().to_ascii_lowercase().parse()?;
        let images = self.images.iter().map(|image| image.of(&repo)).collect::<Result<_, _>>()?;
        let generator = (self.make)(repo.clone(), images);
        Ok((repo, generator))
    }

    /// Keeps fresh what is asked for, until `end` completes.
    pub async fn keep_fresh(&self, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        let mut running = FuturesUnordered::new();
        loop {
            for (generator, mut gone) in self.not_kept_fresh() {
                // It fails when it is let go.
                let end = async move { while gone.changed().await.is_ok() {} };
                running.push(async move { generator.keep_fresh(end).await });
            }
            tokio::select! {
                biased;
                () = &mut end => return,
                () = self.joined.notified() => {}
                Some(()) = running.next() => {}
            }
        }
    }

    fn not_kept_fresh(&self) -> Vec<(Arc<Generator>, watch::Receiver<()>)> {
        let mut members = self.members();
        let new = members.by_repository.values_mut().filter(|member| !member.kept_fresh);
        new.map(|member| {
            member.kept_fresh = true;
            (Arc::clone(&member.generator), member.gone.subscribe())
        })
        .collect()
    }

    /// How many lines are kept fresh.
    pub fn hot_lines(&self) -> usize {
        self.generators().iter().map(|generator| generator.hot_lines()).sum()
    }

    /// Completes once nothing is looked at ahead any more.
    pub async fn settled(&self) {
        join_all(self.generators().iter().map(|generator| generator.settled())).await;
    }

    /// Forgets lines that nobody has asked for as long as that, and that GitHub says are closed or gone. A repository
    /// that cannot be read is not in the way of the others.
    pub async fn forget(&self, limit: Duration) {
        let mut unreadable = HashSet::new();
        let mut left = FORGET_AT_ONCE;
        for key in self.ledger.not_asked_for(&self.name, limit, usize::MAX) {
            if left == 0 {
                return;
            }
            if unreadable.contains(&key.repository) {
                continue;
            }
            let names = self.ledger.names_of(key.repository);
            let made = names.iter().filter(|name| self.pattern.fits(name)).find_map(|name| self.made(name).ok());
            // Nobody can say whose line it is.
            let Some((_, generator)) = made else { continue };
            left -= 1;
            match generator.forget_line(&key, limit).await {
                Forgotten::Looked => {}
                Forgotten::Unreadable => drop(unreadable.insert(key.repository)),
            }
        }
    }

    fn generators(&self) -> Vec<Arc<Generator>> {
        self.members().by_repository.values().map(|member| Arc::clone(&member.generator)).collect()
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by it")]
fn unnameable(error: NameError) -> Refusal {
    QuestionError::new("repository", format!("no image can have its name: {error}")).into()
}

fn elsewhere(allowed: &impl fmt::Display) -> Refusal {
    Refusal::Elsewhere(allowed.to_string())
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("name", &self.name).field("pattern", &self.pattern).finish_non_exhaustive()
    }
}
