//! The file's JSON Schema, for editors and for people.
//!
//! The types here are never filled: they only say which keys there are and what each is for. That the reader takes
//! these keys and no others, these words, and these defaults, is what the tests hold it to.

#![expect(dead_code, reason = "the fields are described, not read")]
#![expect(clippy::struct_field_names, reason = "they are the file's keys")]

mod parts;
mod plugins;

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform};
use serde_json::Value;

use self::parts::{Allow, Guard, Sql};
use self::plugins::{Kubernetes, Plugin};
use super::{
    Explain, Forks, NoChecks, Skipped, UnlabelledTags, duration, file,
    generator::{self, KEY_PATTERN, NAME_PATTERN, WALK_MAX},
    parts as config_parts,
};

/// The configuration file's JSON Schema.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with_transform(transform::RecursiveTransform(without_null))
        .with_transform(transform::RecursiveTransform(without_breaks));
    settings.into_generator().into_root_schema_for::<File>().to_value()
}

/// A comment's lines end where ours do; a description has none.
fn without_breaks(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

/// An absent key is absent, it is not `null`.
fn without_null(schema: &mut Schema) {
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            schema.insert("type".to_owned(), kind);
        }
    }
    let Some(Value::Array(choices)) = schema.get("anyOf") else { return };
    if let [Value::Object(choice), null] = choices.as_slice()
        && is_null(null)
    {
        let choice = choice.clone();
        schema.remove("anyOf");
        for (key, value) in choice {
            schema.ensure_object().entry(key).or_insert(value);
        }
    }
}

/// lastgreen's configuration.
#[derive(JsonSchema)]
#[schemars(title = "lastgreen", rename_all = "camelCase", deny_unknown_fields)]
struct File {
    /// Where the plugin listens: what Argo CD's `ConfigMap` has as `baseUrl`.
    #[schemars(extend("default" = address(file::defaults::LISTEN)))]
    listen: Option<Address>,
    /// The operator's port.
    ops: Option<Ops>,
    /// The file with the tokens that Argo CD may send, one a line. It is read again when it changes.
    #[schemars(extend("examples" = ["/var/run/argo/token"]))]
    token_file: String,
    /// When an answer is due, from `1s` to `25s`; Argo CD gives up after 30 seconds. What is not known by then is
    /// unknown, and what was answered before is answered again.
    #[schemars(extend("default" = duration::show(file::defaults::ANSWER_WITHIN)))]
    answer_within: Option<Time>,
    /// How long questions are answered after SIGTERM, at most `5m`: until everybody has heard that this pod is not
    /// ready any more. A question that is refused meanwhile would freeze its whole set for three minutes.
    #[schemars(extend("default" = duration::show(file::defaults::DRAIN_DELAY)))]
    drain_delay: Option<Time>,
    /// How often the holder of a token may make lastgreen look at something. What is known is answered however often it
    /// is asked for; beyond this, what was answered last is answered, and with nothing known a 429.
    inbound: Option<Inbound>,
    /// What was answered to whom, so that no outage withdraws it.
    ledger: Option<Ledger>,
    /// GitHub, where CI is asked for; required where a generator has a `build` part.
    github: Option<GitHub>,
    /// Registries that need more than anonymous HTTPS.
    #[schemars(extend("default" = []))]
    registries: Option<Vec<Registry>>,
    /// Where plugin services are looked for, if a generator has plugins with a `service`.
    kubernetes: Option<Kubernetes>,
    /// The generators by name: `POST /<name>/api/v1/getparams.execute`. A sole one also answers at
    /// `/api/v1/getparams.execute`. A name has lower-case letters, digits and `-`, at most 63, and is not `api`.
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "pattern": NAME_PATTERN, "not": { "const": "api" } }))]
    generators: BTreeMap<String, Generator>,
}

/// The operator's port.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Ops {
    /// Where health, metrics, `/explain`, and what operators see and change are served.
    #[schemars(extend("default" = address(file::defaults::OPS_LISTEN)))]
    listen: Option<Address>,
    /// The file with the tokens of operators, who may see and change the ledger, the guard and the plugins, one a line;
    /// without it nobody may. It is read again when it changes.
    #[schemars(extend("examples" = ["/var/run/lastgreen/ops-token"]))]
    token_file: Option<String>,
    /// Who may see at `/explain` why previews are as they are.
    #[schemars(extend("default" = "token"))]
    explain: Option<Explain>,
}

/// How often the holder of a token may make lastgreen look at something.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Inbound {
    /// How many looks a second, on average.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = file::defaults::INBOUND.0))]
    per_second: Option<u32>,
    /// How many at once: a first sweep of all pull requests.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = file::defaults::INBOUND.1))]
    burst: Option<u32>,
}

/// What was answered to whom.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Ledger {
    /// Where it is kept: `sqlite:///absolute/path` for one replica, `postgres://user@host/database` for several;
    /// `memory:` is lost with the process and for trials. A URL with a password belongs into `urlFile`.
    #[schemars(extend("default" = format!("sqlite://{}", file::defaults::LEDGER), "pattern" = "^(memory:|sqlite:///.+|postgres(ql)?://.+)$"))]
    url: Option<String>,
    /// A file with the URL in it, instead of `url`. It is read again when it changes.
    #[schemars(extend("examples" = ["/secrets/ledger/url"]))]
    url_file: Option<String>,
    /// How long after a new ledger's first question its ignorance is no knowledge: an earlier ledger, or another
    /// plugin, may have answered what this one does not know of.
    #[schemars(extend("default" = duration::show(file::defaults::TRUST_AFTER)))]
    trust_after: Option<Time>,
    /// How long nobody must have asked for a line before it may be forgotten, `1d` or more; its pull request must be
    /// closed, or its branch gone, as well.
    #[schemars(extend("default" = duration::show(file::defaults::FORGET_AFTER)))]
    forget_after: Option<Time>,
}

/// GitHub.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct GitHub {
    /// The API's base; for GitHub Enterprise `https://ghe.example.com/api/v3`. `http` is allowed to this machine only.
    #[schemars(extend("default" = file::defaults::GITHUB_API, "pattern" = "^https?://[^?#@]+$"))]
    api: Option<String>,
    /// Who we are. Reading contents, pull requests, checks and commit statuses must be allowed.
    auth: GitHubAuth,
    /// Further CAs to trust, as PEM.
    ca_file: Option<String>,
    /// How fast GitHub is asked. Its own limits are followed whatever this says.
    #[schemars(extend("default" = pace(file::defaults::GITHUB_PACE)))]
    pace: Option<GitHubPace>,
}

/// Who we are to GitHub: `app` or `tokenFile`.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("oneOf" = [{ "required": ["app"] }, { "required": ["tokenFile"] }])
)]
struct GitHubAuth {
    /// A GitHub App; its tokens are made and renewed by themselves.
    app: Option<GitHubApp>,
    /// The file with a token. It is read again when it changes.
    #[schemars(extend("examples" = ["/secrets/github/token"]))]
    token_file: Option<String>,
}

/// A GitHub App.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct GitHubApp {
    /// The App's number.
    #[schemars(range(min = 1), extend("examples" = [12345]))]
    id: u64,
    /// The file with its private key, as PEM.
    #[schemars(extend("examples" = ["/secrets/github/key.pem"]))]
    private_key_file: String,
}

/// How fast GitHub is asked.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct GitHubPace {
    /// Requests per second, on average.
    #[schemars(range(min = 1, max = 10_000), extend("default" = file::defaults::GITHUB_PACE.0))]
    per_second: Option<u32>,
    /// Requests under way at the same time.
    #[schemars(range(min = 1, max = 10_000), extend("default" = file::defaults::GITHUB_PACE.1))]
    concurrent: Option<u32>,
}

/// A registry.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Registry {
    /// The host as images name it, with its port where it has one.
    #[schemars(extend("examples" = ["ghcr.io", "docker.io", "localhost:5000"]))]
    host: String,
    /// Who we are; nobody where it is left out.
    auth: Option<RegistryAuth>,
    /// Token servers on other hosts that the credentials may be sent to, as `host` or `host:port`, beside the
    /// well-known ones.
    #[schemars(extend("default" = []))]
    realms: Option<Vec<String>>,
    /// How fast it is asked; left out, what the registry is known to welcome.
    pace: Option<RegistryPace>,
    /// HTTP without TLS, for registries on this machine or inside the cluster.
    #[schemars(extend("default" = false))]
    plain_http: Option<bool>,
    /// Further CAs to trust, as PEM.
    ca_file: Option<String>,
}

/// Who we are to a registry: `usernameFile` and `passwordFile`, or `dockerConfigFile`.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("oneOf" = [{ "required": ["usernameFile", "passwordFile"] }, { "required": ["dockerConfigFile"] }])
)]
struct RegistryAuth {
    /// The file with the user name.
    username_file: Option<String>,
    /// The file with the password or token.
    password_file: Option<String>,
    /// A Docker `config.json`, as an image pull secret holds it.
    docker_config_file: Option<String>,
}

/// How fast a registry is asked.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct RegistryPace {
    /// Requests per second, on average.
    #[schemars(range(min = 1, max = 10_000), extend("default" = file::defaults::REGISTRY_PACE.0))]
    per_second: Option<u32>,
    /// Requests under way at the same time.
    #[schemars(range(min = 1, max = 10_000), extend("default" = file::defaults::REGISTRY_PACE.1))]
    concurrent: Option<u32>,
}

/// A generator: what one URL answers, made of one or more of `build`, `sql` and `plugins`.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("anyOf" = [{ "required": ["build"] }, { "required": ["sql"] }, { "required": ["plugins"] }])
)]
struct Generator {
    /// The file with the tokens that may ask this generator, one a line; left out, those of the `tokenFile` for all. It
    /// is read again when it changes.
    #[schemars(extend("examples" = ["/var/run/argo/preview-token"]))]
    token_file: Option<String>,
    /// Who may ask, of those who bring a token.
    allow: Option<Allow>,
    /// How long an answer that was given is held while there is no green build: `forever`, `never`, or a duration. An
    /// outage never withdraws it, whatever this says.
    #[schemars(extend("default" = "forever", "pattern" = "^(forever|never|[0-9]+(ms|s|m|h|d))$", "examples" = ["7d"]))]
    hold: Option<String>,
    /// Pull requests from forks.
    #[schemars(extend("default" = "refuse"))]
    forks: Option<Forks>,
    /// How old an answer from memory may be.
    refresh: Option<Refresh>,
    /// Where the last green build is looked for.
    build: Option<Build>,
    /// The rows of a query.
    sql: Option<Sql>,
    /// Other generator plugins by a name for each, whose items are joined with those of the parts before.
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "pattern": NAME_PATTERN }))]
    plugins: Option<BTreeMap<String, Plugin>>,
    /// What looks after answers that shrink: beside `sql` and `plugins`, and where all pull requests are asked for at once.
    #[schemars(extend("default" = serde_json::json!({
        "maxDrop": format!("{}%", config_parts::defaults::MAX_DROP),
        "minItems": config_parts::defaults::MIN_ITEMS,
        "window": duration::show(config_parts::defaults::WINDOW),
    })))]
    guard: Option<Guard>,
}

/// How old an answer from memory may be.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Refresh {
    /// While the head's checks are pending or an image is absent; from `5s` to `10m`.
    #[schemars(extend("default" = duration::show(generator::defaults::PENDING)))]
    pending: Option<Time>,
    /// Once the head is final: how long it takes to see a re-run. At least `pending`, at most `1h`.
    #[schemars(extend("default" = duration::show(generator::defaults::SETTLED)))]
    settled: Option<Time>,
    /// Whether lines are looked at before they are asked for: those that were asked lately a little before they are too
    /// old, and with the first question the other pull requests of the repository.
    #[schemars(extend("default" = generator::defaults::AHEAD))]
    ahead: Option<bool>,
}

/// Where the last green build is looked for.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Build {
    /// The repository on GitHub; or a pattern with `*` in the name: then each question says which by its parameter
    /// `repository`.
    #[schemars(extend("pattern" = "^[^/*]+/[^/]+$", "examples" = ["myorg/myrepo", "myorg/*", "myorg/app-*"]))]
    repository: String,
    /// The images by the key of the answer that gets their digest. Each is `host/name:tag-template`, or a list of
    /// such, tried in order. Placeholders: `{sha} {sha7} {sha8} {sha12} {merge_sha} {merge_sha7} {number} {branch}
    /// {branch:docker} {branch:gitlab} {branch:argo}`; in the name `{owner} {repo}`.
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "pattern": KEY_PATTERN }))]
    images: BTreeMap<String, Image>,
    /// What an image proves that was found under a moving tag and has no label `org.opencontainers.image.revision`.
    #[schemars(extend("default" = "refuse"))]
    unlabelled_tags: Option<UnlabelledTags>,
    /// What is green.
    ci: Option<Ci>,
    /// How many commits are looked at, from the head back.
    #[schemars(range(min = 1, max = WALK_MAX), extend("default" = generator::defaults::WALK))]
    walk: Option<u32>,
    /// Further keys of the answer, as templates with `{sha} {sha7} {branch} {number}` and, for an image with the key
    /// `digestFront`, `{digestFront} {digestFront.ref} {digestFront.tag} {digestFront.label:NAME}`. What is not to be
    /// had is empty.
    #[schemars(extend(
        "default" = {},
        "propertyNames" = { "pattern": KEY_PATTERN },
        "examples" = [{ "buildSha": "{sha}", "imageFront": "{digestFront.ref}" }],
    ))]
    outputs: Option<BTreeMap<String, String>>,
}

/// What is green. Names of checks may hold `*` and `?`.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
struct Ci {
    /// Checks that must be there and pass.
    #[schemars(extend("default" = []))]
    require: Option<Vec<String>>,
    /// Checks that do not count: a preview's own status would lock it out.
    #[schemars(extend("default" = generator::defaults::IGNORE))]
    ignore: Option<Vec<String>>,
    /// Skipped and neutral checks.
    #[schemars(extend("default" = "pass"))]
    skipped: Option<Skipped>,
    /// A commit without any check.
    #[schemars(extend("default" = "wait"))]
    no_checks: Option<NoChecks>,
    /// How long the checks must have been at rest, since more of them may come; at most `1h`.
    #[schemars(extend("default" = duration::show(generator::defaults::SETTLE)))]
    settle: Option<Time>,
}

/// A duration: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(JsonSchema)]
#[schemars(extend("pattern" = duration::PATTERN))]
struct Time(String);

/// An address and a port.
#[derive(JsonSchema)]
struct Address(String);

/// One candidate, or several that are tried in order.
struct Image(Vec<String>);

impl JsonSchema for Image {
    fn schema_name() -> Cow<'static, str> {
        "Image".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({
            "type": "string",
            "pattern": "^[^/{}]+/[^{}]+:.+$",
            "examples": ["ghcr.io/myorg/front:sha-{sha}", "ghcr.io/myorg/front:pr-{number}"],
        });
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

fn address((ip, port): ([u8; 4], u16)) -> String {
    std::net::SocketAddr::from((ip, port)).to_string()
}

fn pace((per_second, concurrent): (u32, u32)) -> Value {
    serde_json::json!({ "perSecond": per_second, "concurrent": concurrent })
}
