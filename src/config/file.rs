//! The file's keys but those of a generator.

use std::{collections::BTreeMap, net::IpAddr, net::SocketAddr, num::NonZeroU32, time::Duration};

use http::Uri;

use super::{
    Config, Database, Explain, GitHub, GitHubAuth, Inbound, Ledger, LedgerPlace, Ops, PaceConfig, Registry,
    RegistryAuth,
    generator::generators,
    plugins,
    read::{Field, all},
};
use crate::domain::{ImageName, is_host};

/// What an absent key means; the schema tells the same.
pub(super) mod defaults {
    use std::time::Duration;

    pub(crate) const LISTEN: ([u8; 4], u16) = ([0, 0, 0, 0], 4355);
    pub(crate) const OPS_LISTEN: ([u8; 4], u16) = ([0, 0, 0, 0], 9355);
    pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
    pub(crate) const LEDGER: &str = "/var/lib/lastgreen/ledger.db";
    pub(crate) const DRAIN_DELAY: Duration = Duration::from_secs(5);
    /// Looks per second and at once.
    pub(crate) const INBOUND: (u32, u32) = (200, 10_000);
    pub(crate) const TRUST_AFTER: Duration = Duration::from_hours(1);
    pub(crate) const FORGET_AFTER: Duration = Duration::from_hours(30 * 24);
    pub(crate) const GITHUB_API: &str = "https://api.github.com";
    /// Requests per second and at the same time.
    pub(crate) const GITHUB_PACE: (u32, u32) = (10, 8);
    pub(crate) const REGISTRY_PACE: (u32, u32) = (20, 8);
}

const MAP_OF_REGISTRY: &str = "a map with `host` and more";
const GITHUB_AUTH: &str = "a map with `app` or `tokenFile`";
const REGISTRY_AUTH: &str = "a map with `usernameFile` and `passwordFile`, or with `dockerConfigFile`";

/// The whole file.
pub(super) fn config(root: &Field<'_>) -> Option<Config> {
    let mut map = root.map("a map with the keys of the configuration")?;
    let listen_field = map.get("listen");
    let listen = listen_field.as_ref().map_or(Some(defaults::LISTEN.into()), address);
    let ops_field = map.get("ops");
    let ops_default = Ops { listen: defaults::OPS_LISTEN.into(), token_file: None, explain: Explain::Token };
    let ops = ops_field.as_ref().map_or(Some(ops_default), ops);
    let token_file = map.require("tokenFile", "the path of a file with the accepted tokens, one a line");
    let token_file = token_file.and_then(|field| field.file());
    let within = Duration::from_secs(1)..=Duration::from_secs(25);
    let answer_within = map.or("answerWithin", defaults::ANSWER_WITHIN, |field| field.duration(within));
    let delay = Duration::ZERO..=Duration::from_mins(5);
    let drain_delay = map.or("drainDelay", defaults::DRAIN_DELAY, |field| field.duration(delay));
    let inbound = map.or("inbound", default_inbound(), inbound);
    let ledger = map.or("ledger", default_ledger(), ledger);
    let github = map.maybe("github", github);
    let registries = map.or("registries", Vec::new(), registries);
    let kubernetes = map.maybe("kubernetes", plugins::kubernetes);
    let generators =
        map.require("generators", "a map with at least one generator").and_then(|field| generators(&field));
    let builds = generators.iter().flat_map(BTreeMap::values).any(|generator| generator.build.is_some());
    if builds && github == Some(None) {
        map.missing("github", "a map with `auth` and more: a generator has a `build` part");
    }
    map.finish(&[]);

    if let (Some(listen), Some(ops)) = (listen, &ops)
        && listen == ops.listen
        && listen.port() != 0
    {
        match (&listen_field, &ops_field) {
            (Some(field), _) => field.error("this is the address of `ops.listen` too"),
            (None, Some(field)) => field.error("its `listen` is the plugin's address too, by default"),
            (None, None) => {}
        }
    }
    let of_generators =
        generators.iter().flat_map(BTreeMap::values).filter_map(|generator| generator.token_file.as_ref());
    if let (Some(field), Some(ops)) = (ops_field, &ops)
        && let Some(ops_token) = &ops.token_file
        && token_file.iter().chain(of_generators).any(|file| file == ops_token)
    {
        field.error("its `tokenFile` is Argo CD's too: what may ask must not be able to change anything");
    }
    let (registries, mut generators) = (registries?, generators?);
    let kubernetes = plugins::settle(root, generators.iter_mut(), kubernetes?);
    plugins::check_times(root, &generators, answer_within?);
    for (field, registry) in &registries {
        let mut images =
            generators.values().filter_map(|generator| generator.build.as_ref()).flat_map(|build| &build.images);
        if !images.any(|image| image.candidates.iter().any(|(name, _)| name.host() == registry.host)) {
            field.warn(format_args!("no generator has an image at `{}`", registry.host));
        }
    }
    Some(Config {
        listen: listen?,
        ops: ops?,
        token_file: token_file?,
        answer_within: answer_within?,
        drain_delay: drain_delay?,
        inbound: inbound?,
        ledger: ledger?,
        github: github?,
        registries: registries.into_iter().map(|(_, registry)| registry).collect(),
        kubernetes,
        generators,
        files: Vec::new(),
    })
}

fn address(field: &Field<'_>) -> Option<SocketAddr> {
    let what = "an address as `0.0.0.0:4355`";
    field.text(what)?.parse().ok().or_else(|| field.expected(what))
}

fn ops(field: &Field<'_>) -> Option<Ops> {
    let mut map = field.map("a map with `listen`, `tokenFile` and `explain`")?;
    let listen = map.or("listen", defaults::OPS_LISTEN.into(), address);
    let token_file = map.maybe("tokenFile", Field::file);
    let words = [("token", Explain::Token), ("open", Explain::Open), ("off", Explain::Off)];
    let explain = map.or("explain", Explain::Token, |field| field.choice(&words));
    map.finish(&[]);
    Some(Ops { listen: listen?, token_file: token_file?, explain: explain? })
}

/// How many looks may be asked for at most.
const MOST_LOOKS: u64 = 1_000_000;

fn default_inbound() -> Inbound {
    let number = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Inbound { per_second: number(defaults::INBOUND.0), burst: number(defaults::INBOUND.1) }
}

fn inbound(field: &Field<'_>) -> Option<Inbound> {
    let mut map = field.map("a map with `perSecond` and `burst`")?;
    let number = |field: &Field<'_>| {
        let number = field.integer(1..=MOST_LOOKS)?;
        u32::try_from(number).ok().and_then(NonZeroU32::new)
    };
    let per_second = map.or("perSecond", default_inbound().per_second, number);
    let burst = map.or("burst", default_inbound().burst, number);
    map.finish(&[]);
    Some(Inbound { per_second: per_second?, burst: burst? })
}

fn default_ledger() -> Ledger {
    Ledger {
        place: LedgerPlace::Sqlite(defaults::LEDGER.into()),
        trust_after: defaults::TRUST_AFTER,
        forget_after: defaults::FORGET_AFTER,
    }
}

fn ledger(field: &Field<'_>) -> Option<Ledger> {
    let mut map = field.map("a map with `url` or `urlFile`, and more")?;
    let url_field = map.get("url");
    let url = url_field.as_ref().map(ledger_url);
    let url_file = map.maybe("urlFile", |field| field.file().map(LedgerPlace::UrlFile));
    let any = Duration::ZERO..=Duration::MAX;
    let trust_after = map.or("trustAfter", defaults::TRUST_AFTER, |field| field.duration(any));
    let a_day = Duration::from_hours(24)..=Duration::MAX;
    let forget_after = map.or("forgetAfter", defaults::FORGET_AFTER, |field| field.duration(a_day));
    map.finish(&[]);
    let place = match (url, url_file?) {
        (None, None) => default_ledger().place,
        (Some(url), None) => url?,
        (None, Some(file)) => file,
        (Some(_), Some(_)) => {
            url_field?.error("`url` and `urlFile` exclude each other");
            return None;
        }
    };
    Some(Ledger { place, trust_after: trust_after?, forget_after: forget_after? })
}

/// A ledger's URL. What it holds may be a password, so that nothing of it is repeated.
fn ledger_url(field: &Field<'_>) -> Option<LedgerPlace> {
    let what = "`sqlite:///absolute/path/ledger.db`, `postgres://user@host/database`, or `memory:`";
    let text = field.text(what)?;
    if text == "memory:" {
        return Some(LedgerPlace::Memory);
    }
    Some(match database_url(field, what)? {
        Database::Sqlite(path) => LedgerPlace::Sqlite(path),
        Database::Postgres(url) => LedgerPlace::Postgres(url),
        Database::UrlFile(file) => LedgerPlace::UrlFile(file),
    })
}

/// A database's URL. What it holds may be a password, so that nothing of it is repeated.
pub(super) fn database_url(field: &Field<'_>, what: &str) -> Option<Database> {
    let text = field.text(what)?;
    if let Some(path) = text.strip_prefix("sqlite://") {
        let plain = path.starts_with('/') && !path.ends_with('/') && !path.contains(['?', '#', '%']);
        return if plain { Some(Database::Sqlite(path.into())) } else { refuse(field, what) };
    }
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    let Some(rest) = rest else { return refuse(field, what) };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') || rest.to_ascii_lowercase().contains("password=") {
        field.error("it holds a password: write the whole URL into a file and name that by `urlFile`");
        return None;
    }
    Some(Database::Postgres(text.to_owned()))
}

fn refuse<T>(field: &Field<'_>, what: &str) -> Option<T> {
    field.error(format_args!("expected {what}, got something else"));
    None
}

fn github(field: &Field<'_>) -> Option<GitHub> {
    let mut map = field.map("a map with `auth` and more")?;
    let api = map.or("api", defaults::GITHUB_API.to_owned(), api);
    let auth = map.require("auth", GITHUB_AUTH).and_then(|field| github_auth(&field));
    let ca_file = map.maybe("caFile", Field::file);
    let pace = match map.get("pace") {
        Some(field) => pace(&field, defaults::GITHUB_PACE),
        None => pace_of(defaults::GITHUB_PACE),
    };
    map.finish(&[]);
    Some(GitHub { api: api?, auth: auth?, ca_file: ca_file?, pace: pace? })
}

/// The base of an API, without a slash at its end.
fn api(field: &Field<'_>) -> Option<String> {
    let what = "the URL of GitHub's API as `https://api.github.com` or `https://ghe.example.com/api/v3`";
    let text = field.text(what)?;
    let refuse = |why: &str| {
        field.error(format_args!("expected {what}: {why}"));
        None
    };
    let Ok(uri) = text.parse::<Uri>() else { return refuse("this is no URL") };
    let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else { return refuse("it has no host") };
    if authority.as_str().contains('@') {
        return refuse("it must not hold a user name or a password");
    }
    if uri.query().is_some() || text.contains('#') {
        return refuse("it must end with its path");
    }
    if host.eq_ignore_ascii_case("github.com") {
        return refuse("github.com's API is at `https://api.github.com`");
    }
    if uri.path().trim_end_matches('/').ends_with("/graphql") {
        return refuse("the REST API is wanted, which leads to the other one");
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_loopback(host) => {}
        Some("http") => return refuse("`http` is allowed to this machine only"),
        _ => return refuse("it must start with `https://`"),
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn github_auth(field: &Field<'_>) -> Option<GitHubAuth> {
    let mut map = field.map(GITHUB_AUTH)?;
    let app = map.maybe("app", |field| {
        let what = "a map with `id` and `privateKeyFile`";
        let mut map = field.map(what)?;
        let id = map.require("id", "the App's number").and_then(|field| field.integer(1..=u64::MAX));
        let file = map.require("privateKeyFile", "the path of a file with the App's private key");
        let private_key_file = file.and_then(|field| field.file());
        map.finish(&[]);
        Some(GitHubAuth::App { id: id?, private_key_file: private_key_file? })
    });
    let token = map.maybe("tokenFile", |field| field.file().map(GitHubAuth::Token));
    let whole = map.whole().clone();
    map.finish(&[]);
    match (app?, token?) {
        (Some(auth), None) | (None, Some(auth)) => Some(auth),
        (Some(_), Some(_)) => {
            whole.error("`app` and `tokenFile` exclude each other");
            None
        }
        (None, None) => {
            whole.error(format_args!("expected {GITHUB_AUTH}"));
            None
        }
    }
}

fn pace(field: &Field<'_>, default: (u32, u32)) -> Option<PaceConfig> {
    let mut map = field.map("a map with `perSecond` and `concurrent`")?;
    let number = |field: &Field<'_>| field.integer(1..=10_000).and_then(|number| u32::try_from(number).ok());
    let per_second = map.or("perSecond", default.0, number);
    let concurrent = map.or("concurrent", default.1, number);
    map.finish(&[]);
    pace_of((per_second?, concurrent?))
}

fn pace_of((per_second, concurrent): (u32, u32)) -> Option<PaceConfig> {
    Some(PaceConfig { per_second: NonZeroU32::new(per_second)?, concurrent: NonZeroU32::new(concurrent)? })
}

fn registries<'a>(field: &Field<'a>) -> Option<Vec<(Field<'a>, Registry)>> {
    let items = field.list("a list of registries")?;
    let registries = all(items.into_iter().map(|field| {
        let registry = registry(&field)?;
        Some((field, registry))
    }))?;
    for (index, (field, registry)) in registries.iter().enumerate() {
        if registries[..index].iter().any(|(_, other)| other.host == registry.host) {
            field.error(format_args!("the registry `{}` is already given", registry.host));
        }
    }
    Some(registries)
}

fn registry(field: &Field<'_>) -> Option<Registry> {
    let mut map = field.map(MAP_OF_REGISTRY)?;
    let host = map.require("host", "the registry's host as `ghcr.io` or `localhost:5000`");
    let host = host.and_then(|field| registry_host(&field));
    let auth = map.or("auth", RegistryAuth::Anonymous, registry_auth);
    let realms = map.or("realms", Vec::new(), |field| {
        let realms = field.list("a list of hosts")?;
        all(realms.iter().map(realm))
    });
    let pace = map.maybe("pace", |field| pace(field, defaults::REGISTRY_PACE));
    let plain_field = map.get("plainHttp");
    let plain_http = plain_field.as_ref().map_or(Some(false), Field::boolean);
    let ca_file = map.maybe("caFile", Field::file);
    map.finish(&[]);
    if let (Some(field), Some(true), Some(host)) = (&plain_field, plain_http, &host)
        && !is_near(host)
    {
        field.warn(format_args!(
            "`{host}` is asked without TLS: whoever is on the way can read and change what is sent"
        ));
    }
    let (auth, realms) = (auth?, realms?);
    Some(Registry { host: host?, auth, realms, pace: pace?, plain_http: plain_http?, ca_file: ca_file? })
}

fn registry_host(field: &Field<'_>) -> Option<String> {
    let what = "the registry's host as `ghcr.io` or `localhost:5000`";
    let text = field.text(what)?;
    // As an image's name says it, so that the two are compared in one form.
    match format!("{text}/image").parse::<ImageName>() {
        Ok(image) if !text.contains('/') => Some(image.host().to_owned()),
        _ => field.expected(what),
    }
}

fn realm(field: &Field<'_>) -> Option<String> {
    let what = "a token server's host as `auth.example.com` or `auth.example.com:8443`";
    let text = field.text(what)?;
    if is_host(text) { Some(text.to_ascii_lowercase()) } else { field.expected(what) }
}

fn registry_auth(field: &Field<'_>) -> Option<RegistryAuth> {
    let mut map = field.map(REGISTRY_AUTH)?;
    let username = map.maybe("usernameFile", Field::file);
    let password = map.maybe("passwordFile", Field::file);
    let docker = map.maybe("dockerConfigFile", Field::file);
    let whole = map.whole().clone();
    map.finish(&[]);
    match (username?, password?, docker?) {
        (Some(username_file), Some(password_file), None) => Some(RegistryAuth::Basic { username_file, password_file }),
        (None, None, Some(file)) => Some(RegistryAuth::DockerConfig(file)),
        _ => {
            whole.error(format_args!("expected {REGISTRY_AUTH}; leave `auth` out to be anonymous"));
            None
        }
    }
}

/// Whether a host, without port, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a registry's host is this machine or a name inside the cluster.
pub(super) fn is_near(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let inside = [".svc", ".cluster.local"].iter().any(|suffix| name.ends_with(suffix));
    is_loopback(name) || inside || !name.contains(['.', '['])
}
