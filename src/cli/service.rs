//! The service that runs, asked at its operator's port.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    clock::SharedClock,
    config,
    upstream::{SecretFile, http},
};

/// The largest answer of a service that is read: a hundred thousand lines.
const MAX_BYTES: usize = 128 << 20;

/// A service that answers.
pub(super) struct Service {
    client: reqwest::Client,
    url: String,
    token: String,
}

/// Where a service is looked for.
pub(super) struct Place {
    pub(super) url: String,
    /// Whether somebody said so.
    pub(super) asked_for: bool,
}

impl Place {
    /// Where `--ops` says, else where the configuration does.
    pub(super) fn new(listen: SocketAddr, ops: Option<String>) -> Self {
        let asked_for = ops.is_some();
        let url = ops.unwrap_or_else(|| super::ops_url(listen));
        Self { url: url.trim_end_matches('/').to_owned(), asked_for }
    }
}

impl Service {
    /// The service at a place, if one answers there.
    pub(super) async fn reach(place: &Place, ops: &config::Ops, clock: &SharedClock) -> anyhow::Result<Option<Self>> {
        let url = place.url.clone();
        let client = http::client(None)?;
        if client.get(format!("{url}/livez")).timeout(Duration::from_secs(3)).send().await.is_err() {
            return Ok(None);
        }
        let Some(file) = &ops.token_file else {
            bail!(
                "the service at {url} can be asked only with a token: set `ops.tokenFile` in its configuration and here"
            );
        };
        let token = SecretFile::new(file, Arc::clone(clock)).read()?;
        // One token a line; any of them will do.
        let token = token.expose().lines().next().unwrap_or_default().trim().to_owned();
        Ok(Some(Self { client, url, token }))
    }

    /// What it shows at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        send(request).await?.map_err(anyhow::Error::msg)
    }

    /// What it does at a path; what it says against the request itself is the inner error.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: String,
    ) -> anyhow::Result<Result<T, String>> {
        send(self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.token).body(body)).await
    }
}

async fn send<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> anyhow::Result<Result<T, String>> {
    let response = request.send().await.map_err(|error| anyhow::Error::msg(http::describe(&error)))?;
    let status = response.status();
    let body = http::body(response, MAX_BYTES).await?;
    if status.is_success() {
        return Ok(Ok(serde_json::from_slice(&body).context("the service's answer makes no sense")?));
    }
    let message = serde_json::from_slice::<Value>(&body).ok();
    let message = message.as_ref().and_then(|body| body["message"].as_str()).unwrap_or("it does not say why");
    match status.as_u16() {
        400 | 404 | 409 => Ok(Err(message.to_owned())),
        status => bail!("the service refuses ({status}): {message}"),
    }
}
