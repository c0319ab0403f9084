//! What is asked of a registry: a tag's digest, a manifest, a blob, whether a repository exists.

use std::sync::atomic::Ordering;

use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName},
};
use serde::Deserialize;

use super::{
    account::Account,
    exchange::Question,
    host::Host,
    wire::{Redirects, Reply},
};
use crate::{
    domain::{Digest, ImageName, Tag},
    upstream::{Kind, UpstreamError},
};

/// All kinds of manifest, in one header: a kind that is missing here looks to some registries like a tag that is
/// missing, and others convert an index to one of its children, which has another digest.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
                                 application/vnd.docker.distribution.manifest.list.v2+json, \
                                 application/vnd.oci.image.manifest.v1+json, \
                                 application/vnd.docker.distribution.manifest.v2+json";

/// The largest manifest or image configuration that is read; registries take no larger manifest.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Enough to tell a manifest from a login page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyManifest {
    schema_version: u8,
}

impl Host {
    /// The digest that a tag names, by HEAD where that tells it: a GET counts as a pull.
    pub(super) async fn digest(
        &self,
        account: &Account,
        image: &ImageName,
        tag: &Tag,
    ) -> Result<Option<Digest>, UpstreamError> {
        if !self.without_head.load(Ordering::Relaxed) {
            let reply = self.ask(account, &manifest(image, tag.as_str(), Method::HEAD)).await?;
            match reply.status {
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                    tracing::debug!(registry = image.host(), "it does not know HEAD");
                    self.without_head.store(true, Ordering::Relaxed);
                }
                _ => {
                    if let Some(digest) = claimed(&reply.headers) {
                        return Ok(Some(digest));
                    }
                }
            }
        }
        let Some((digest, bytes)) = self.manifest(account, image, tag.as_str()).await? else { return Ok(None) };
        // A login page has a hash, too.
        let manifest = serde_json::from_slice::<AnyManifest>(&bytes);
        if !manifest.is_ok_and(|manifest| manifest.schema_version == 2) {
            return Err(self.error(Kind::Malformed, "what it sent is no image manifest"));
        }
        Ok(Some(digest))
    }

    /// The bytes of a manifest and their digest; whether they are a manifest is left to judge.
    pub(super) async fn manifest(
        &self,
        account: &Account,
        image: &ImageName,
        reference: &str,
    ) -> Result<Option<(Digest, Vec<u8>)>, UpstreamError> {
        let reply = self.ask(account, &manifest(image, reference, Method::GET)).await?;
        match reply.status {
            StatusCode::NOT_FOUND => return Ok(None),
            status if status.is_success() => {}
            status => return Err(self.unexpected("it", status)),
        }
        let digest = Digest::of(&reply.body);
        if claimed(&reply.headers).is_some_and(|claimed| claimed != digest) {
            return Err(self.error(Kind::Malformed, "its digest header and the manifest that it sent do not agree"));
        }
        Ok(Some((digest, reply.body)))
    }

    /// The bytes of a blob, unverified.
    pub(super) async fn blob(
        &self,
        account: &Account,
        image: &ImageName,
        digest: &Digest,
        size: usize,
    ) -> Result<Reply, UpstreamError> {
        let question = Question {
            repository: image.name(),
            method: Method::GET,
            path: format!("{}/blobs/{digest}", image.name()),
            accept: "*/*",
            redirects: Redirects::Anywhere,
            limit: Some(size),
            decisive: false,
        };
        self.ask(account, &question).await
    }

    /// Whether a repository exists. A refusal is an error, an answer that does not tell `None`.
    pub(super) async fn exists(&self, account: &Account, image: &ImageName) -> Result<Option<bool>, UpstreamError> {
        let question = Question {
            repository: image.name(),
            method: Method::GET,
            path: format!("{}/tags/list?n=1", image.name()),
            accept: "application/json",
            redirects: Redirects::SameOrigin,
            // Old registries list all tags whatever `n` says.
            limit: None,
            decisive: false,
        };
        let reply = self.ask(account, &question).await?;
        Ok(match reply.status {
            StatusCode::NOT_FOUND => Some(false),
            status if status.is_success() => Some(true),
            _ => None,
        })
    }
}

fn manifest<'a>(image: &'a ImageName, reference: &str, method: Method) -> Question<'a> {
    Question {
        repository: image.name(),
        method,
        path: format!("{}/manifests/{reference}", image.name()),
        accept: ACCEPT,
        redirects: Redirects::SameOrigin,
        limit: Some(MAX_BYTES),
        decisive: true,
    }
}

/// The digest that an answer says it has. What is no digest, or several, says nothing.
pub(super) fn claimed(headers: &HeaderMap) -> Option<Digest> {
    let mut values = headers.get_all(DIGEST).iter();
    let first = values.next()?;
    let digest = first.to_str().ok()?.trim().parse().ok()?;
    values.all(|other| other == first).then_some(digest)
}

#[cfg(test)]
mod tests {
    use oci_distribution::manifest::{
        IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    };

    use super::*;

    #[test]
    fn four_kinds_of_manifest_are_accepted() {
        let kinds: Vec<_> = ACCEPT.split(", ").collect();
        assert_eq!(
            kinds,
            [
                OCI_IMAGE_INDEX_MEDIA_TYPE,
                IMAGE_MANIFEST_LIST_MEDIA_TYPE,
                OCI_IMAGE_MEDIA_TYPE,
                IMAGE_MANIFEST_MEDIA_TYPE
            ]
        );
    }

    #[test]
    fn a_digest_header_is_one_valid_digest() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(DIGEST, value.parse().unwrap());
            }
            claimed(&headers)
        };
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        assert_eq!(read(&[one.as_str()]), Some(one.clone()));
        assert_eq!(read(&[one.as_str(), one.as_str()]), Some(one.clone()));
        for bad in [&[][..], &["not a digest"], &[""], &["sha512:00"], &[one.as_str(), two.as_str()]] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
