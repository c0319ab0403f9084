//! Another generator plugin as a part: asked as Argo CD asks it, its list is the part's.
//!
//! ```text
//! question → target (an address, or what its Service says) → token → let through → asked → reply → items
//! ```
//!
//! Whatever is not a list that was meant is "cannot say": a plugin that is down, slow, confused or gone must not look
//! like one that has nothing. Each plugin has a pace, a breaker and a connection of its own, so that one which fails
//! hurts nobody's answers but its own.

mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod reply;
mod target;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

pub use self::target::{PluginOptions, PluginPlace, SetupError};
use self::{
    exchange::Exchange,
    target::{Target, Token},
};
use super::part::{CannotSay, Values};
use crate::{
    clock::{Moment, SharedClock},
    domain::Inputs,
    kubernetes::{Endpoint, TOKEN_AGE},
    upstream::{Failing, Kind, Secret, UpstreamError, http},
};

/// One plugin of a generator.
#[derive(Debug)]
pub struct PluginPart {
    options: PluginOptions,
    /// What errors call it.
    service: Arc<str>,
    clock: SharedClock,
    /// Made anew when its Service says something else.
    target: Mutex<Option<Arc<Target>>>,
    failing: Failing<()>,
    /// Why it could not say when it was asked last; nothing if it never was.
    last: Mutex<Option<Result<(), CannotSay>>>,
}

/// How a plugin does, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// Nobody has asked it yet.
    Unasked,
    /// It said its list when it was asked last.
    Well,
    /// It could not say, when it was asked last.
    Failing(CannotSay),
}

impl PluginPart {
    /// A plugin that nothing was asked yet.
    pub fn new(options: PluginOptions, clock: SharedClock) -> Result<Self, SetupError> {
        let target = match &options.place {
            PluginPlace::Url(base) => Some(Arc::new(options.at(base, &clock)?)),
            PluginPlace::Service { .. } => None,
        };
        Ok(Self {
            service: options.service(),
            options,
            clock,
            target: Mutex::new(target),
            failing: Failing::default(),
            last: Mutex::default(),
        })
    }

    /// What it was told by the configuration.
    pub fn options(&self) -> &PluginOptions {
        &self.options
    }

    /// Which of a question's parameters may make a difference to its list, whatever its Service says at the moment.
    pub fn inputs(&self) -> Inputs {
        self.options.inputs.clone().unwrap_or(Inputs::All)
    }

    /// The list that the plugin answers a question with these parameters with.
    ///
    /// # Errors
    /// Why it cannot say; the text is the same for the same cause.
    pub async fn items(
        &self,
        parameters: &Map<String, Value>,
        application_set: &str,
        until: Moment,
    ) -> Result<Vec<Values>, CannotSay> {
        let asked = tokio::select! {
            biased;
            asked = self.ask(parameters, application_set, until) => asked,
            () = self.clock.sleep_until(until) => Err(self.error(Kind::Unavailable, http::NO_ANSWER)),
        };
        self.failing.note(&(), asked.as_ref().err(), self.clock.now());
        // That nobody waited for it says nothing of the plugin.
        let tells = asked.as_ref().err().is_none_or(|error| !error.only_ahead);
        let said = asked.map_err(|error| CannotSay { reason: error.to_string() });
        if tells {
            self.note(said.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        said
    }

    /// Since when it said its list whenever it was asked, as far as is known; `None` if it could not when it was asked
    /// last.
    pub fn well_since(&self) -> Option<Moment> {
        self.failing.well_since(&())
    }

    /// How it does.
    pub fn state(&self) -> PluginState {
        match &*self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            None => PluginState::Unasked,
            Some(Ok(())) => PluginState::Well,
            Some(Err(why)) => PluginState::Failing(why.clone()),
        }
    }

    /// Where it would be asked now, and by what right, without asking it.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub async fn whereabouts(&self, until: Moment) -> Result<String, CannotSay> {
        let found = async {
            let target = self.target(until).await?;
            let token = self.token(&target, self.clock.now() - TOKEN_AGE).await?;
            let with = if token.is_some() { "with a token" } else { "without a token" };
            Ok(format!("is asked at {} {with}", target.url))
        };
        found.await.map_err(|error: UpstreamError| CannotSay { reason: error.to_string() })
    }

    /// What of a Service is used, as this plugin's configuration has it.
    pub fn endpoint(&self, service: &crate::kubernetes::Found) -> Result<Endpoint, String> {
        service.endpoint(&self.options.overrides())
    }

    async fn ask(
        &self,
        parameters: &Map<String, Value>,
        application_set: &str,
        until: Moment,
    ) -> Result<Vec<Values>, UpstreamError> {
        let target = self.target(until).await?;
        let passed = target.inputs.select(parameters);
        let body = json!({ "applicationSetName": application_set, "input": { "parameters": passed } }).to_string();
        let now = self.clock.now();
        let token = self.token(&target, now - TOKEN_AGE).await?;
        let exchange = Exchange {
            target: &target,
            clock: &self.clock,
            service: &self.service,
            body: &body,
            token: token.as_ref(),
        };
        let outcome = match exchange.carry().await {
            Err(refused) if is_refusal(&refused) => match self.newer(&target, token.as_ref()).await {
                Some(token) => Exchange { token: Some(&token), ..exchange }.carry().await,
                None => Err(refused),
            },
            outcome => outcome,
        };
        reply::items(&outcome?, self.options.keys.as_ref()).map_err(|problem| self.error(Kind::Malformed, problem))
    }

    /// Who is asked now.
    async fn target(&self, until: Moment) -> Result<Arc<Target>, UpstreamError> {
        let known = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let PluginPlace::Service { kubernetes, namespace, name, .. } = &self.options.place else {
            return known.ok_or_else(|| self.error(Kind::Malformed, "it has no address"));
        };
        let found = kubernetes.find(namespace, name, until).await;
        let found = found.map_err(|problem| self.error(Kind::NotFound, problem))?;
        let endpoint = self.endpoint(&found).map_err(|problem| {
            let message = format!("the Service `{name}` in the namespace `{namespace}` cannot be used: {problem}");
            self.error(Kind::Malformed, message)
        })?;
        if let Some(known) = known.filter(|known| known.is(&endpoint)) {
            return Ok(known);
        }
        let made = self.options.behind(endpoint, namespace, &self.clock);
        let made = Arc::new(made.map_err(|problem| self.error(Kind::Malformed, problem.to_string()))?);
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The token, read at `not_before` or later.
    async fn token(&self, target: &Target, not_before: Moment) -> Result<Option<Secret>, UpstreamError> {
        match (&target.token, &self.options.place) {
            (Token::File(file), _) => {
                file.read().map(Some).map_err(|problem| self.error(Kind::Unavailable, problem.to_string()))
            }
            (Token::Secret { namespace, key }, PluginPlace::Service { kubernetes, .. }) => {
                let token = kubernetes.token(namespace, key, not_before).await;
                token.map(Some).map_err(|error| self.error(error.kind, format!("no token for it: {error}")))
            }
            (Token::None | Token::Secret { .. }, _) => Ok(None),
        }
    }

    /// Another token than the one that was refused: its Secret may have changed since.
    async fn newer(&self, target: &Target, refused: Option<&Secret>) -> Option<Secret> {
        if !matches!(target.token, Token::Secret { .. }) {
            return None;
        }
        let token = self.token(target, self.clock.now()).await.ok()??;
        (Some(&token) != refused).then_some(token)
    }

    fn note(&self, said: Result<(), CannotSay>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (generator, plugin) = (&*self.options.generator, &*self.options.name);
        match (&said, &*last) {
            (Err(why), Some(Err(before))) if why == before => {}
            (Err(why), _) => tracing::warn!(generator, plugin, "cannot say: {why}"),
            (Ok(()), Some(Err(_))) => tracing::info!(generator, plugin, "the plugin says its list again"),
            (Ok(()), _) => {}
        }
        *last = Some(said);
    }

    fn error(&self, kind: Kind, message: impl Into<Arc<str>>) -> UpstreamError {
        UpstreamError::new(Arc::clone(&self.service), kind, message)
    }
}

fn is_refusal(error: &UpstreamError) -> bool {
    matches!(error.kind, Kind::Unauthorized | Kind::Forbidden)
}
