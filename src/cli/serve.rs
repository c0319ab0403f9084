//! `lastgreen serve`. SIGTERM, which Kubernetes sends, ends it orderly; ctrl-c, which a person types, soon.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::Exit;
use crate::{
    app::{App, End},
    clock::{SharedClock, SystemClock},
    config::Config,
    upstream::collector,
};

pub(super) async fn serve(config: Config) -> anyhow::Result<Exit> {
    let (listen, ops) = (config.listen, config.ops.listen);
    let clock: SharedClock = Arc::new(SystemClock::new());
    let app = App::build_traced(config, collector::traces(&clock), Arc::clone(&clock))?;
    let plugin = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on `listen: {listen}`"))?;
    let health = TcpListener::bind(ops).await.with_context(|| format!("cannot listen on `ops.listen: {ops}`"))?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let generators: Vec<_> =
        app.generators.keys().chain(app.families.keys()).chain(app.plain.keys()).map(|name| &**name).collect();
    tracing::info!(plugin = %plugin.local_addr()?, ops = %health.local_addr()?, ?generators, "lastgreen {} serves", *super::VERSION);
    let (ask, ends) = mpsc::channel(2);
    let signals = async {
        loop {
            let end = tokio::select! {
                _ = terminate.recv() => End::Orderly,
                _ = interrupt.recv() => End::Soon,
            };
            // One that was not looked at yet says enough.
            let _ = ask.try_send(end);
        }
    };
    tokio::select! {
        ended = app.run(plugin, health, ends) => ended?,
        () = signals => {}
    }
    Ok(Exit::Ok)
}
