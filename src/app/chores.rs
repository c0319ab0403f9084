//! What is done beside the answering, for as long as the process runs.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::ByName;
use crate::{
    background::Background,
    clock::SharedClock,
    generator::{Family, Generator, Parts, PlainGenerator},
    kubernetes::Kubernetes,
    ledger::Ledger,
};

/// How often is looked for lines that nobody needs any more.
const FORGET_EVERY: Duration = Duration::from_hours(1);

/// What is done beside the answering: what is asked for is kept fresh, the ledger is looked after, what nobody needs any
/// more is forgotten, and mistakes in what is asked of databases are said at once.
pub(super) fn background(
    ledger: &Arc<Ledger>,
    (generators, families, plain): (&ByName<Generator>, &ByName<Family>, &ByName<PlainGenerator>),
    forget_after: Duration,
    clock: &SharedClock,
) -> Vec<Background> {
    let (keeper, lines) = (Arc::clone(ledger), Arc::clone(ledger));
    let (fresh, fresh_families) = (generators.clone(), families.clone());
    let checked = (generators.clone(), families.clone(), plain.clone());
    let (generators, families, plain) = (generators.clone(), families.clone(), plain.clone());
    let clock = Arc::clone(clock);
    let forgetting = Background::new("forgetting", move |mut stop| async move {
        loop {
            tokio::select! {
                biased;
                () = stop.told() => return Ok(()),
                () = clock.sleep_until(clock.now() + FORGET_EVERY) => {}
            }
            if !lines.leads() {
                continue;
            }
            let all = async {
                for generator in generators.values() {
                    generator.forget(forget_after).await;
                }
                for family in families.values() {
                    family.forget(forget_after).await;
                }
                for generator in plain.values() {
                    generator.forget(forget_after).await;
                }
            };
            tokio::select! {
                biased;
                () = stop.told() => return Ok(()),
                () = all => {}
            }
        }
    });
    let refreshing = Background::new("refreshing", move |stop| async move {
        let all = fresh.values().map(|generator| {
            let mut stop = stop.clone();
            async move { generator.keep_fresh(stop.told()).await }
        });
        let families = fresh_families.values().map(|family| {
            let mut stop = stop.clone();
            async move { family.keep_fresh(stop.told()).await }
        });
        tokio::join!(join_all(all), join_all(families));
        // There may be none.
        let mut stop = stop;
        stop.told().await;
        Ok(())
    });
    let checking = Background::new("checking", move |mut stop| async move {
        let (generators, families, plain) = &checked;
        let parts = generators.values().map(|generator| generator.parts());
        let parts = parts.chain(families.values().map(|family| family.parts()));
        let parts = parts.chain(plain.values().map(|generator| generator.parts()));
        let all = join_all(parts.map(Parts::check));
        tokio::select! {
            biased;
            () = stop.told() => return Ok(()),
            _ = all => {}
        }
        stop.told().await;
        Ok(())
    });
    // Told to end last: it writes what is left.
    let keeping = Background::new("the ledger", move |mut stop| async move {
        keeper.keep(stop.told()).await;
        Ok(())
    });
    vec![checking, refreshing, forgetting, keeping]
}

/// What Kubernetes knows of plugin services is kept up to date.
pub(super) fn watching(kubernetes: &Arc<Kubernetes>) -> Background {
    let kubernetes = Arc::clone(kubernetes);
    Background::new("watching Kubernetes", move |mut stop| async move {
        kubernetes.keep(stop.told()).await;
        Ok(())
    })
}
