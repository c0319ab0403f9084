//! `lastgreen check`: walks the deployment as the service would, and says of each thing whether it is well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::Arc,
    time::Duration,
};

use tracing::{instrument::WithSubscriber as _, subscriber::NoSubscriber};

use super::{Exit, print};
use crate::{
    app::{self, App},
    clock::{Moment, SharedClock, SystemClock},
    config::{Build, Config, LedgerPlace},
    domain::{ImageName, Repositories},
    generator::{Part, Parts, Source},
    github::Health,
    kubernetes::{NamespaceState, Overrides},
};

/// How long a look at the ledger may take.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a look at a part may take.
const PART_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn check(config: Config) -> anyhow::Result<Exit> {
    let token_file = config.token_file.display().to_string();
    let builds = config.generators.values().filter_map(|generator| generator.build.as_ref());
    let builds: Vec<_> = builds.cloned().collect();
    let clock: SharedClock = Arc::new(SystemClock::new());
    let ledger = app::ledger(config.ledger.clone(), &clock);
    let mut config = config;
    config.ledger.place = LedgerPlace::Memory;
    let app = App::build(config, Arc::clone(&clock))?;
    // Whoever gets here has a configuration and secret files that could be read.
    line("ok", "config", "can be read")?;
    line("ok", "token", format!("{token_file} can be read"))?;
    let mut good = true;
    // It is said here, so it need not be logged as well.
    match ledger.list(clock.now() + LEDGER_PATIENCE).with_subscriber(NoSubscriber::new()).await {
        Ok(lines) => line("ok", "ledger", format!("can be used, and holds {} lines", lines.len()))?,
        Err(error) if error.is_in_use() => line("ok", "ledger", "a lastgreen that runs uses it")?,
        Err(error) => {
            good = false;
            line("WRONG", "ledger", error)?;
        }
    }
    let repositories: BTreeMap<_, _> =
        builds.iter().map(|build| (build.repository.to_string(), &build.repository)).collect();
    for (name, repository) in repositories {
        let Some(github) = &app.github else { continue };
        let Repositories::One(repository) = repository else {
            let detail = "which repositories there are is not looked up; `lastgreen resolve --repository OWNER/NAME` looks at one";
            line("note", format!("GitHub {name}"), detail)?;
            continue;
        };
        let diagnosis = github.diagnose(repository).await;
        good &= diagnosis.is_good();
        for finding in &diagnosis.findings {
            let word = match finding.health {
                Health::Good => "ok",
                Health::Doubtful => "warning",
                Health::Bad => "WRONG",
            };
            line(word, format!("GitHub {name}: {}", finding.subject), &finding.detail)?;
        }
    }
    let images: BTreeSet<_> = builds.iter().flat_map(images).collect();
    for image in images {
        let diagnosis = app.registries.diagnose(&image).await;
        good &= diagnosis.is_fine();
        // It names the image itself.
        print(&format!("{:<8} {diagnosis}\n", if diagnosis.is_fine() { "ok" } else { "WRONG" }))?;
    }
    for name in app.generators.keys().chain(app.families.keys()) {
        // Without it, empty digests would be deployed.
        let detail = "to ask for all pull requests at once (`all: \"true\"`, in a Merge), the ApplicationSet's generator needs \
                      `selector: { matchLabels: { ready: \"true\" } }`";
        line("note", name, detail)?;
    }
    good &= namespaces(&app).await?;
    let with_build = app.generators.iter().map(|(name, generator)| (name, generator.parts()));
    let of_many = app.families.iter().map(|(name, family)| (name, family.parts()));
    let without = app.plain.iter().map(|(name, generator)| (name, generator.parts()));
    for (name, parts) in with_build.chain(of_many).chain(without) {
        good &= check_parts(name, parts, &clock).await?;
    }
    Ok(if good { Exit::Ok } else { Exit::Wrong })
}

/// What each part beside `build` says of what it is asked. Other plugins are not asked: what they make of a question is
/// theirs.
async fn check_parts(generator: &str, parts: &Parts, clock: &SharedClock) -> anyhow::Result<bool> {
    let mut good = true;
    for part in parts.iter() {
        match check_part(parts, part, clock.now() + PART_PATIENCE).await {
            Ok(found) => line("ok", format!("{generator}: {}", part.name), found)?,
            Err(why) => {
                good = false;
                line("WRONG", format!("{generator}: {}", part.name), why)?;
            }
        }
    }
    Ok(good)
}

async fn check_part(parts: &Parts, part: &Part, until: Moment) -> Result<String, String> {
    let place = match &part.source {
        Source::Plugin(plugin) => Some(plugin.whereabouts(until).await.map_err(|why| why.to_string())?),
        Source::Sql(_) | Source::Pulls(_) => None,
    };
    let keys = part.check(until).await.map_err(|error| error.to_string())?;
    parts.check_known_keys(&part.name, &keys).map_err(|misfit| misfit.to_string())?;
    let gives = (!keys.is_empty()).then(|| format!("gives {}", keys.join(", ")));
    Ok(place.into_iter().chain(gives).collect::<Vec<_>>().join(", "))
}

/// Whether plugin services can be looked for.
async fn namespaces(app: &App) -> anyhow::Result<bool> {
    let mut good = true;
    let Some(kubernetes) = &app.kubernetes else { return Ok(good) };
    kubernetes.look().await;
    for NamespaceState { name, services, trouble } in kubernetes.state() {
        let subject = format!("namespace {name}");
        match trouble {
            None => line("ok", subject, "its Services can be listed and watched")?,
            Some(trouble) => {
                good = false;
                line("WRONG", subject, trouble)?;
            }
        }
        for service in services.into_iter().flatten() {
            if let Err(problem) = service.endpoint(&Overrides::default()) {
                line("warning", format!("Service {name}/{}", service.name), problem)?;
            }
        }
    }
    Ok(good)
}

/// The images whose names are known: all, or those that repositories share.
fn images(build: &Build) -> Vec<ImageName> {
    let is_one = matches!(build.repository, Repositories::One(_));
    let names = build.images.iter().flat_map(|image| &image.candidates).map(|(name, _)| name);
    let known = names.filter(|name| is_one || !name.names_repository());
    known.filter_map(|name| name.of(build.repository.example()).ok()).collect()
}

fn line(word: &str, subject: impl Display, detail: impl Display) -> anyhow::Result<()> {
    print(&format!("{word:<8} {subject}: {detail}\n")).map(drop)
}
