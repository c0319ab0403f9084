//! `lastgreen plugins list`: other plugins as the service that runs knows them.

use std::{fmt::Write as _, sync::Arc};

use anyhow::bail;
use clap::Subcommand;

use super::{Exit, ledger, print, service::Service};
use crate::{
    clock::{SharedClock, SystemClock},
    config::Config,
    operator::plugins::PluginsView,
};

#[derive(Debug, Subcommand)]
pub(super) enum PluginsCommand {
    /// Show the plugins of the configuration, the Services that were found, and how they do.
    List {
        #[command(flatten)]
        place: ledger::Place,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl PluginsCommand {
    pub(super) fn place(&self) -> &ledger::Place {
        let Self::List { place, .. } = self;
        place
    }
}

pub(super) async fn plugins(config: Config, command: PluginsCommand) -> anyhow::Result<Exit> {
    let PluginsCommand::List { place, json } = command;
    let clock: SharedClock = Arc::new(SystemClock::new());
    let place = place.service(&config);
    let Some(service) = Service::reach(&place, &config.ops, &clock).await? else {
        bail!("nothing answers at {}: what was found is known to a service that runs", place.url);
    };
    let view: PluginsView = service.get("/plugins").await?;
    print(&if json { format!("{:#}\n", serde_json::to_value(view)?) } else { table(&view) })
}

/// One line each.
fn table(view: &PluginsView) -> String {
    let mut text = String::new();
    let problem =
        |problem: &Option<String>| problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"));
    for plugin in &view.plugins {
        let place = match (&plugin.url, &plugin.namespace, &plugin.service) {
            (Some(url), ..) => url.clone(),
            (None, Some(namespace), Some(service)) => format!("{namespace}/{service}"),
            _ => String::new(),
        };
        let (generator, name, state) = (&plugin.generator, &plugin.plugin, &plugin.state);
        let _ = writeln!(text, "plugin     {generator}  {name}  {place}  {state}{}", problem(&plugin.problem));
    }
    for namespace in &view.namespaces {
        let _ =
            writeln!(text, "namespace  {}  {}{}", namespace.namespace, namespace.state, problem(&namespace.problem));
    }
    for service in &view.services {
        let what = match (&service.address, &service.path, &service.inputs) {
            (Some(address), Some(path), Some(inputs)) => format!("{address}{path}  inputs {inputs}"),
            _ => format!("cannot be used{}", problem(&service.problem)),
        };
        let used = if service.used_by.is_empty() { "nobody".to_owned() } else { service.used_by.join(", ") };
        let _ = writeln!(text, "service    {}/{}  {what}  for {used}", service.namespace, service.service);
    }
    text
}
