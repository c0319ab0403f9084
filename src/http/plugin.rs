//! `POST …/api/v1/getparams.execute`, as Argo CD asks it and as `curl -d` does.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, Response},
};

use super::{
    body,
    reply::{self, Problem},
    tokens::{Access, Tokens},
};
use crate::{
    clock::SharedClock,
    domain::{Question, excerpt},
    generator::Generator,
};

/// The last part of every path.
const PATH: &str = "api/v1/getparams.execute";

/// What the plugin's listener serves.
#[derive(Debug)]
pub struct Plugin {
    /// The generators by name.
    pub generators: BTreeMap<Arc<str>, Arc<Generator>>,
    /// The tokens that may ask.
    pub tokens: Tokens,
    /// The clock.
    pub clock: SharedClock,
}

/// The plugin's routes.
pub fn plugin_router(plugin: Arc<Plugin>) -> Router {
    Router::new().fallback(handle).with_state(plugin)
}

async fn handle(State(plugin): State<Arc<Plugin>>, request: Request) -> Response<Body> {
    match plugin.answer(request).await {
        Ok(response) => response,
        Err(problem) => {
            tracing::debug!(?problem, "refused");
            reply::problem(&problem)
        }
    }
}

impl Plugin {
    async fn answer(&self, request: Request) -> Result<Response<Body>, Problem> {
        let path = request.uri().path().to_owned();
        let Some(name) = generator_in(&path) else { return Err(no_such_path(&path)) };
        if request.method() != Method::POST {
            return Err(Problem::NotPost);
        }
        self.authorize(&request)?;
        let generator = self.generator(name)?;
        let request = body::read(request.into_body(), &self.clock).await?;
        let question = Question::parse(&request.application_set_name, &request.parameters)
            .map_err(|error| Problem::BadQuestion(error.to_string()))?;
        let answer = generator.answer(&question).await.map_err(Problem::Refused)?;
        tracing::debug!(
            generator = %generator.name(),
            application_set = question.application_set,
            branch = %question.branch,
            standing = %answer.standing(),
            reason = answer.reason(),
            "answered"
        );
        Ok(reply::answer(&answer))
    }

    fn authorize(&self, request: &Request) -> Result<(), Problem> {
        match self.tokens.access(request)? {
            Access::Granted => Ok(()),
            Access::Missing => Err(Problem::Forbidden("the request has no bearer token in its Authorization header")),
            Access::Wrong => Err(Problem::Forbidden("the bearer token is not one of those in lastgreen's token file")),
            Access::Literal => Err(Problem::Forbidden(
                "the bearer token starts with `$`: Argo CD could not find the Secret's key that the ConfigMap's `token` \
                 names, and sent its name instead; check the Secret, its key and its namespace",
            )),
        }
    }

    fn generator(&self, name: Named<'_>) -> Result<&Arc<Generator>, Problem> {
        match name {
            Named::Name(name) => self.generators.get(name).ok_or_else(|| {
                Problem::NoSuchPath(format!("there is no generator `{}` in lastgreen's configuration", excerpt(name)))
            }),
            Named::Sole => match self.generators.values().collect::<Vec<_>>().as_slice() {
                [sole] => Ok(sole),
                _ => Err(Problem::NoSuchPath(
                    "there are several generators: the plugin's baseUrl must end in the name of one".to_owned(),
                )),
            },
        }
    }
}

fn no_such_path(path: &str) -> Problem {
    Problem::NoSuchPath(format!(
        "nothing lives at `{}`; the plugin answers at `/<generator>/{PATH}`, so its baseUrl is lastgreen's address and `/<generator>`",
        excerpt(path)
    ))
}

/// Which generator a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named<'a> {
    /// The sole one.
    Sole,
    /// The one of that name.
    Name(&'a str),
}

/// The generator that a path names, if it is a path of the plugin.
fn generator_in(path: &str) -> Option<Named<'_>> {
    let before = path.strip_prefix('/')?.strip_suffix(PATH)?;
    match before.strip_suffix('/') {
        None if before.is_empty() => Some(Named::Sole),
        Some(name) if !name.is_empty() && !name.contains('/') => Some(Named::Name(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_generators() {
        assert_eq!(generator_in("/api/v1/getparams.execute"), Some(Named::Sole));
        assert_eq!(generator_in("/preview/api/v1/getparams.execute"), Some(Named::Name("preview")));
        for other in [
            "/",
            "/api/v1",
            "//api/v1/getparams.execute",
            "/a/b/api/v1/getparams.execute",
            "/xapi/v1/getparams.execute",
            "/preview/api/v1/getparams.execute/",
        ] {
            assert_eq!(generator_in(other), None, "{other}");
        }
    }
}
