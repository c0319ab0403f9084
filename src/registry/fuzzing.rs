//! Registries' answers, for the fuzz targets.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use chrono::DateTime;
use reqwest::{
    Method, StatusCode, Url,
    header::{HeaderMap, HeaderValue},
};

use super::{
    Labels, Options,
    challenge::Offer,
    credential::Credential,
    docker_config::DockerConfig,
    host::Host,
    labels::{Next, Trouble},
    limit,
    lookup::{self, MAX_BYTES},
    options::Checked,
    token,
    wire::{Redirects, Reply, Request},
};
use crate::{
    clock::{ManualClock, SharedClock},
    domain::{Digest, ImageName, Tag},
};

/// A registry with a token server of its own, and one elsewhere.
fn registry() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let clock: SharedClock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let options = Options { realms: vec!["auth.example.com".to_owned()], ..Options::anonymous("reg.example.com") };
        let client = crate::upstream::http::client(None).expect("a client");
        Host::new(&options, &client, &clock).expect("a registry")
    })
}

/// Reads all that an answer's headers may say; what is wrong with them.
pub(crate) fn headers(headers: &HeaderMap, body: &[u8]) -> Vec<String> {
    if let Some(digest) = lookup::claimed(headers) {
        let hex = digest.as_str().strip_prefix("sha256:").expect("a digest names its algorithm");
        assert!(hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{digest}");
    }
    for (streak, chance) in [(0, 0.0), (1, 1.0), (u32::MAX, 0.5)] {
        let pause = limit::pause(headers, body, DateTime::UNIX_EPOCH, streak, chance);
        assert!((Duration::from_secs(1)..=Duration::from_hours(1)).contains(&pause), "{pause:?}");
    }
    let mut said = challenge(headers).err().map_or_else(Vec::new, |message| vec![message]);
    for redirects in [Redirects::Never, Redirects::SameOrigin, Redirects::Anywhere] {
        said.extend(redirect(headers, redirects).err());
    }
    said
}

/// Credentials go to a token server that was listed, over TLS, and to no other.
fn challenge(headers: &HeaderMap) -> Result<(), String> {
    let Some(bearer) = Offer::read(headers).bearer else { return Ok(()) };
    let server = bearer.server(&registry().settings)?;
    let scope = "repository:myorg/front:pull";
    for url in [server.address(), server.question(scope)] {
        assert_eq!((url.scheme(), url.port_or_known_default()), ("https", Some(443)), "{url}");
        assert!(matches!(url.host_str(), Some("reg.example.com" | "auth.example.com")), "{url}");
        assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
    }
    let question = server.question(scope);
    assert_eq!(question.query_pairs().last().map(|(_, value)| value.into_owned()).as_deref(), Some(scope));
    assert!(server.form(scope, "a&b").ends_with("&refresh_token=a%26b"));
    Ok(())
}

/// A redirect keeps the credential at its origin, and never leaves TLS.
fn redirect(headers: &HeaderMap, redirects: Redirects) -> Result<(), String> {
    let request = Request {
        method: Method::GET,
        url: Url::parse("https://reg.example.com/v2/myorg/front/blobs/x").expect("a URL"),
        accept: "*/*",
        authorization: Some(HeaderValue::from_static("Bearer secret")),
        form: None,
        redirects,
        limit: None,
        whom: "it",
    };
    let (home, status) = (request.url.origin(), StatusCode::TEMPORARY_REDIRECT);
    let reply = Reply { status, headers: headers.clone(), body: Vec::new() };
    let next = registry().redirected(request, &reply).map_err(|error| error.to_string())?;
    let at_home = next.url.origin() == home;
    assert_eq!(next.url.scheme(), "https", "{}", next.url);
    assert_eq!(next.authorization.is_some(), at_home, "{}", next.url);
    assert!(redirects == Redirects::Anywhere || (redirects == Redirects::SameOrigin && at_home), "{}", next.url);
    Ok(())
}

/// Reads a manifest and a configuration; why an image cannot be used.
pub(crate) fn image(bytes: &[u8]) -> Option<String> {
    let mut labels = Labels::default();
    let next = labels.add_manifest(bytes);
    if let Ok(Next::Config { size, .. }) = next {
        assert!(size <= MAX_BYTES);
    }
    let config = labels.add_config(bytes);
    let kept: usize = labels.all.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(kept <= 32 * 1024 && labels.all.iter().all(|(key, value)| key.len() + value.len() <= 4 * 1024));
    assert!(labels.revision.is_none_or(|revision| (1..=4 * 1024).contains(&revision.len())));
    match next.map(drop).and(config) {
        Err(Trouble::Unusable(why)) => Some(why),
        Err(Trouble::Upstream(error)) => panic!("nobody was asked: {error}"),
        Ok(()) => None,
    }
}

/// Reads a token server's answer.
pub(crate) fn token(body: &[u8]) {
    let Some((header, life)) = token::granted(body) else { return };
    assert!(header.is_sensitive() && header.as_bytes().starts_with(b"Bearer ") && header.len() > 7);
    assert!(life <= Duration::from_hours(24), "{life:?}");
}

/// Reads a Docker config; what is wrong with it. No word of a login is in that, nor in anything's `Debug`.
pub(crate) fn docker_config(text: &str) -> Vec<String> {
    let config = match DockerConfig::parse(text) {
        Ok(config) => config,
        Err(message) => return vec![message],
    };
    let mut said = Vec::new();
    for (host, name) in [("ghcr.io", "myorg/front"), ("localhost:5000", "front"), ("docker.io", "library/nginx")] {
        match config.select(host, name) {
            Ok(credential) => {
                assert!(credential == Credential::Anonymous || config.holds(&credential));
                let header = credential.basic_header();
                assert!(header.is_none_or(|header| header.is_sensitive()));
                let shown = format!("{config:?} {credential:?}");
                assert!(!shown.contains("hunter2"), "{shown}");
            }
            Err(message) => said.push(message),
        }
        // It is asked, whatever it says.
        let _ = config.has_helper(host);
    }
    said
}

/// A reference is asked for under its own name, whatever the tag.
pub(crate) fn reference(name: &ImageName, tag: &Tag, digest: &Digest) {
    let text = format!("{name}:{tag}");
    let parsed: oci_distribution::Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    // Docker Hub's own host is `docker.io`, whatever else it is called.
    assert_eq!(parsed.registry().to_ascii_lowercase(), name.host(), "{text}");
    assert_eq!((parsed.repository(), parsed.tag(), parsed.digest()), (name.name(), Some(tag.as_str()), None), "{text}");
    for reference in [tag.as_str(), digest.as_str()] {
        let path = format!("/v2/{}/manifests/{reference}", name.name());
        let mut url = Url::parse("https://reg.example.com/").expect("a URL");
        url.set_path(&path);
        assert_eq!((url.path(), url.query(), url.fragment()), (path.as_str(), None, None));
    }
}

/// A registry that a configuration may have.
pub(crate) fn host(host: String, realms: Vec<String>, plain_http: bool) {
    let options = Options { realms, plain_http, ..Options::anonymous(host) };
    Checked::new(&options).unwrap_or_else(|error| panic!("{error}"));
}
