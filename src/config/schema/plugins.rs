//! Other plugins, and where they are looked for.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{NAME_PATTERN, Time, parts::Selector};

/// Where plugin services are looked for, and where Kubernetes is.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kubernetes {
    /// The namespaces that are looked in for Services with the label `argocd.argoproj.io/plugin: "true"`.
    #[schemars(extend("minItems" = 1, "examples" = [["argocd"]]))]
    namespaces: Vec<String>,
    /// The address of Kubernetes; by default the cluster around this pod, with the pod's own account. `http` is allowed
    /// to this machine only.
    #[schemars(extend("pattern" = "^https?://[^?#@]+$"))]
    api: Option<String>,
    /// A file with the token for it. It is read again when it changes.
    token_file: Option<String>,
    /// Its CAs, as PEM.
    ca_file: Option<String>,
}

/// Another generator plugin: `url` or `service`.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    deny_unknown_fields,
    extend("oneOf" = [{ "required": ["url"] }, { "required": ["service"] }])
)]
pub(super) struct Plugin {
    /// Its address, without its path.
    #[schemars(extend("pattern" = "^https?://[^?#@]+$", "examples" = ["http://plugin.namespace.svc:4355"]))]
    url: Option<String>,
    /// The name of its Service. What is not said here is said by the Service's annotations.
    #[schemars(extend("pattern" = NAME_PATTERN))]
    service: Option<String>,
    /// The Service's namespace; by default the one of `kubernetes.namespaces`, if there is one only.
    #[schemars(extend("pattern" = NAME_PATTERN))]
    namespace: Option<String>,
    /// The Service's port, by number or by name; by default its only one.
    port: Option<Port>,
    /// Its path, by default `/api/v1/getparams.execute`.
    #[schemars(extend("pattern" = "^/[^?#]*$"))]
    path: Option<String>,
    /// The file with its token. It is read again when it changes.
    token_file: Option<String>,
    /// Further CAs to trust, as PEM.
    ca_file: Option<String>,
    /// How long is waited for it, from `100ms` to `10s`; by default `5s`.
    timeout: Option<Time>,
    /// Which input parameters are passed on; by default `*`, which is all.
    inputs: Option<Vec<String>>,
    /// The keys that every item must have; others are left out. By default items have what they have, each the same
    /// keys.
    #[schemars(extend("minItems" = 1))]
    keys: Option<Vec<String>>,
    /// Which items are wanted, by their keys and by those of the parts before; the others are left out.
    only_if: Option<Selector>,
}

/// A port of a Service.
struct Port;

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 1, "maximum": 65535 }] })
    }
}
