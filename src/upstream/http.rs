//! The one way to build an HTTP client, and to read no more of an answer than is due.

use std::{error::Error, net::SocketAddr, path::Path, time::Duration};

use thiserror::Error;

/// Time to connect, TLS included.
const CONNECT: Duration = Duration::from_secs(5);

/// Time for a whole exchange. Argo CD waits 30 s for us; GitHub gives up after 10 s.
pub const TOTAL: Duration = Duration::from_secs(12);

/// How many connections to one host are kept for later: each costs some 16 KiB.
const KEPT: usize = 16;

/// The [`Breaker`](super::Breaker) keeps that time; this is for an exchange that was sent without one.
const BACKSTOP: Duration = Duration::from_secs(15);

/// What we call ourselves.
pub const USER_AGENT: &str = concat!("lastgreen/", env!("CARGO_PKG_VERSION"));

/// What is said of an exchange whose time is up.
pub const NO_ANSWER: &str = "no answer in time";

/// Why a client could not be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The CA file could not be read.
    #[error("cannot read the CA file `{path}`: {source}")]
    CaFile {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The CA file holds no certificate.
    #[error("the CA file `{path}` holds no PEM certificate")]
    NoCertificate {
        /// The file.
        path: String,
    },
    /// Anything else.
    #[error("cannot set up TLS: {0}")]
    Other(#[from] reqwest::Error),
}

/// A client that follows no redirects (credentials stay where they belong), honours `HTTPS_PROXY` and `NO_PROXY`,
/// trusts the system's CAs and those in `ca_file`, and gives up in time.
pub fn client(ca_file: Option<&Path>) -> Result<reqwest::Client, ClientError> {
    Ok(builder(ca_file)?.build()?)
}

/// The same for a host inside the cluster: no proxy is asked, and where its address is known its name is not resolved.
pub fn client_nearby(
    ca_file: Option<&Path>,
    known: Option<(&str, SocketAddr)>,
) -> Result<reqwest::Client, ClientError> {
    let builder = builder(ca_file)?.no_proxy();
    let builder = match known {
        Some((host, address)) => builder.resolve(host, address),
        None => builder,
    };
    Ok(builder.build()?)
}

fn builder(ca_file: Option<&Path>) -> Result<reqwest::ClientBuilder, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(BACKSTOP)
        .pool_idle_timeout(Duration::from_secs(90))
        .pool_max_idle_per_host(KEPT);
    if let Some(path) = ca_file {
        let shown = || path.display().to_string();
        let pem = std::fs::read(path).map_err(|source| ClientError::CaFile { path: shown(), source })?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)?;
        if certificates.is_empty() {
            return Err(ClientError::NoCertificate { path: shown() });
        }
        builder = builder.tls_certs_merge(certificates);
    }
    Ok(builder)
}

/// A client for a service on this machine, where no proxy comes between, and no TLS.
pub fn local_client(patience: Duration) -> Result<reqwest::Client, ClientError> {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    Ok(builder.tls_certs_only([]).timeout(patience).build()?)
}

/// Why an answer's body could not be had.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It has more bytes than are due.
    #[error("its body has more than {0} bytes")]
    TooLarge(usize),
    /// It broke off.
    #[error("its body broke off")]
    Broken(#[source] reqwest::Error),
}

/// The whole body of an answer, at most `limit` bytes.
pub async fn body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(BodyError::TooLarge(limit));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Broken)? {
        if bytes.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// What went wrong below HTTP, in stable words without addresses, URLs or secrets.
pub fn describe(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        NO_ANSWER
    } else if error.is_connect() {
        connect_trouble(error).unwrap_or("cannot connect")
    } else {
        "the connection broke"
    }
}

/// Why there is no connection, by the causes of an error, if one of them is well known.
pub fn connect_trouble(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return Some("connection refused");
        }
        let text = cause.to_string();
        if text.contains("certificate") {
            return Some("its TLS certificate is not trusted (a private CA belongs into `caFile`)");
        }
        if text.contains("dns error") || text.contains("failed to lookup") {
            return Some("its name cannot be resolved");
        }
        source = cause.source();
    }
    None
}
