//! 429: when it is asked again, and who waits.

use std::time::Duration;

use lastgreen::{
    clock::{Clock as _, Moment},
    domain::Digest,
    upstream::{Kind, Quota, urgency},
};
use lastgreen_sim::{Fault, RegistryAuth, Target, What, World};

use crate::{
    double::{Client, Double, MANIFEST, answer},
    stage::Stage,
};

fn limited(retry_after: Option<&str>) -> What {
    What::TooManyRequests { retry_after: retry_after.map(str::to_owned) }
}

/// For how many milliseconds a look-up is refused.
async fn pause(client: &Client) -> u128 {
    let before = client.clock.now();
    let Kind::Limited { until } = client.ask("one").await.unwrap_err().kind else { panic!("not limited") };
    until.since(before).as_millis()
}

#[tokio::test]
async fn a_named_pause_stops_the_whole_account_until_then() {
    let stage = Stage::new(World::default()).await;
    let digest = stage.push("one");
    stage.sim.fail(Fault::once(Target::manifests(), limited(Some("30"))));
    let before = stage.clock.now();
    let Kind::Limited { until } = stage.kind("one").await else { panic!("not limited") };
    assert_eq!(until.since(before).as_millis(), 30_000);
    stage.pass(29);
    assert_eq!(stage.kind("two").await, Kind::Limited { until });
    let error = stage.registries.repository_exists(&stage.image("team/other")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Limited { until });
    assert_eq!(stage.sim.counts().registry(), 1);
    stage.pass(1);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
}

#[tokio::test]
async fn a_date_is_read_by_the_registrys_own_clock() {
    let double = Double::start(|_, _| {
        let headers = [("retry-after", "Wed, 21 Oct 2026 07:29:30 GMT"), ("date", "Wed, 21 Oct 2026 07:28:00 GMT")];
        answer(429, &headers, "")
    })
    .await;
    let client = Client::anonymous(&double);
    assert_eq!(pause(&client).await, 90_000);
}

#[tokio::test]
async fn ghcr_tells_it_in_the_body_of_a_get() {
    let double = Double::start(|_, asked| match asked.what.split(' ').next().unwrap() {
        "HEAD" => answer(405, &[], ""),
        _ => answer(429, &[], "TOOMANYREQUESTS: retry-after: 42.5s, allowed: 44000/minute"),
    })
    .await;
    let client = Client::anonymous(&double);
    assert_eq!(pause(&client).await, 42_500);
}

#[tokio::test]
async fn without_a_name_the_pause_grows_and_ends() {
    let stage = Stage::new(World::default()).await;
    let digest = stage.push("one");
    stage.sim.fail(Fault { times: Some(20), ..Fault::always(Target::manifests(), limited(None)) });
    for nth in 1..=20 {
        let Kind::Limited { until } = stage.kind("one").await else { panic!("not limited") };
        let pause = until.since(stage.clock.now());
        let ceiling = Duration::from_secs(1 << nth.min(16)).min(Duration::from_mins(5));
        assert!(pause >= Duration::from_secs(1) && pause <= ceiling, "{nth}: {pause:?}");
        stage.pass(300);
    }
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
}

#[tokio::test]
async fn a_limited_token_server_is_a_limit_too() {
    let mut world = World::default();
    world.registry.auth = RegistryAuth::Bearer;
    let stage = Stage::new(world).await;
    let digest = stage.push("one");
    stage.sim.fail(Fault::once(Target::Token, limited(Some("60"))));
    assert!(matches!(stage.kind("one").await, Kind::Limited { .. }));
    assert!(matches!(stage.kind("two").await, Kind::Limited { .. }));
    assert_eq!(stage.sim.counts().registry(), 2);
    stage.pass(60);
    assert_eq!(stage.ask("one").await.unwrap(), Some(digest));
}

#[tokio::test]
async fn one_registrys_limit_is_not_anothers() {
    let limiting = Double::start(|_, _| answer(429, &[("retry-after", "60")], "")).await;
    let other = Double::start(|_, _| crate::double::found()).await;
    assert!(Client::anonymous(&limiting).ask("one").await.is_err());
    let client = Client::anonymous(&other);
    assert_eq!(client.ask("one").await.unwrap(), Some(Digest::of(MANIFEST.as_bytes())));
}

#[tokio::test]
async fn without_pulls_only_questions_are_sent() {
    let double = Double::start(|_, asked| {
        let left = if asked.what.ends_with("/empty") { "0;w=21600" } else { ";w=21600" };
        let digest = Digest::of(MANIFEST.as_bytes()).to_string();
        answer(200, &[("docker-content-digest", &digest), ("ratelimit-remaining", left)], "")
    })
    .await;
    let client = Client::anonymous(&double);
    urgency::ahead(client.ask("one")).await.unwrap();
    urgency::ahead(client.ask("empty")).await.unwrap();
    double.asked();
    let error = urgency::ahead(client.ask("two")).await.unwrap_err();
    assert!(error.only_ahead && matches!(error.kind, Kind::Limited { .. }), "{error}");
    assert_eq!(double.asked(), []);
    assert!(client.registries.well_since([&double.image()]).is_some());
    // A question is asked all the same.
    client.ask("two").await.unwrap();
    assert_eq!(double.asked().len(), 1);
    // It may have been filled up meanwhile.
    client.clock.advance(Duration::from_mins(15));
    urgency::ahead(client.ask("three")).await.unwrap();
}

#[tokio::test]
async fn what_may_be_sent_is_told() {
    let double = Double::start(|_, asked| match asked.what.rsplit('/').next().unwrap() {
        "limited" => answer(429, &[("retry-after", "30")], ""),
        "down" | "down-too" => answer(502, &[], ""),
        _ => {
            let digest = Digest::of(MANIFEST.as_bytes()).to_string();
            let limit = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "97;w=21600")];
            answer(200, &[&[("docker-content-digest", &*digest)], &limit[..]].concat(), "")
        }
    })
    .await;
    let client = Client::anonymous(&double);
    let now = || client.clock.now();
    let terms = || {
        let terms = client.registries.terms();
        assert_eq!(terms.len(), 1, "{terms:?}");
        terms.into_iter().next().unwrap()
    };
    assert_eq!((terms().account, terms().quota, terms().pace.last_minute), (None, None, 0));
    // Time goes on with each look at the clock.
    let told_at = |at: Moment, since: Moment, later: Duration| {
        assert!((since + later..=now() + later).contains(&at), "{at:?} is not {later:?} after {since:?}");
    };
    let before = now();
    client.ask("one").await.unwrap();
    let seen_at = terms().quota.unwrap().seen_at;
    told_at(seen_at, before, Duration::ZERO);
    let quota = Quota { limit: Some(100), remaining: 97, window: Some(Duration::from_hours(6)), seen_at };
    assert_eq!((terms().quota, terms().pace.last_minute, terms().pace.under_way), (Some(quota), 1, 0));
    assert_eq!((terms().account.as_deref(), terms().open), (Some("anonymous"), None));
    let before = now();
    client.ask("limited").await.unwrap_err();
    told_at(terms().pace.paused_until.unwrap(), before, Duration::from_secs(30));
    client.clock.advance(Duration::from_secs(30));
    assert_eq!(terms().pace.paused_until, None);
    let before = now();
    // What has failed is not asked again at once.
    for name in ["down", "down-too"] {
        client.ask(name).await.unwrap_err();
    }
    let open = terms().open.unwrap();
    assert_eq!(&*open.why, "it answered 502");
    told_at(open.until, before, Duration::from_secs(1));
    client.clock.advance(Duration::from_secs(1));
    client.ask("two").await.unwrap();
    assert_eq!(terms().open, None);
}
