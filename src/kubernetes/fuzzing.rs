//! What a Service says of itself, for the fuzz targets.

use k8s_openapi::api::core::v1::Service;

use super::service::{Found, Overrides};

/// Where the plugin behind a Service, as JSON, is asked; else what is wrong with it. `None` where it is no Service.
pub(crate) fn service(json: &[u8]) -> Option<Result<String, String>> {
    let service: Service = serde_json::from_slice(json).ok()?;
    let found = Found::of("team", &service)?;
    let endpoint = found.endpoint(&Overrides::default());
    Some(endpoint.map(|endpoint| {
        let own = format!("{}.team.svc", found.name);
        assert!(!endpoint.inside || endpoint.host == own, "a Service led elsewhere: {endpoint:?}");
        assert!(endpoint.address.is_none() || endpoint.inside);
        format!("{}{}", endpoint.address(), endpoint.path)
    }))
}
