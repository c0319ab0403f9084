//! Tokens in Secrets: read when they are needed, again after a while, and at once where a plugin refused one.
//!
//! A Secret is got by its name, so that the right to `get` just those is enough. It must say itself that it is a
//! plugin's: else whoever may write a Service could have any of them sent to a host of his own.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::api::{Api, LABEL};
use crate::{
    clock::{Moment, SharedClock},
    domain::SecretKey,
    upstream::{Cache, Kind, Secret, UpstreamError},
};

/// How many tokens are remembered.
const REMEMBERED: usize = 1000;

/// The largest token.
const MAX_BYTES: usize = 64 << 10;

/// How long is waited for Kubernetes where a token is known.
const PATIENCE: Duration = Duration::from_millis(500);

/// A key of a Secret with its namespace.
type Place = (String, SecretKey);

/// The tokens.
pub(super) struct Secrets {
    api: Arc<Api>,
    read: Cache<Place, Secret>,
    /// What was read last, for as long as Kubernetes cannot say.
    last: Mutex<HashMap<Place, Secret>>,
    clock: SharedClock,
}

impl Secrets {
    pub(super) fn new(api: Arc<Api>, clock: &SharedClock) -> Self {
        let read = Cache::new(REMEMBERED as u64, Arc::clone(clock));
        Self { api, read, last: Mutex::default(), clock: Arc::clone(clock) }
    }

    /// The token, read at `not_before` or later; while Kubernetes cannot say, as it was read last.
    pub(super) async fn get(&self, place: Place, not_before: Moment) -> Result<Secret, UpstreamError> {
        let (api, wanted) = (Arc::clone(&self.api), place.clone());
        let load = move || {
            let (api, (namespace, key)) = (Arc::clone(&api), wanted.clone());
            async move { token(&api, &namespace, &key).await }
        };
        let read = self.read.get(place.clone(), not_before, load);
        let last = self.last().get(&place).cloned();
        let read = match &last {
            None => read.await,
            // It is read to its end all the same, for the next one who needs it.
            Some(last) => tokio::select! {
                biased;
                read = read => read,
                () = self.clock.sleep_until(self.clock.now() + PATIENCE) => return Ok(last.clone()),
            },
        };
        match (read, last) {
            (Ok(token), _) => {
                let mut last = self.last();
                if last.len() >= REMEMBERED && !last.contains_key(&place) {
                    last.clear();
                }
                last.insert(place, token.clone());
                Ok(token)
            }
            // It says nothing of the Secret.
            (Err(error), Some(last)) if says_nothing(error.kind) => Ok(last),
            (Err(error), _) => {
                if !says_nothing(error.kind) {
                    self.last().remove(&place);
                }
                Err(error)
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, HashMap<Place, Secret>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failure is one of Kubernetes, and not of the Secret.
fn says_nothing(kind: Kind) -> bool {
    matches!(kind, Kind::Unavailable | Kind::Limited { .. } | Kind::Unauthorized)
}

async fn token(api: &Api, namespace: &str, key: &SecretKey) -> Result<Secret, UpstreamError> {
    let wrong = |kind, what: &str| {
        let message = format!("the Secret `{}` in the namespace `{namespace}` {what}", key.secret);
        UpstreamError::new("Kubernetes", kind, message)
    };
    let Some(secret) = api.secret(namespace, &key.secret).await? else {
        return Err(wrong(Kind::NotFound, "does not exist"));
    };
    let labels = secret.metadata.labels.as_ref();
    if labels.and_then(|labels| labels.get(LABEL.0)).is_none_or(|value| value != LABEL.1) {
        let label = format!("has no label `{}: \"{}\"`, and so is no plugin's", LABEL.0, LABEL.1);
        return Err(wrong(Kind::Forbidden, &label));
    }
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(&key.key)) else {
        return Err(wrong(Kind::NotFound, &format!("has no key `{}`", key.key)));
    };
    let text = std::str::from_utf8(&value.0).map(str::trim).unwrap_or_default();
    let is_token = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token {
        return Err(wrong(Kind::Malformed, &format!("has no token at its key `{}`", key.key)));
    }
    Ok(Secret::new(text))
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}
