//! `POST …/api/v1/getparams.execute`, as Argo CD asks it and as `curl -d` does.

use std::{collections::BTreeMap, error::Error, sync::Arc};

use axum::{
    Router,
    body::{Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
};
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{
    body,
    pace::{InboundLimits, InboundPace},
    phase::{self, Phase},
    reply::{self, Problem, Ready, Reply},
    server::Service,
    tokens::{Access, Hash, Tokens},
    warm::Warm,
};
use crate::{
    clock::SharedClock,
    domain::{ApplicationSets, Question, QuestionError, excerpt, wants_all},
    generator::{Answered, Lines, PlainGenerator, Served},
    metrics::{Counts, Outcome},
    trace::{Caller, Trace, Traces},
    upstream::Calls,
};

/// The last part of every path.
const PATH: &str = "api/v1/getparams.execute";

/// What the plugin's listener serves.
#[derive(Debug)]
pub struct Plugin {
    /// The generators by name.
    generators: BTreeMap<Arc<str>, Behind>,
    /// The tokens that may ask all those that have none of their own.
    tokens: Tokens,
    /// How often each token may make us look.
    pace: InboundPace,
    traces: Traces,
    clock: SharedClock,
}

/// Who may ask a generator.
#[derive(Debug)]
pub struct Door {
    /// The tokens that may, where it has its own.
    pub tokens: Option<Tokens>,
    /// The ApplicationSets that may.
    pub application_sets: ApplicationSets,
}

/// A generator behind its door, and what it may answer again.
#[derive(Debug)]
struct Behind {
    served: Served,
    door: Door,
    warm: Warm,
    counts: Arc<Counts>,
}

/// The plugin as a server asks it; from [`Phase::Leaving`] on each answer is the last one of its connection.
pub fn plugin_service(plugin: Arc<Plugin>, phase: watch::Receiver<Phase>) -> impl Service {
    let shared = Arc::new((plugin, phase));
    move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (plugin, phase) = &*shared;
            let mut response = plugin.respond(request).await;
            phase::close(&mut response, *phase.borrow());
            response
        }
    }
}

/// The plugin as a route, without a server.
pub fn plugin_router(plugin: Arc<Plugin>) -> Router {
    let handle = async |State(plugin): State<Arc<Plugin>>, request: Request| plugin.respond(request).await;
    Router::new().fallback(handle).with_state(plugin)
}

impl Plugin {
    /// A plugin with these generators, each behind the door of its name.
    pub fn new(
        served: impl IntoIterator<Item = Served>,
        mut doors: BTreeMap<Arc<str>, Door>,
        (tokens, limits): (Tokens, InboundLimits),
        traces: Traces,
        clock: SharedClock,
    ) -> Self {
        let behind = |served: Served| {
            let name = Arc::clone(served.name());
            // One without a door lets nobody in.
            let shut = || Door { tokens: None, application_sets: ApplicationSets::new([]) };
            let door = doors.remove(&name).unwrap_or_else(shut);
            (name, Behind { served, door, warm: Warm::default(), counts: Arc::default() })
        };
        let pace = InboundPace::new(limits, Arc::clone(&clock));
        Self { generators: served.into_iter().map(behind).collect(), tokens, pace, traces, clock }
    }

    /// What each generator was asked.
    pub fn counts(&self) -> BTreeMap<Arc<str>, Arc<Counts>> {
        self.generators.iter().map(|(name, behind)| (Arc::clone(name), Arc::clone(&behind.counts))).collect()
    }

    /// The response to any request.
    pub(super) async fn respond<B>(&self, request: Request<B>) -> Reply
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        self.answer(request).await.map_or_else(
            |problem| {
                tracing::debug!(?problem, "refused");
                reply::problem(&problem)
            },
            Ready::response,
        )
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Ready, Problem>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let path = request.uri().path();
        let name = generator_in(path).ok_or_else(|| no_such_path(path))?;
        if request.method() != Method::POST {
            return Err(Problem::NotPost);
        }
        let generator = self.generator(name);
        let own_tokens = generator.as_ref().ok().and_then(|behind| behind.door.tokens.as_ref());
        let token = authorize(own_tokens.unwrap_or(&self.tokens), request.headers())?;
        let behind = generator?;
        let asked = self.traces.asked(Caller::read(request.headers()), behind.served.name());
        let outcome = self.answer_in(asked.trace(), behind, token, request.into_body()).await;
        match &outcome {
            Ok(ready) => asked.answered(StatusCode::OK, |span| ready.note(span)),
            Err(problem) => asked.answered(problem.status(), |span| problem.note(span)),
        }
        outcome
    }

    /// What is asked in that trace, from the body on.
    async fn answer_in<B>(&self, trace: &Trace, behind: &Behind, token: Hash, body: B) -> Result<Ready, Problem>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let body = body::read(body, &self.clock).await?;
        if let Served::Lines(lines) = &behind.served
            && let Some(ready) = behind.warm.get(&body, lines)
        {
            let (name, trace_id) = (lines.name(), || trace.id().map(tracing::field::display));
            tracing::debug!(generator = %name, standing = %ready.standing(), trace_id = trace_id(), "answered as before");
            trace.note(|span| span.flag("lastgreen.as_before", true));
            behind.counts.again(ready.standing());
            return Ok(ready);
        }
        // What is not used is not carried: every future of a warm answer would have the room for this one.
        Box::pin(Calls::of(trace.clone()).scope(self.counted(behind, token, &body))).await
    }

    /// What is not given again is looked at, and counted.
    async fn counted(&self, behind: &Behind, token: Hash, body: &[u8]) -> Result<Ready, Problem> {
        let began = self.clock.now();
        let Behind { served, door, warm, counts } = behind;
        let outcome = match (served, self.pace.look(token)) {
            (Served::Lines(lines), Ok(())) => self.look(lines, (door, warm, counts), body).await,
            (Served::Plain(generator), Ok(())) => ask_parts(generator, door, body).await,
            (served, Err(wait)) => served.known(door, body).await?.ok_or(Problem::TooOften(wait)),
        };
        let ended = match &outcome {
            Ok(ready) => Outcome::Answered(ready.standing()),
            Err(problem) if problem.is_ours() => Outcome::Refused,
            Err(_) => Outcome::Bad,
        };
        counts.looked(ended, self.clock.now().since(began));
        outcome
    }

    /// What is not known to be still so is looked at.
    async fn look(
        &self,
        lines: &Lines,
        (door, warm, counts): (&Door, &Warm, &Counts),
        body: &[u8],
    ) -> Result<Ready, Problem> {
        let request = body::Request::parse(body)?;
        door.admit(&request)?;
        let generator = lines.meant(&request.parameters).map_err(Problem::Refused)?;
        if wants_all(&request.parameters).map_err(bad)? {
            let answered = generator.answer_all(&request.application_set_name, &request.parameters);
            let Answered { answer, .. } = answered.await.map_err(Problem::Refused)?;
            let calls = Calls::current();
            let trace = calls.trace();
            tracing::debug!(
                generator = %generator.name(),
                application_set = request.application_set_name,
                standing = %answer.standing(),
                reason = answer.reason(),
                trace_id = trace.id().map(tracing::field::display),
                "answered for all"
            );
            trace.note(|span| span.text("lastgreen.application_set", &request.application_set_name));
            return Ok(Ready::new(&answer));
        }
        let question = Question::parse(&request.application_set_name, &request.parameters).map_err(bad)?;
        let answered = generator.answer(&question, &request.parameters).await.map_err(Problem::Refused)?;
        let Answered { answer, repeat, read_at } = answered;
        if let Some(read_at) = read_at {
            counts.age(self.clock.now().since(read_at));
        }
        let ready = Ready::new(&answer);
        if let Some(repeat) = repeat {
            warm.keep(body, &ready, repeat, self.clock.now());
        }
        Ok(ready)
    }

    fn generator(&self, name: Named<'_>) -> Result<&Behind, Problem> {
        match name {
            Named::Name(name) => self.generators.get(name).ok_or_else(|| {
                Problem::NoSuchPath(format!("there is no generator `{}` in lastgreen's configuration", excerpt(name)))
            }),
            Named::Sole => match (self.generators.first_key_value(), self.generators.len()) {
                (Some((_, sole)), 1) => Ok(sole),
                _ => Err(Problem::NoSuchPath(
                    "there are several generators: the plugin's baseUrl must end in the name of one".to_owned(),
                )),
            },
        }
    }
}

impl Served {
    /// What is known without a look, if anything is.
    async fn known(&self, door: &Door, body: &[u8]) -> Result<Option<Ready>, Problem> {
        let answer = match self {
            Self::Lines(lines) => {
                let request = body::Request::parse(body)?;
                door.admit(&request)?;
                let (set, parameters) = (&request.application_set_name, &request.parameters);
                let generator = lines.meant(parameters).map_err(Problem::Refused)?;
                if wants_all(parameters).map_err(bad)? {
                    generator.known_all(set, parameters).await
                } else {
                    generator.known(&Question::parse(set, parameters).map_err(bad)?).await
                }
            }
            Self::Plain(generator) => {
                let request = plain_request(body)?;
                door.admit(&request)?;
                generator.known(&request.parameters).await
            }
        };
        Ok(answer.map_err(Problem::Refused)?.as_ref().map(Ready::new))
    }
}

impl Door {
    /// Lets only those ApplicationSets in that may ask; what answers again was let in before.
    fn admit(&self, request: &body::Request) -> Result<(), Problem> {
        if self.application_sets.allow(&request.application_set_name) {
            return Ok(());
        }
        Err(Problem::Forbidden(
            "this ApplicationSet may not ask this generator: its name is none of those in `allow.applicationSets`",
        ))
    }
}

/// A question without a body has no inputs, which may be all that is needed.
fn plain_request(body: &[u8]) -> Result<body::Request, Problem> {
    if body.trim_ascii().is_empty() { Ok(body::Request::default()) } else { body::Request::parse(body) }
}

/// What parts say is asked each time.
async fn ask_parts(generator: &PlainGenerator, door: &Door, body: &[u8]) -> Result<Ready, Problem> {
    let request = plain_request(body)?;
    door.admit(&request)?;
    let set = &request.application_set_name;
    let answer = generator.answer(set, &request.parameters).await.map_err(Problem::Refused)?;
    let calls = Calls::current();
    let trace = calls.trace();
    tracing::debug!(
        generator = %generator.name(),
        application_set = set,
        standing = %answer.standing(),
        reason = answer.reason(),
        trace_id = trace.id().map(tracing::field::display),
        "answered"
    );
    trace.note(|span| span.text("lastgreen.application_set", set));
    Ok(Ready::new(&answer))
}

fn authorize(tokens: &Tokens, headers: &HeaderMap) -> Result<Hash, Problem> {
    match tokens.access(headers)? {
        Access::Granted(token) => Ok(token),
        Access::Missing => Err(Problem::Forbidden("the request has no bearer token in its Authorization header")),
        Access::Wrong => Err(Problem::Forbidden("the bearer token is not one of those in lastgreen's token file")),
        Access::Literal => Err(Problem::Forbidden(
            "the bearer token starts with `$`: Argo CD could not find the Secret's key that the ConfigMap's `token` \
             names, and sent its name instead; check the Secret, its key and its namespace",
        )),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by it")]
fn bad(error: QuestionError) -> Problem {
    Problem::BadQuestion(error.to_string())
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
