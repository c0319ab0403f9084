//! What the generator of a story is configured with.

use std::fmt::Write as _;

use lastgreen_sim::Sim;

use crate::stage::REPO;

/// What a generator is configured with.
pub(crate) struct Setup {
    /// Templates of the tags of front and back, behind the colon; several are a list.
    pub(crate) front: Vec<&'static str>,
    pub(crate) back: Vec<&'static str>,
    /// Further lines below the generator, indented by four.
    pub(crate) generator: &'static str,
    /// Further lines below its build part, indented by six.
    pub(crate) build: &'static str,
    pub(crate) trust_after: &'static str,
    /// Further lines of the file.
    pub(crate) file: &'static str,
    /// The generator's name.
    pub(crate) name: &'static str,
    /// The repository of the front's image in the registry.
    pub(crate) front_in: &'static str,
    /// The registry of all images, where it is not that of the world.
    pub(crate) registry: Option<String>,
    /// The GitHub repository.
    pub(crate) repository: &'static str,
    /// Further images, each a key with a repository.
    pub(crate) more_images: &'static [(&'static str, &'static str)],
    /// Whether lines are looked at before they are asked for. Most stories count what one question costs.
    pub(crate) ahead: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            front: vec!["sha-{sha}"],
            back: vec!["sha-{sha}"],
            generator: "",
            build: "",
            trust_after: "1h",
            file: "",
            name: "preview",
            front_in: "front",
            registry: None,
            repository: REPO,
            more_images: &[],
            ahead: false,
        }
    }
}

impl Setup {
    pub(crate) fn tags(tag: &'static str) -> Self {
        Self { front: vec![tag], back: vec![tag], ..Self::default() }
    }
}

pub(crate) fn config(sim: &Sim, folder: &str, setup: &Setup) -> String {
    let host = setup.registry.clone().unwrap_or_else(|| sim.registry_host());
    let image = |name: &str, tags: &[&str]| {
        let references: Vec<_> = tags.iter().map(|tag| format!("\"{host}/myorg/{name}:{tag}\"")).collect();
        format!("[{}]", references.join(", "))
    };
    let more = setup.more_images.iter().fold(String::new(), |mut more, (key, name)| {
        writeln!(more, "        {key}: \"{host}/myorg/{name}:sha-{{sha}}\"").unwrap();
        more
    });
    // Said once, wherever else the story has something to say of it.
    let ahead = setup.ahead;
    let generator = match setup.generator.split_once("refresh: {") {
        Some((before, after)) => format!("{before}refresh: {{ ahead: {ahead},{after}"),
        None => format!("{}\n    refresh: {{ ahead: {ahead} }}", setup.generator),
    };
    let mut text = String::new();
    write!(
        text,
        "tokenFile: {folder}/token
{}
ledger: {{ url: \"sqlite://{folder}/ledger.db\", trustAfter: {} }}
github:
  api: {}
  auth: {{ tokenFile: {folder}/github }}
  pace: {{ perSecond: 1000, concurrent: 100 }}
registries:
  - {{ host: \"{host}\", plainHttp: true, pace: {{ perSecond: 1000, concurrent: 100 }} }}
generators:
  {}:
{}
    build:
      repository: {}
      images:
        digestFront: {}
        digestBack: {}
{}{}
",
        setup.file,
        setup.trust_after,
        sim.github_url(),
        setup.name,
        generator,
        setup.repository,
        image(setup.front_in, &setup.front),
        image("back", &setup.back),
        more,
        setup.build,
    )
    .unwrap();
    text
}
