//! A registry that answers by script.

use std::{
    future::ready,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
};
use lastgreen::{
    clock::{Clock as _, ManualClock},
    domain::{Digest, ImageName, Tag},
    registry::{Auth, Options, Registries},
    upstream::UpstreamError,
};

use crate::stage::{digest, options};

/// A manifest that no one looks into.
pub(crate) const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;

/// What was asked: method, path with query, and what came as `Authorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) what: String,
    pub(crate) authorization: Option<String>,
}

/// A server on the loopback; it ends with the test's runtime.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    /// Answers by `script`, which gets its own address too.
    pub(crate) async fn start(
        script: impl Fn(SocketAddr, &Asked) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let router = Router::new().fallback(move |request: Request<Body>| {
            let authorization = request.headers().get("authorization");
            let one = Asked {
                what: format!("{} {}", request.method(), request.uri()),
                authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
            };
            log.lock().unwrap().push(one.clone());
            ready(script(address, &one))
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    /// Everything that was asked since this was called last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub(crate) fn image(&self) -> ImageName {
        format!("{}/team/app", self.address).parse().unwrap()
    }

    pub(crate) fn options(&self, auth: Auth) -> Options {
        options(self.address.to_string(), auth)
    }
}

/// A client of a double.
pub(crate) struct Client {
    pub(crate) registries: Registries,
    pub(crate) clock: ManualClock,
    image: ImageName,
    _folder: tempfile::TempDir,
}

impl Client {
    pub(crate) fn anonymous(double: &Double) -> Self {
        Self::with(double, |_| Auth::Anonymous)
    }

    /// With `user` and `secret`.
    pub(crate) fn basic(double: &Double) -> Self {
        Self::with(double, |folder| {
            let (username_file, password_file) = (folder.join("user"), folder.join("password"));
            std::fs::write(&username_file, "user").unwrap();
            std::fs::write(&password_file, "secret").unwrap();
            Auth::Basic { username_file, password_file }
        })
    }

    /// With an identity token in a Docker config.
    pub(crate) fn identity(double: &Double, token: &str) -> Self {
        Self::with(double, |folder| {
            let path = folder.join("config.json");
            let entry = format!(r#"{{"auths":{{"{}":{{"identitytoken":"{token}"}}}}}}"#, double.address);
            std::fs::write(&path, entry).unwrap();
            Auth::DockerConfig(path)
        })
    }

    fn with(double: &Double, auth: impl FnOnce(&std::path::Path) -> Auth) -> Self {
        let clock = ManualClock::new(chrono::DateTime::UNIX_EPOCH);
        let folder = tempfile::tempdir().unwrap();
        let options = double.options(auth(folder.path()));
        let registries = Registries::new(vec![options], Arc::new(clock.clone())).unwrap();
        Self { registries, clock, image: double.image(), _folder: folder }
    }

    pub(crate) async fn ask(&self, tag: &str) -> Result<Option<Digest>, UpstreamError> {
        let tag: Tag = tag.parse().unwrap();
        self.registries.resolve(&self.image, &tag, self.clock.now()).await.map(digest)
    }
}

/// An answer with headers.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        let name: axum::http::HeaderName = name.parse().unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

/// The usual manifest, as a HEAD or GET of it is answered.
pub(crate) fn found() -> Response<Body> {
    answer(200, &[("docker-content-digest", Digest::of(MANIFEST.as_bytes()).as_str())], MANIFEST)
}
