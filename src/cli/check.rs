//! `lastgreen check`: walks the deployment as the service would, and says of each thing whether it is well.

use std::{collections::BTreeSet, fmt::Display, sync::Arc, time::Duration};

use super::{Exit, print};
use crate::{
    app::{self, App},
    clock::{SharedClock, SystemClock},
    config::{Config, LedgerPlace},
    domain::ImageName,
    github::Health,
    kubernetes::{NamespaceState, Overrides},
};

/// How long a look at the ledger may take.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a look for a plugin may take.
const PLUGIN_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn check(config: Config) -> anyhow::Result<Exit> {
    let token_file = config.token_file.display().to_string();
    let subjects: Vec<_> =
        config.generators.values().map(|generator| (generator.build.repository.clone(), images(generator))).collect();
    let clock: SharedClock = Arc::new(SystemClock::new());
    let ledger = app::ledger(config.ledger.clone(), &clock);
    let mut config = config;
    config.ledger.place = LedgerPlace::Memory;
    let app = App::build(config, Arc::clone(&clock))?;
    // Whoever gets here has a configuration and secret files that could be read.
    line("ok", "config", "can be read")?;
    line("ok", "token", format!("{token_file} can be read"))?;
    let mut good = true;
    match ledger.list(clock.now() + LEDGER_PATIENCE).await {
        Ok(lines) => line("ok", "ledger", format!("can be used, and holds {} lines", lines.len()))?,
        Err(error) if error.is_in_use() => line("ok", "ledger", "a lastgreen that runs uses it")?,
        Err(error) => {
            good = false;
            line("WRONG", "ledger", error)?;
        }
    }
    let repositories: BTreeSet<_> = subjects.iter().map(|(repository, _)| repository.to_string()).collect();
    for name in repositories {
        let Ok(repository) = name.parse() else { continue };
        let diagnosis = app.github.diagnose(&repository).await;
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
    let images: BTreeSet<_> = subjects.into_iter().flat_map(|(_, images)| images).collect();
    for image in images {
        let diagnosis = app.registries.diagnose(&image).await;
        good &= diagnosis.is_fine();
        // It names the image itself.
        print(&format!("{:<8} {diagnosis}\n", if diagnosis.is_fine() { "ok" } else { "WRONG" }))?;
    }
    good &= plugins(&app, &clock).await?;
    Ok(if good { Exit::Ok } else { Exit::Wrong })
}

/// Looks for other plugins. They are not asked: what they make of a question is theirs.
async fn plugins(app: &App, clock: &SharedClock) -> anyhow::Result<bool> {
    let mut good = true;
    if let Some(kubernetes) = &app.kubernetes {
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
    }
    for plugin in &app.plugins {
        let subject = format!("plugin {}/{}", plugin.options().generator, plugin.options().name);
        match plugin.whereabouts(clock.now() + PLUGIN_PATIENCE).await {
            Ok(whereabouts) => line("ok", subject, whereabouts)?,
            Err(why) => {
                good = false;
                line("WRONG", subject, why)?;
            }
        }
    }
    Ok(good)
}

fn images(generator: &crate::config::Generator) -> Vec<ImageName> {
    generator.build.images.iter().flat_map(|spec| spec.candidates.iter().map(|(name, _)| name.clone())).collect()
}

fn line(word: &str, subject: impl Display, detail: impl Display) -> anyhow::Result<()> {
    print(&format!("{word:<8} {subject}: {detail}\n")).map(drop)
}
