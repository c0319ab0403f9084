//! The list of faults: everything that the simulated world can do wrong, wherever it makes sense.
//!
//! Left out is what no reader can tell from the truth: a registry that answers 404 for what is there, or names another
//! image's digest in answer to a HEAD. The latter is a mutation: it shows that the oracle would object.

use std::{mem::discriminant, time::Duration};

use fastrand::Rng;
use lastgreen_sim::{Fault, Target, What};

/// One thing that is wrong for a while.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// Its name in the report.
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
    /// Whether GitHub can say nothing at all while it lasts.
    pub(crate) silences_github: bool,
    /// How long it may be felt after its end: pauses that were asked for, failures that are remembered.
    pub(crate) echo: Duration,
}

fn text(words: &str) -> String {
    words.to_owned()
}

/// The ways to fail, with their names and how many seconds they may be felt afterwards.
fn ways(rng: &mut Rng) -> (&'static str, What, u64) {
    let graphql =
        |kind: &str, path: &str| What::GraphqlErrorIn200 { kind: text(kind), message: text("oops"), path: text(path) };
    let partial = |path: &str| What::PartialData { kind: text("INTERNAL"), message: text("oops"), path: text(path) };
    let all = [
        ("status 500", What::Status(500, String::new()), 15),
        ("status 502", What::Status(502, text("<html>")), 15),
        ("status 503", What::Status(503, text("{\"message\":\"Unavailable\"}")), 15),
        ("status 401", What::Status(401, text("{\"message\":\"Bad credentials\"}")), 75),
        ("status 403", What::Status(403, text("{\"message\":\"Forbidden\"}")), 75),
        ("429, named pause", What::TooManyRequests { retry_after: Some(text("90")) }, 105),
        (
            "429, pause until a date",
            What::TooManyRequests { retry_after: Some(text("Mon, 05 Jan 2026 13:00:00 GMT")) },
            3615,
        ),
        ("429, nonsense pause", What::TooManyRequests { retry_after: Some(text("soon")) }, 315),
        ("429", What::TooManyRequests { retry_after: None }, 315),
        ("secondary limit", What::SecondaryLimit, 75),
        ("rate limited in a 200", What::RateLimited200, 75),
        ("GraphQL error in a 200", graphql("INTERNAL", ""), 15),
        ("repository not shown", graphql("NOT_FOUND", "repository"), 30),
        ("forbidden in a 200", graphql("FORBIDDEN", "repository"), 75),
        ("partial data", partial("repository"), 15),
        (
            "partial data, deep",
            partial(["repository.ref", "repository.pullRequest", "repository.pullRequests"][rng.usize(..3)]),
            15,
        ),
        ("truncated", What::TruncatedJson, 15),
        ("not JSON", What::NotJson, 15),
        ("connection reset", What::ConnectionReset, 15),
        ("hangs", What::Hang, 15),
        ("empty 200", What::EmptyBody200, 15),
        ("echo", What::Echo([401, 403, 500][rng.usize(..3)]), 75),
        ("redirect", What::RedirectTo(text("http://127.0.0.1:1/")), 75),
        ("huge body", What::HugeBody, 15),
        ("no digest header", What::NoDigestHeader, 15),
        ("malformed digest header", What::MalformedDigestHeader, 15),
        ("HEAD not allowed", What::HeadNotAllowed, 15),
        ("lying body", What::LyingBody, 15),
        ("foreign realm", What::CrossHostRealm(text("http://127.0.0.1:1/token")), 75),
    ];
    let mut kinds: Vec<_> =
        all.iter().filter(|(_, what, _)| is_told(what)).map(|(_, what, _)| discriminant(what)).collect();
    // Those of a kind stand together.
    kinds.dedup();
    assert_eq!(kinds.len(), KINDS, "a way to fail is not told");
    let nth = rng.usize(..all.len());
    all.into_iter().nth(nth).expect("one of them")
}

/// How many kinds of [`What`] are told, which is all but one.
const KINDS: usize = 19;

/// Whether a kind of failure is told; whoever adds one must say so here, and tell it above.
fn is_told(what: &What) -> bool {
    match what {
        What::WrongDigestHeader => false,
        What::Status(..)
        | What::TooManyRequests { .. }
        | What::SecondaryLimit
        | What::RateLimited200
        | What::GraphqlErrorIn200 { .. }
        | What::PartialData { .. }
        | What::TruncatedJson
        | What::NotJson
        | What::ConnectionReset
        | What::Hang
        | What::NoDigestHeader
        | What::MalformedDigestHeader
        | What::HugeBody
        | What::RedirectTo(..)
        | What::CrossHostRealm(..)
        | What::HeadNotAllowed
        | What::LyingBody
        | What::EmptyBody200
        | What::Echo(..) => true,
    }
}

/// How many of the ways only a registry knows; they are the last ones.
fn is_registrys(name: &str) -> bool {
    ["no digest header", "malformed digest header", "HEAD not allowed", "lying body", "foreign realm"].contains(&name)
}

fn is_githubs(name: &str) -> bool {
    name.contains("200") && name != "empty 200"
        || name.starts_with("partial")
        || name == "secondary limit"
        || name == "repository not shown"
}

/// One of the faults.
pub(crate) fn random(rng: &mut Rng) -> Trouble {
    let (name, what, echo) = ways(rng);
    let github = if is_registrys(name) {
        false
    } else if is_githubs(name) {
        true
    } else {
        rng.bool()
    };
    let on = if github {
        [
            Target::GitHub,
            Target::GitHub,
            Target::GraphQl,
            Target::GraphQlWith(text("feature-1")),
            Target::Rest(String::new()),
        ][rng.usize(..5)]
        .clone()
    } else {
        [
            Target::Registry,
            Target::Registry,
            Target::manifests(),
            Target::manifests_of("myorg/front"),
            Target::manifests_of("myorg/back"),
            Target::Blobs,
            Target::TagsList,
            Target::Token,
            Target::Realm,
        ][rng.usize(..9)]
        .clone()
    };
    // 64 MiB are enough once.
    let times = if what == What::HugeBody { Some(1) } else { [None, None, Some(1), Some(3), Some(10)][rng.usize(..5)] };
    let whole = matches!(on, Target::GitHub | Target::GraphQl) && times.is_none();
    let deep = name == "partial data, deep";
    Trouble {
        name,
        silences_github: whole && !deep && what != What::Hang,
        fault: Fault { on, what, times },
        echo: Duration::from_secs(echo),
    }
}
