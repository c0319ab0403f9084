//! Labels and annotations, read by digest.

use std::sync::Arc;

use lastgreen::{
    domain::Digest,
    registry::Labels,
    upstream::{Kind, UpstreamError},
};
use lastgreen_sim::{Fault, ImageSpec, REVISION, StoredManifest, Target, What, World};
use serde_json::{Value, json};

use crate::stage::{APP, Stage};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

impl Stage {
    async fn labels(&self, digest: &Digest) -> Result<Arc<Labels>, UpstreamError> {
        self.registries.labels(&self.image(APP), digest).await
    }

    fn store(&self, media_type: &str, manifest: &Value) -> Digest {
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        let stored = StoredManifest { media_type: media_type.to_owned(), bytes };
        self.sim.world(|world| {
            let images = world.registry.repositories.entry(APP.to_owned()).or_default();
            images.manifests.insert(digest.to_string(), stored);
        });
        digest
    }

    fn store_blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.sim.world(|world| {
            let images = world.registry.repositories.entry(APP.to_owned()).or_default();
            images.blobs.insert(digest.to_string(), bytes.to_vec());
        });
        digest
    }

    fn push_spec(&self, spec: &ImageSpec) -> Digest {
        self.sim.world(|world| world.push_image(APP, "one", spec)).parse().unwrap()
    }
}

fn entry(digest: &Digest) -> Value {
    json!({"mediaType": MANIFEST, "digest": digest.as_str(), "size": 1, "platform": {"os": "linux", "architecture": "amd64"}})
}

fn index(children: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
}

fn manifest(config: &Value) -> Value {
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []})
}

#[tokio::test]
async fn labels_of_every_kind_of_image_are_read_once() {
    let plain = ImageSpec::revision("r1").label("a", "b");
    for (spec, gets) in [
        (plain.clone(), 1),
        (plain.clone().docker(), 1),
        (plain.clone().provenance_child(), 2),
        (plain.clone().multi_arch().provenance_child(), 2),
        (plain.multi_arch().docker(), 2),
    ] {
        let stage = Stage::new(World::default()).await;
        let digest = stage.push_spec(&spec);
        for _ in 0..3 {
            let labels = stage.labels(&digest).await.unwrap();
            assert_eq!(labels.revision.as_deref(), Some("r1"));
            assert_eq!(labels.all["a"], "b");
        }
        assert_eq!((stage.sim.counts().registry_get, stage.sim.counts().registry_blob), (gets, 1));
    }
}

#[tokio::test]
async fn the_index_speaks_before_the_child_and_the_child_before_its_labels() {
    let stage = Stage::new(World::default()).await;
    let mut spec = ImageSpec::revision("label").label("a", "label").annotation(REVISION, "child").multi_arch();
    let labels = stage.labels(&stage.push_spec(&spec)).await.unwrap();
    assert_eq!((labels.revision.as_deref(), labels.all["a"].as_str()), (Some("child"), "label"));
    spec.index_annotations.insert(REVISION.to_owned(), "index".to_owned());
    let labels = stage.labels(&stage.push_spec(&spec)).await.unwrap();
    assert_eq!(labels.revision.as_deref(), Some("index"));
}

#[tokio::test]
async fn an_image_without_labels_has_none() {
    let stage = Stage::new(World::default()).await;
    assert_eq!(*stage.labels(&stage.push("one")).await.unwrap(), Labels::default());
    for config in ["{}", r#"{"config":null}"#, r#"{"config":{"Labels":null}}"#, r#"{"config":{"Labels":{"a":null}}}"#] {
        let blob = stage.store_blob(config.as_bytes());
        let descriptor = json!({"mediaType": CONFIG, "digest": blob.as_str(), "size": config.len()});
        let digest = stage.store(MANIFEST, &manifest(&descriptor));
        assert_eq!(stage.labels(&digest).await.unwrap().revision, None, "{config}");
    }
    // A chart or another artifact: its configuration is not an image's.
    let descriptor = json!({"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": "sha256:0", "size": 1});
    let digest = stage.store(MANIFEST, &manifest(&descriptor));
    assert_eq!(*stage.labels(&digest).await.unwrap(), Labels::default());
    let digest = stage.store(INDEX, &index(&[]));
    assert_eq!(*stage.labels(&digest).await.unwrap(), Labels::default());
}

#[tokio::test]
async fn a_manifest_is_verified() {
    for what in [What::LyingBody, What::WrongDigestHeader, What::TruncatedJson, What::HugeBody, What::NotJson] {
        let stage = Stage::new(World::default()).await;
        let digest = stage.push_spec(&ImageSpec::revision("r"));
        stage.sim.fail(Fault::always(Target::manifests(), what.clone()));
        assert_eq!(stage.labels(&digest).await.unwrap_err().kind, Kind::Malformed, "{what:?}");
    }
    // Without a header to compare with, the digest that was asked for is what counts.
    let stage = Stage::new(World::default()).await;
    let (one, two) = (stage.push("one"), stage.push("two"));
    stage.sim.world(|world| {
        let images = world.registry.repositories.get_mut(APP).unwrap();
        let other = images.manifests[two.as_str()].clone();
        images.manifests.insert(one.to_string(), other);
    });
    stage.sim.fail(Fault::always(Target::manifests(), What::NoDigestHeader));
    assert_eq!(stage.labels(&one).await.unwrap_err().kind, Kind::Malformed);
}

#[tokio::test]
async fn a_blob_is_verified() {
    for what in [What::LyingBody, What::TruncatedJson, What::HugeBody, What::EmptyBody200] {
        let stage = Stage::new(World::default()).await;
        let digest = stage.push_spec(&ImageSpec::revision("r"));
        stage.sim.fail(Fault::always(Target::Blobs, what.clone()));
        assert_eq!(stage.labels(&digest).await.unwrap_err().kind, Kind::Malformed, "{what:?}");
        stage.sim.clear_faults();
        stage.pass(10);
        assert_eq!(stage.labels(&digest).await.unwrap().revision.as_deref(), Some("r"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let stage = Stage::new(World::default()).await;
    stage.push("one");
    assert_eq!(stage.labels(&Digest::of(b"?")).await.unwrap_err().kind, Kind::NotFound);
    let descriptor = json!({"mediaType": CONFIG, "digest": Digest::of(b"?").as_str(), "size": 1});
    let digest = stage.store(MANIFEST, &manifest(&descriptor));
    assert_eq!(stage.labels(&digest).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn an_index_may_lie_in_another_but_not_for_ever() {
    let stage = Stage::new(World::default()).await;
    let image = stage.push_spec(&ImageSpec::revision("r"));
    let one = stage.store(INDEX, &index(&[entry(&image)]));
    let two = stage.store(INDEX, &index(&[entry(&one)]));
    assert_eq!(stage.labels(&two).await.unwrap().revision.as_deref(), Some("r"));
    let three = stage.store(INDEX, &index(&[entry(&two)]));
    assert!(stage.labels(&three).await.unwrap().unusable.is_some());
}

#[tokio::test]
async fn an_odd_image_is_its_own_fault_and_not_the_registrys() {
    let stage = Stage::new(World::default()).await;
    let image = stage.push("one");
    let large = json!({"mediaType": CONFIG, "digest": image.as_str(), "size": 5 << 20});
    let negative = json!({"mediaType": CONFIG, "digest": image.as_str(), "size": -1});
    let traversal = json!({"mediaType": CONFIG, "digest": "../../other/blobs/x", "size": 1});
    for (media_type, odd) in [
        (INDEX, index(&vec![entry(&image); 257])),
        (INDEX, index(&[json!({"mediaType": MANIFEST, "digest": "../x", "size": 1})])),
        (MANIFEST, manifest(&large)),
        (MANIFEST, manifest(&negative)),
        (MANIFEST, manifest(&traversal)),
        (MANIFEST, json!({"schemaVersion": 1})),
        (MANIFEST, json!({"schemaVersion": 2})),
        (MANIFEST, json!([])),
    ] {
        let digest = stage.store(media_type, &odd);
        assert!(stage.labels(&digest).await.unwrap().unusable.is_some(), "{odd}");
    }
}
