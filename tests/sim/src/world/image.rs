//! Images: from a few words to real manifests, configs and indexes with true digests.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::names::hex;
use super::registry::{ImageRepository, StoredManifest};

/// The label and annotation that names the commit of a build.
pub const REVISION: &str = "org.opencontainers.image.revision";

/// What an image is to be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageSpec {
    /// Labels of the config.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the image manifests.
    pub annotations: BTreeMap<String, String>,
    /// Annotations of the index, if there is one.
    pub index_annotations: BTreeMap<String, String>,
    /// An index with linux/amd64 and linux/arm64.
    pub multi_arch: bool,
    /// An `unknown/unknown` attestation child, as `BuildKit` adds: also a single-arch image is an index then.
    pub provenance_child: bool,
    /// Docker's media types instead of the OCI ones.
    pub docker: bool,
    /// What is in the layer; by default something that no other push has.
    pub content: Option<String>,
}

impl ImageSpec {
    /// An image whose label names the commit it was built from.
    pub fn revision(sha: &str) -> Self {
        Self::default().label(REVISION, sha)
    }

    /// The same, with one more label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same, with one more annotation.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same, for two platforms.
    #[must_use]
    pub fn multi_arch(mut self) -> Self {
        self.multi_arch = true;
        self
    }

    /// The same, with an attestation.
    #[must_use]
    pub fn provenance_child(mut self) -> Self {
        self.provenance_child = true;
        self
    }

    /// The same, with Docker's media types.
    #[must_use]
    pub fn docker(mut self) -> Self {
        self.docker = true;
        self
    }
}

/// An image in a world file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageEntry {
    /// The image repository.
    pub repository: String,
    /// The tag, with `{sha:id}` for a commit's sha and `{merge:owner/name#1}` for a pull request's test merge.
    pub tag: String,
    /// What it is; label and annotation values know the same placeholders.
    #[serde(default)]
    pub image: ImageSpec,
}

/// The digest of bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

struct MediaTypes {
    index: &'static str,
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

const OCI: MediaTypes = MediaTypes {
    index: "application/vnd.oci.image.index.v1+json",
    manifest: "application/vnd.oci.image.manifest.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};
const DOCKER: MediaTypes = MediaTypes {
    index: "application/vnd.docker.distribution.manifest.list.v2+json",
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

impl ImageRepository {
    /// Stores everything that an image consists of and gives the digest of its top.
    pub(super) fn store(&mut self, spec: &ImageSpec, content: &str, now: DateTime<Utc>) -> String {
        let types = if spec.docker { &DOCKER } else { &OCI };
        let architectures: &[&str] = if spec.multi_arch { &["amd64", "arm64"] } else { &["amd64"] };
        let mut children: Vec<Value> = architectures
            .iter()
            .map(|architecture| self.store_platform(types, spec, content, architecture, now))
            .collect();
        if !spec.multi_arch && !spec.provenance_child {
            return children[0]["digest"].as_str().expect("a descriptor has a digest").to_owned();
        }
        if spec.provenance_child {
            children.push(self.store_attestation(&children[0]["digest"]));
        }
        let mut index = json!({"schemaVersion": 2, "mediaType": types.index, "manifests": children});
        if !spec.index_annotations.is_empty() {
            index["annotations"] = json!(spec.index_annotations);
        }
        self.store_manifest(types.index, &index)
    }

    fn store_platform(
        &mut self,
        types: &MediaTypes,
        spec: &ImageSpec,
        content: &str,
        architecture: &str,
        now: DateTime<Utc>,
    ) -> Value {
        let layer = format!("layer of {content} for {architecture}").into_bytes();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "created": now.to_rfc3339_opts(SecondsFormat::Secs, true),
            "config": {"Labels": spec.labels},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let config = self.store_blob(types.config, config.to_string().into_bytes());
        let layer = self.store_blob(types.layer, layer);
        let mut manifest =
            json!({"schemaVersion": 2, "mediaType": types.manifest, "config": config, "layers": [layer]});
        if !spec.annotations.is_empty() {
            manifest["annotations"] = json!(spec.annotations);
        }
        let mut descriptor = self.descriptor(types.manifest, &manifest);
        descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
        descriptor
    }

    fn store_attestation(&mut self, subject: &Value) -> Value {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{"name": "image", "digest": {"sha256": subject.as_str().unwrap_or_default().trim_start_matches("sha256:")}}],
            "predicate": {"buildType": "https://mobyproject.org/buildkit@v1"},
        });
        let mut layer = self.store_blob("application/vnd.in-toto+json", statement.to_string().into_bytes());
        layer["annotations"] = json!({"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"});
        let config = json!({"architecture": "unknown", "os": "unknown", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
        let config = self.store_blob(OCI.config, config.to_string().into_bytes());
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI.manifest, "config": config, "layers": [layer]});
        let mut descriptor = self.descriptor(OCI.manifest, &manifest);
        descriptor["platform"] = json!({"architecture": "unknown", "os": "unknown"});
        descriptor["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject});
        descriptor
    }

    fn store_blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    fn descriptor(&mut self, media_type: &str, manifest: &Value) -> Value {
        let digest = self.store_manifest(media_type, manifest);
        let size = self.manifests[&digest].bytes.len();
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    fn store_manifest(&mut self, media_type: &str, manifest: &Value) -> String {
        let bytes = serde_json::to_vec_pretty(manifest).expect("a manifest is plain JSON");
        let digest = digest(&bytes);
        self.manifests.insert(digest.clone(), StoredManifest { media_type: media_type.to_owned(), bytes });
        digest
    }
}
