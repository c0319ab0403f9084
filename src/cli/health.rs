//! `lastgreen health`: whether the service that runs here is ready, for health checks where there is no other program to
//! ask with, as in the container image.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail};

use super::{ConfigArg, Exit, in_runtime, ops_url, print, refuse};
use crate::{config::Config, upstream::http};

/// Longer than this no service that is well takes.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Where the service's operator's port is, as `http://127.0.0.1:9355`; by default as `ops.listen` says.
    #[arg(long, value_name = "URL")]
    ops: Option<String>,
}

pub(super) fn health(args: HealthArgs) -> anyhow::Result<Exit> {
    let url = if let Some(url) = args.ops {
        url
    } else {
        // Only the port is of interest here: no secret is looked at.
        let path = args.config.config.display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read the configuration `{path}`"))?;
        match Config::parse(&text, &path) {
            Ok((config, _)) => ops_url(config.ops.listen),
            Err(errors) => return Ok(refuse(&errors)),
        }
    };
    in_runtime(ask(format!("{}/readyz", url.trim_end_matches('/'))))
}

async fn ask(url: String) -> anyhow::Result<Exit> {
    let request = http::local_client(PATIENCE)?.get(&url);
    let status = request.send().await.with_context(|| format!("not ready: nothing answers at {url}"))?.status();
    if !status.is_success() {
        bail!("not ready: {url} answers {status}");
    }
    print("ready\n")
}
