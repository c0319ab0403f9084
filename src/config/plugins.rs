//! Other plugins as parts of a generator, and Kubernetes, where they may be found.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::Uri;

use super::{
    Generator, Kubernetes, Plugin, PluginPlace,
    file::{is_loopback, is_near},
    parts::selector,
    read::{Field, all},
};
use crate::domain::{Inputs, PluginPath, PluginTimeout, ServicePort, is_label};

const PLUGIN: &str = "a map with `url` or `service`, and more";
const NAMESPACES: &str = "a list of namespaces";

/// The plugins of a generator, in the file's order.
pub(super) fn plugins(field: &Field<'_>) -> Option<Vec<Plugin>> {
    let map = field.map("a map with at least one plugin")?;
    let plugins = all(map.named().map(|(name, field)| {
        if !is_label(name) {
            map.key_error(name, "a plugin's name has lower-case letters, digits and `-` inside, at most 63");
        }
        plugin(name, &field)
    }))?;
    if plugins.is_empty() {
        field.error("expected at least one plugin");
        return None;
    }
    Some(plugins)
}

fn plugin(name: &str, field: &Field<'_>) -> Option<Plugin> {
    let mut map = field.map(PLUGIN)?;
    let url_field = map.get("url");
    let url = url_field.as_ref().map(url);
    let service = map.maybe("service", |field| label(field, "the name of a Service"));
    let namespace_field = map.get("namespace");
    let namespace = namespace_field.as_ref().map_or(Some(None), |field| label(field, "a namespace").map(Some));
    let port_field = map.get("port");
    let port = port_field.as_ref().map_or(Some(None), |field| port(field).map(Some));
    let path = map.maybe("path", |field| field.parse::<PluginPath>("a path as `/api/v1/getparams.execute`"));
    let token_file = map.maybe("tokenFile", Field::file);
    let ca_file = map.maybe("caFile", Field::file);
    let timeout = map.maybe("timeout", |field| {
        let (shortest, longest) = PluginTimeout::BOUNDS;
        field.duration(shortest..=longest).and_then(PluginTimeout::new)
    });
    let inputs = map.maybe("inputs", inputs);
    let keys = map.maybe("keys", keys);
    let only_if = map.maybe("onlyIf", selector);
    let whole = map.whole().clone();
    map.finish(&[]);
    for field in [&namespace_field, &port_field].into_iter().flatten().filter(|_| url_field.is_some()) {
        field.error("this goes with `service`: a `url` says it itself");
    }
    let place = match (url, service?) {
        (Some(url), None) => PluginPlace::Url(url?),
        (None, Some(name)) => PluginPlace::Service { namespace: namespace?.unwrap_or_default(), name, port: port? },
        (Some(_), Some(_)) => {
            whole.error("`url` and `service` exclude each other");
            return None;
        }
        (None, None) => {
            whole.error(format_args!("expected {PLUGIN}"));
            return None;
        }
    };
    let token_file = token_file?;
    if let (PluginPlace::Url(url), Some(field), Some(_)) = (&place, &url_field, &token_file)
        && let Ok(url) = url.parse::<Uri>()
        && url.scheme_str() == Some("http")
        && !url.host().is_some_and(is_near)
    {
        field.warn("it is asked without TLS: whoever is on the way can read the token and change the answers");
    }
    Some(Plugin {
        name: name.to_owned(),
        place,
        token_file,
        ca_file: ca_file?,
        path: path?,
        timeout: timeout?,
        inputs: inputs?,
        keys: keys?,
        only_if: only_if?,
    })
}

/// A plugin's address, without a slash at its end.
fn url(field: &Field<'_>) -> Option<String> {
    let what = "the plugin's address as `http://plugin.namespace.svc:4355`";
    let text = field.text(what)?;
    let refuse = |why: &str| {
        field.error(format_args!("expected {what}: {why}"));
        None
    };
    if let Err(why) = address(text) {
        return refuse(why);
    }
    let text = text.trim_end_matches('/');
    if text.ends_with(PluginPath::USUAL) {
        return refuse("without its path, which `path` says where it is another than this");
    }
    Some(text.to_owned())
}

/// What is wrong with an address, if anything is.
fn address(text: &str) -> Result<Uri, &'static str> {
    let Ok(uri) = text.parse::<Uri>() else { return Err("this is no URL") };
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err("it has no host");
    };
    if authority.as_str().contains('@') {
        return Err("it must not hold a user name or a password");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("it must end with its path");
    }
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        _ => Err("it must start with `http://` or `https://`"),
    }
}

fn label(field: &Field<'_>, what: &str) -> Option<String> {
    let text = field.text(what)?;
    if is_label(text) { Some(text.to_owned()) } else { field.expected(what) }
}

fn port(field: &Field<'_>) -> Option<ServicePort> {
    let what = "a port of the Service, by its number or by its name";
    if field.is_text() {
        return field.text(what)?.parse().ok().or_else(|| field.expected(what));
    }
    let number = field.integer(1..=u16::MAX.into())?;
    u16::try_from(number).ok().map(ServicePort::Number)
}

fn inputs(field: &Field<'_>) -> Option<Inputs> {
    let names = field.texts("a list of names of input parameters", "the name of an input parameter, or `*` for all")?;
    let refuse = |error| field.error(error);
    Inputs::of(names.iter().map(String::as_str)).map_err(refuse).ok()
}

fn keys(field: &Field<'_>) -> Option<BTreeSet<String>> {
    let keys = field.texts("a list of keys of the plugin's items", "a key of the plugin's items")?;
    if keys.is_empty() {
        field.error("expected at least one key; without `keys` every item has those that it has");
        return None;
    }
    Some(keys.into_iter().collect())
}

/// Where Kubernetes is, and where is looked.
pub(super) fn kubernetes(field: &Field<'_>) -> Option<Kubernetes> {
    let mut map = field.map("a map with `namespaces` and more")?;
    let namespaces = map.require("namespaces", NAMESPACES).and_then(|field| namespaces(&field));
    let api = map.maybe("api", |field| {
        let what = "the address of Kubernetes as `https://kubernetes.example.com:6443`";
        let text = field.text(what)?;
        let refuse = |why: &str| {
            field.error(format_args!("expected {what}: {why}"));
            None
        };
        match address(text) {
            Err(why) => refuse(why),
            Ok(uri) if uri.scheme_str() == Some("http") && !uri.host().is_some_and(is_loopback) => {
                refuse("`http` is allowed to this machine only")
            }
            Ok(_) => Some(text.trim_end_matches('/').to_owned()),
        }
    });
    let token_file = map.maybe("tokenFile", Field::file);
    let ca_file = map.maybe("caFile", Field::file);
    map.finish(&[]);
    Some(Kubernetes { namespaces: namespaces?, api: api?, token_file: token_file?, ca_file: ca_file? })
}

fn namespaces(field: &Field<'_>) -> Option<Vec<String>> {
    let items = field.list(NAMESPACES)?;
    let names = all(items.iter().map(|item| label(item, "a namespace")))?;
    for (index, item) in items.iter().enumerate().filter(|(index, _)| names[..*index].contains(&names[*index])) {
        item.error(format_args!("the namespace `{}` is already given", names[index]));
    }
    if names.is_empty() {
        field.error("expected at least one namespace");
        return None;
    }
    Some(names)
}

/// Tells of plugins that are waited for longer than there is time.
pub(super) fn check_times(root: &Field<'_>, generators: &BTreeMap<String, Generator>, answer_within: Duration) {
    let plugins = generators.iter().flat_map(|(name, generator)| generator.plugins.iter().map(move |one| (name, one)));
    for (generator, plugin) in
        plugins.filter(|(_, plugin)| plugin.timeout.is_some_and(|time| time.get() >= answer_within))
    {
        if let Some(field) = root.below(&["generators", generator, "plugins", &plugin.name, "timeout"]) {
            field.warn("it is not shorter than `answerWithin`, in which all of an answer must be found");
        }
    }
}

/// Gives each plugin behind a Service its namespace, and looks whether it is one that is looked in. Without a section
/// `kubernetes` those are looked in that the plugins name.
pub(super) fn settle<'a>(
    root: &Field<'_>,
    generators: impl Iterator<Item = (&'a String, &'a mut Generator)>,
    section: Option<Kubernetes>,
) -> Option<Kubernetes> {
    let mut named = Vec::new();
    for (generator, plugin) in
        generators.flat_map(|(name, generator)| generator.plugins.iter_mut().map(move |one| (name, one)))
    {
        let PluginPlace::Service { namespace, .. } = &mut plugin.place else { continue };
        let Some(field) = root.below(&["generators", generator, "plugins", &plugin.name]) else { continue };
        match (&section, namespace.is_empty()) {
            (Some(section), true) => match section.namespaces.as_slice() {
                [sole] => namespace.clone_from(sole),
                _ => field.error("`namespace` must say in which of `kubernetes.namespaces` the Service is"),
            },
            (None, true) => field.error("`namespace` must say where the Service is"),
            (Some(section), false) if !section.namespaces.contains(namespace) => {
                let field = field.below(&["namespace"]).unwrap_or(field);
                field.error(format_args!("the namespace `{namespace}` is none of `kubernetes.namespaces`"));
            }
            (_, false) => {}
        }
        if !named.contains(namespace) {
            named.push(namespace.clone());
        }
    }
    if named.is_empty()
        && let Some(field) = root.below(&["kubernetes"])
    {
        field.warn("no generator has a plugin with a `service`");
    }
    let around = |namespaces| Kubernetes { namespaces, api: None, token_file: None, ca_file: None };
    section.or_else(|| (!named.is_empty()).then(|| around(named)))
}
