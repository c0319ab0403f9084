//! What is answered of a build: rendered from its facts by today's configuration.

use std::collections::BTreeMap;

use super::Generator;
use crate::{
    domain::{Branch, Build, BuiltImage, Item, Line, OutputContext, OutputImage},
    parts::build::Meant,
};

impl Generator {
    /// The item of a build, by today's configuration: every key, every value a string.
    pub(super) fn item(
        &self,
        build: &Build,
        images: &BTreeMap<String, BuiltImage>,
        meant: &Meant,
        branch: &Branch,
    ) -> Item {
        let image = |key: &str| {
            images.get(key).map(|image| OutputImage {
                pinned: image.image.pinned(&image.digest),
                digest: &image.digest,
                tag: Some(&image.tag),
                labels: &image.labels,
            })
        };
        let number = match meant.key.line {
            Line::Pull(number) => Some(number),
            Line::Branch(_) => None,
        };
        let commit = build.commit();
        let context = OutputContext { commit: &commit, branch, number, images: &image };
        let digests = self.options.images.iter().map(|spec| {
            let digest = images.get(&spec.key).map_or_else(String::new, |image| image.digest.to_string());
            (spec.key.clone(), digest)
        });
        let outputs = self.options.outputs.iter().map(|(key, template)| (key.clone(), template.render(&context)));
        Item::rendered(build, digests.chain(outputs).collect::<BTreeMap<_, _>>())
    }
}

/// The images of a build, by their keys.
pub(super) fn images_of(build: &Build) -> BTreeMap<String, BuiltImage> {
    build.images().iter().map(|(key, image)| (key.to_owned(), image.clone())).collect()
}
