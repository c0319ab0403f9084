//! The real thing: Debian's `docker-registry` on a free port of the loopback, and images to push to it.
//!
//! It is one process of this test's own, with its data in a temporary folder; both end with the value.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use lastgreen::upstream::http;
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, LOCATION},
};
use serde_json::{Value, json};

const PROGRAM: &str = "/usr/bin/docker-registry";

/// `user` with `correct horse`, as `htpasswd -nbB` writes it.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";
/// Whom [`Access::Password`] lets in.
pub(crate) const USER: &str = "user";
/// With what.
pub(crate) const PASSWORD: &str = "correct horse";

/// Whom the registry lets in.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    Anyone,
    /// [`USER`] with [`PASSWORD`].
    Password,
    /// Whoever has a token of this server.
    Token {
        /// The token server's URL.
        realm: String,
        /// The `iss` of its tokens.
        issuer: String,
        /// The `aud` of its tokens.
        service: String,
        /// The certificate that their key belongs to, as PEM.
        certificate: String,
    },
}

/// A running registry.
#[derive(Debug)]
pub(crate) struct DockerRegistry {
    process: Child,
    host: String,
    client: reqwest::Client,
    folder: tempfile::TempDir,
}

/// An image to push.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) labels: BTreeMap<String, String>,
    /// Annotations of its manifest, or of each platform's.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Pushes an index with these annotations, of two platforms and an attestation, as `BuildKit` does.
    pub(crate) index: Option<BTreeMap<String, String>>,
    /// What tells it from others.
    pub(crate) content: String,
}

impl DockerRegistry {
    /// Starts one. `None`, said aloud, where it is not installed; a failure if it has to be.
    pub(crate) fn start(access: &Access) -> Option<Self> {
        Self::start_with(access, None)
    }

    /// The same, over TLS if there are a certificate and its key, as PEM.
    pub(crate) fn start_with(access: &Access, tls: Option<(&str, &str)>) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            let required = std::env::var("LASTGREEN_REAL_SERVERS").is_ok_and(|value| value == "required");
            assert!(!required, "{PROGRAM} is not installed, and LASTGREEN_REAL_SERVERS=required");
            // Straight to stderr: what the macros print of a test that passes is not shown.
            let _ = writeln!(std::io::stderr(), "NOT RUN: {PROGRAM} is not installed (Debian package docker-registry)");
            return None;
        }
        // Another process may take the port between our letting it go and the registry's taking it.
        Some((0..5).find_map(|_| Self::try_start(access, tls)).expect("docker-registry starts"))
    }

    fn try_start(access: &Access, tls: Option<(&str, &str)>) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let host =
            TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port").to_string();
        let config = folder.path().join("config.yml");
        std::fs::write(&config, configuration(folder.path(), &host, access, tls)).expect("a writable folder");
        let mut process = Command::new(PROGRAM)
            .arg("serve")
            .arg(&config)
            // Its variables would change the configuration.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry can be run");
        let log = process.stderr.take().expect("it is piped");
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads on to the end, so that the registry never waits for its log.
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.contains("listening on") {
                    let _ = ready.send(());
                }
            }
        });
        let registry = Self { process, host, client: http::client(None).expect("a client"), folder };
        // An error is the end of the log: the process has ended.
        is_ready.recv().is_ok().then_some(registry)
    }

    /// `host:port`, as images name it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Where it keeps everything; free for further files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Pushes an image and gives the digest that the registry reports for its top.
    pub(crate) async fn push(&self, authorization: Option<&str>, name: &str, tag: &str, image: &Image) -> String {
        let push = Push { registry: self, authorization, name };
        let Some(index) = &image.index else { return push.platform(tag, image, "amd64").await.0 };
        let mut children = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let (digest, size) = push.platform("", image, architecture).await;
            children.push(json!({"mediaType": MANIFEST, "digest": digest, "size": size,
                "platform": {"os": "linux", "architecture": architecture}}));
        }
        let (digest, size) = push.attestation().await;
        children.insert(
            0,
            json!({"mediaType": MANIFEST, "digest": digest, "size": size,
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": children[0]["digest"]}}),
        );
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children, "annotations": index});
        push.manifest(tag, INDEX, &index).await.0
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn configuration(folder: &Path, host: &str, access: &Access, tls: Option<(&str, &str)>) -> String {
    let data = folder.join("data");
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("a writable folder");
        path.display().to_string()
    };
    let tls = tls.map_or_else(String::new, |(certificate, key)| {
        format!(", tls: {{certificate: {}, key: {}}}", write("tls.pem", certificate), write("tls.key", key))
    });
    let mut text = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"{host}\", secret: of-a-test{tls}}}\n",
        data.display()
    );
    match access {
        Access::Anyone => {}
        Access::Password => {
            let path = write("htpasswd", HTPASSWD);
            writeln!(text, "auth: {{htpasswd: {{realm: of a test, path: {path}}}}}").expect("a string");
        }
        Access::Token { realm, issuer, service, certificate } => {
            let path = write("tokens.pem", certificate);
            writeln!(
                text,
                "auth: {{token: {{realm: \"{realm}\", issuer: \"{issuer}\", service: \"{service}\", rootcertbundle: {path}}}}}"
            )
            .expect("a string");
        }
    }
    text
}

struct Push<'a> {
    registry: &'a DockerRegistry,
    authorization: Option<&'a str>,
    name: &'a str,
}

impl Push<'_> {
    /// One platform's manifest, by tag or (`""`) by digest alone; its digest and size.
    async fn platform(&self, tag: &str, image: &Image, architecture: &str) -> (String, usize) {
        let layer = self.blob(LAYER, format!("layer {} {architecture}", image.content).into_bytes()).await;
        let config = json!({"architecture": architecture, "os": "linux", "config": {"Labels": image.labels},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
        let config = self.blob(CONFIG, config.to_string().into_bytes()).await;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
            "annotations": image.annotations});
        self.manifest(tag, MANIFEST, &manifest).await
    }

    async fn attestation(&self) -> (String, usize) {
        let config = self.blob(CONFIG, br#"{"architecture":"unknown","os":"unknown"}"#.to_vec()).await;
        let layer = self.blob("application/vnd.in-toto+json", b"{}".to_vec()).await;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        self.manifest("", MANIFEST, &manifest).await
    }

    async fn blob(&self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = lastgreen::domain::Digest::of(&bytes).to_string();
        let size = bytes.len();
        let begun = self.send("POST", &format!("/v2/{}/blobs/uploads/", self.name), "", Vec::new()).await;
        assert_eq!(begun.status(), StatusCode::ACCEPTED);
        let location = begun.headers()[LOCATION].to_str().expect("a location").to_owned();
        let path = location.split_once(self.registry.host()).map_or(location.as_str(), |(_, path)| path);
        let done = self.send("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes).await;
        assert_eq!(done.status(), StatusCode::CREATED);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    async fn manifest(&self, tag: &str, media_type: &str, manifest: &Value) -> (String, usize) {
        let bytes = serde_json::to_vec_pretty(manifest).expect("plain JSON");
        let size = bytes.len();
        let computed = lastgreen::domain::Digest::of(&bytes).to_string();
        let reference = if tag.is_empty() { &computed } else { tag };
        let done = self.send("PUT", &format!("/v2/{}/manifests/{reference}", self.name), media_type, bytes).await;
        assert_eq!(done.status(), StatusCode::CREATED);
        (done.headers()["docker-content-digest"].to_str().expect("a digest").to_owned(), size)
    }

    async fn send(&self, method: &str, path: &str, media_type: &str, body: Vec<u8>) -> reqwest::Response {
        let method = method.parse().expect("a method");
        let url = format!("http://{}{path}", self.registry.host());
        let mut request = self.registry.client.request(method, url).body(body);
        if !media_type.is_empty() {
            request = request.header(CONTENT_TYPE, media_type);
        }
        if let Some(authorization) = self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.send().await.expect("the registry answers")
    }
}
