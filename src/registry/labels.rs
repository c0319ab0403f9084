//! Labels and annotations of an image, read by digest: index, first real child, its configuration.
//!
//! Of an index only the first child that is a platform is read: one build made them all. Children that name different
//! revisions are therefore not noticed. Everything read is verified against the digest that named it.

use std::collections::BTreeMap;

use oci_distribution::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, ImageIndexEntry, OciManifest,
};
use serde::Deserialize;

use super::{account::Account, host::Host, lookup::MAX_BYTES};
use crate::{
    domain::{Digest, ImageName},
    upstream::{Kind, UpstreamError},
};

/// Where builders write the commit.
const REVISION: &str = oci_distribution::annotations::ORG_OPENCONTAINERS_IMAGE_REVISION;
/// The most children that an index may have.
const MAX_CHILDREN: usize = 256;
/// How deep an index may lie in another.
const MAX_DEPTH: usize = 2;
/// Labels that are longer, or come when this much was taken, are not kept: they stay in memory for good.
const MAX_LABEL_BYTES: usize = 4 * 1024;
const MAX_LABELS_BYTES: usize = 32 * 1024;

/// What an image says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// `org.opencontainers.image.revision`: of the index's annotations, else of the child's, else of the labels.
    pub revision: Option<String>,
    /// All annotations and labels, by the same precedence; without those of over 4 KiB, and 32 KiB in all.
    pub all: BTreeMap<String, String>,
    /// Why the image itself cannot be read: what it consists of is not what an image may consist of. That is the
    /// image's fault and stays so, unlike a registry that cannot say.
    pub unusable: Option<String>,
}

/// Where an image goes on to speak of itself.
#[derive(Debug)]
pub(super) enum Next {
    /// In this child of an index.
    Child(Digest),
    /// In its configuration.
    Config {
        /// The digest.
        digest: Digest,
        /// How many bytes it has.
        size: usize,
    },
    /// Nowhere.
    Nothing,
}

/// Why labels could not be read.
#[derive(Debug)]
pub(super) enum Trouble {
    Upstream(UpstreamError),
    Unusable(String),
}

impl From<UpstreamError> for Trouble {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

fn unusable(why: impl Into<String>) -> Trouble {
    Trouble::Unusable(why.into())
}

/// An image configuration, as far as it matters.
#[derive(Default, Deserialize)]
struct ImageConfig {
    config: Option<ContainerConfig>,
}

#[derive(Default, Deserialize)]
struct ContainerConfig {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, Option<String>>>,
}

impl Labels {
    /// Adds the annotations of a manifest or an index.
    pub(super) fn add_manifest(&mut self, bytes: &[u8]) -> Result<Next, Trouble> {
        match serde_json::from_slice(bytes).map_err(|_| unusable("its manifest is none"))? {
            OciManifest::ImageIndex(index) => {
                if index.manifests.len() > MAX_CHILDREN {
                    return Err(unusable(format!("its index has more than {MAX_CHILDREN} children")));
                }
                self.add(index.annotations.unwrap_or_default());
                let child = index.manifests.iter().find(|entry| is_real(entry));
                child.map_or(Ok(Next::Nothing), |child| digest_in(&child.digest).map(Next::Child))
            }
            OciManifest::Image(manifest) => {
                self.add(manifest.annotations.unwrap_or_default());
                let config = manifest.config;
                if ![IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE].contains(&config.media_type.as_str()) {
                    return Ok(Next::Nothing);
                }
                let digest = digest_in(&config.digest)?;
                let size = usize::try_from(config.size).ok().filter(|size| *size <= MAX_BYTES);
                let size = size.ok_or_else(|| unusable("its configuration is too large"))?;
                Ok(Next::Config { digest, size })
            }
        }
    }

    /// Adds the labels of an image's configuration.
    pub(super) fn add_config(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let config: ImageConfig = serde_json::from_slice(bytes).map_err(|_| unusable("its configuration is none"))?;
        let labels = config.config.unwrap_or_default().labels.unwrap_or_default();
        self.add(labels.into_iter().map(|(key, value)| (key, value.unwrap_or_default())));
        Ok(())
    }

    /// Adds what is less specific than what is there.
    fn add(&mut self, more: impl IntoIterator<Item = (String, String)>) {
        let mut bytes: usize = self.all.iter().map(|(key, value)| key.len() + value.len()).sum();
        for (key, value) in more {
            if key == REVISION && self.revision.is_none() && !value.is_empty() && value.len() <= MAX_LABEL_BYTES {
                self.revision = Some(value.clone());
            }
            let size = key.len() + value.len();
            if size <= MAX_LABEL_BYTES && bytes + size <= MAX_LABELS_BYTES && !self.all.contains_key(&key) {
                bytes += size;
                self.all.insert(key, value);
            }
        }
    }
}

impl Host {
    /// Reads an image's labels and annotations.
    pub(super) async fn read_labels(
        &self,
        account: &Account,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Labels, UpstreamError> {
        match self.labels_in(account, image, digest).await {
            Ok(labels) => Ok(labels),
            Err(Trouble::Unusable(why)) => Ok(Labels { unusable: Some(why), ..Labels::default() }),
            Err(Trouble::Upstream(error)) => Err(error),
        }
    }

    async fn labels_in(&self, account: &Account, image: &ImageName, digest: &Digest) -> Result<Labels, Trouble> {
        let mut labels = Labels::default();
        let mut digest = digest.clone();
        for _ in 0..=MAX_DEPTH {
            let manifest = self.verified_manifest(account, image, &digest).await?;
            match labels.add_manifest(&manifest)? {
                Next::Child(child) => digest = child,
                Next::Config { digest, size } => {
                    let config = self.verified_config(account, image, &digest, size).await?;
                    labels.add_config(&config)?;
                    return Ok(labels);
                }
                Next::Nothing => return Ok(labels),
            }
        }
        Err(unusable("its indexes lie in each other too deep"))
    }

    async fn verified_manifest(
        &self,
        account: &Account,
        image: &ImageName,
        digest: &Digest,
    ) -> Result<Vec<u8>, Trouble> {
        let (actual, bytes) = self
            .manifest(account, image, digest.as_str())
            .await?
            .ok_or_else(|| self.error(Kind::NotFound, format!("`{}` has no `{digest}`", image.name())))?;
        if actual != *digest {
            return Err(self.forged());
        }
        Ok(bytes)
    }

    async fn verified_config(
        &self,
        account: &Account,
        image: &ImageName,
        digest: &Digest,
        size: usize,
    ) -> Result<Vec<u8>, Trouble> {
        let reply = self.blob(account, image, digest, MAX_BYTES).await?;
        if reply.status == reqwest::StatusCode::NOT_FOUND {
            return Err(self.error(Kind::NotFound, format!("`{}` has no `{digest}`", image.name())).into());
        }
        if !reply.status.is_success() {
            return Err(self.unexpected("it", reply.status).into());
        }
        if Digest::of(&reply.body) != *digest {
            return Err(self.forged());
        }
        if reply.body.len() != size {
            return Err(unusable("its manifest names another size of its configuration"));
        }
        Ok(reply.body)
    }

    /// What was sent is not what was asked for: that may be the way here, so it says nothing about the image.
    fn forged(&self) -> Trouble {
        self.error(Kind::Malformed, "what it sent does not have the digest that was asked for").into()
    }
}

fn digest_in(text: &str) -> Result<Digest, Trouble> {
    text.parse().map_err(|_| unusable("its manifest names something by a digest that is none"))
}

/// Whether an entry is an image that runs, rather than what was attached to one: `BuildKit` lists its attestations
/// as `unknown/unknown`.
fn is_real(entry: &ImageIndexEntry) -> bool {
    let attached = entry.artifact_type.is_some()
        || entry.annotations.as_ref().is_some_and(|all| all.contains_key("vnd.docker.reference.type"));
    let unknown = entry
        .platform
        .as_ref()
        .is_some_and(|platform| platform.os.to_string() == "unknown" || platform.architecture.to_string() == "unknown");
    !attached && !unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_names_a_revision_wins() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let mut labels = Labels::default();
        labels.add(pairs(&[("a", "index"), (REVISION, "")]));
        labels.add(pairs(&[("a", "child"), ("b", "child"), (REVISION, "1")]));
        labels.add(pairs(&[("b", "label"), (REVISION, "2"), ("c", "label")]));
        assert_eq!(labels.revision.as_deref(), Some("1"));
        assert_eq!(
            labels.all.into_iter().collect::<Vec<_>>(),
            pairs(&[("a", "index"), ("b", "child"), ("c", "label"), (REVISION, "")])
        );
    }

    #[test]
    fn labels_do_not_fill_the_memory() {
        let mut labels = Labels::default();
        labels.add([("long".to_owned(), "x".repeat(MAX_LABEL_BYTES))]);
        assert!(labels.all.is_empty());
        labels.add((0..100).map(|number| (format!("{number}"), "x".repeat(1024))));
        assert_eq!(labels.all.len(), 31);
    }
}
