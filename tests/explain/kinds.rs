//! Generators of every kind: of a pattern of repositories, with parts beside the build, with parts alone, and asked for all
//! pull requests at once.

use axum::http::Method;
use lastgreen_sim::{Fault, ImageSpec, Pull, Target, What, World, sha};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    stage::{REPO, Stage, bearer},
    stories::words,
};

const SHOP: &str = "myorg/app-shop";
const API: &str = "myorg/app-api";

/// Three further generators.
const GENERATORS: &str = r#"
  apps:
    build:
      repository: myorg/app-*
      images: { digest: "{host}/{owner}/{repo}:sha-{sha}" }
  mixed:
    build:
      repository: myorg/myrepo
      images: { digestFront: "{host}/myorg/front:sha-{sha}" }
    sql:
      urlFile: {folder}/url
      query: SELECT tenant, status FROM organization ORDER BY tenant
      onlyIf: { matchLabels: { status: active } }
  tenants:
    sql:
      urlFile: {folder}/url
      query: SELECT tenant FROM organization WHERE :status IS NULL OR status = :status ORDER BY tenant
"#;

/// Changes the tenants.
async fn execute(stage: &Stage, statements: &str) {
    let file = stage.folder().join("tenants.db");
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// So many tenants.
async fn tenants(stage: &Stage, count: u32) {
    execute(stage, "DELETE FROM organization").await;
    for number in 0..count {
        let insert = format!("INSERT INTO organization (tenant, status) VALUES ('tenant-{number}', 'active')");
        execute(stage, &insert).await;
    }
}

/// The database is away, or there again.
fn away(stage: &Stage, away: bool) {
    let name = if away { "gone.db" } else { "tenants.db" };
    stage.write("url", &format!("sqlite://{}/{name}", stage.folder().display()));
    // Such a file is looked at once in a second.
    stage.pass(1);
}

/// A world with something of each kind, asked for as Argo CD does.
pub(crate) async fn of_every_kind() -> Stage {
    let mut world = World::with_repository(REPO);
    for repo in [SHOP, API] {
        world.create_repository(repo);
        world.push(repo, "main", "m1", &[]);
        world.push_image(repo, "old", &ImageSpec::default());
    }
    let stage = Stage::with(world, GENERATORS, "tokenFile: {folder}/ops").await;
    execute(&stage, include_str!("../../examples/tenants/schema.sql")).await;
    tenants(&stage, 10).await;
    away(&stage, false);
    for (repo, commit) in [(SHOP, "s1"), (API, "p1")] {
        stage.sim.world(|world| {
            world.create_branch(repo, "feature/one", "m1");
            world.push(repo, "feature/one", commit, &[]);
            world.open_pull(repo, Pull::new(1, "feature/one"));
            world.green(repo, commit);
            world.push_image(repo, &format!("sha-{}", sha(commit)), &ImageSpec::default());
        });
    }
    stage.pull(12, "feature/checkout-redesign", "c1");
    stage.built("c1");
    for repo in [SHOP, API] {
        assert_eq!(stage.ask_at("apps", json!({ "branch": "feature/one", "repository": repo })).await, "fresh");
    }
    let checkout = json!({ "branch": "feature/checkout-redesign", "number": 12 });
    assert_eq!(stage.ask_at("mixed", checkout).await, "fresh");
    assert_eq!(stage.ask_at("preview", json!({ "all": "true" })).await, "fresh");
    assert_eq!(stage.ask_at("tenants", json!({})).await, "fresh");
    assert_eq!(stage.ask_at("tenants", json!({ "status": "active", "unused": "x" })).await, "fresh");
    stage.pass(30);
    stage.asked();
    stage
}

/// The same, and something is wrong with everything.
pub(crate) async fn of_every_trouble() -> Stage {
    let stage = of_every_kind().await;
    stage.sim.world(|world| world.registry.pull_limit = Some((100, 7)));
    stage.pull(20, "feature/limits", "l1");
    stage.built("l1");
    assert_eq!(stage.ask("feature/limits", Some(20)).await, "fresh");
    tenants(&stage, 4).await;
    assert_eq!(stage.ask_at("tenants", json!({})).await, "held");
    let checkout = json!({ "branch": "feature/checkout-redesign", "number": 12 });
    assert_eq!(stage.ask_at("mixed", checkout).await, "held");
    stage.pass(400);
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    for (branch, number) in [("feature/limits", 20), ("feature/checkout-redesign", 12)] {
        assert_eq!(stage.ask(branch, Some(number)).await, "held");
    }
    stage.asked();
    stage
}

/// The lines of a list, by the generator's name.
fn of<'a>(list: &'a Value, generator: &str) -> Vec<&'a Value> {
    list["lines"].as_array().unwrap().iter().filter(|line| line["generator"] == generator).collect()
}

#[tokio::test]
async fn the_list_has_every_generators_lines() {
    let stage = of_every_kind().await;
    let list = stage.look("/explain").await.json();
    let generators = json!([
        { "name": "apps", "repository": "myorg/app-*" },
        { "name": "mixed", "repository": REPO },
        { "name": "preview", "repository": REPO },
        { "name": "tenants", "repository": null },
    ]);
    assert_eq!(list["generators"], generators);
    let apps = of(&list, "apps");
    let repositories: Vec<_> = apps.iter().map(|line| &line["repository"]).collect();
    assert!(apps.len() == 2 && repositories.contains(&&json!(SHOP)) && repositories.contains(&&json!(API)), "{apps:?}");
    assert!(apps.iter().all(|line| line["standing"] == "fresh" && line["about"].is_null()), "{apps:?}");
    let tenants = of(&list, "tenants");
    let abouts: Vec<_> = tenants.iter().map(|line| line["about"].as_str().unwrap()).collect();
    assert_eq!(abouts.len(), 2, "{abouts:?}");
    for about in ["inputs {}", r#"inputs {"status":"active"}"#] {
        let line = tenants[abouts.iter().position(|is| *is == about).unwrap()];
        assert_eq!((&line["items"], &line["standing"], &line["ageSeconds"]), (&json!(10), &json!("fresh"), &json!(30)));
        assert_eq!((&line["branch"], &line["commit"], &line["repository"]), (&Value::Null, &Value::Null, &Value::Null));
    }
    let all: Vec<_> = of(&list, "preview").into_iter().filter(|line| !line["about"].is_null()).collect();
    assert_eq!((&all[0]["about"], &all[0]["items"]), (&json!(format!("pull requests of {REPO}")), &json!(1)));
    assert_eq!(all[0]["reason"], "1 of 1 are ready, 0 of them held");
    // By repository, as a parameter and as a word.
    for (query, count) in [("?repository=myorg/APP-shop", 1), ("?q=app-api", 1), ("?q=status+active", 1)] {
        assert_eq!(stage.look(&format!("/explain{query}")).await.json()["matching"], count, "{query}");
    }
    let text = words(&stage.page("/explain").await.text);
    for told in
        ["lists of 4 generators", "no inputs tenants", "status=active", "10 items for 30 s", "apps · myorg/app-api"]
    {
        assert!(text.contains(told), "{told}\n{text}");
    }
    assert_eq!(stage.asked(), (0, 0));
    // Prometheus is told of generators and hosts alone.
    let metrics = stage.look("/metrics").await.text;
    assert!(metrics.contains("{generator=\"apps\"") && metrics.contains("{generator=\"tenants\""), "{metrics}");
    for name in ["myorg", "app-shop", "feature", "active"] {
        assert!(!metrics.contains(name), "{name}\n{metrics}");
    }
}

#[tokio::test]
async fn a_line_of_a_pattern_is_told_by_its_repository() {
    let stage = of_every_kind().await;
    let path = "/explain?generator=apps&branch=feature/one";
    assert_eq!(stage.look(path).await.json()["lines"].as_array().unwrap().len(), 2);
    let story = stage.look(&format!("{path}&repository={API}")).await.json();
    assert_eq!((&story["repository"], &story["served"]["commit"]), (&json!(API), &json!(sha("p1"))));
    assert_eq!(story["story"]["commits"][0]["sha"], sha("p1"));
    assert_eq!(stage.look(&format!("{path}&repository=myorg/app-x")).await.status, 404);
    assert_eq!(stage.look(&format!("{path}&repository=app-x")).await.status, 400);
    // Behind each link of the list is one of them.
    let list = stage.page("/explain?generator=apps").await.text;
    let links =
        list.split("href=\"").filter_map(|link| link.split('"').next()).filter(|link| link.contains("number=1"));
    let links: Vec<_> = links.map(|link| link.replace("&amp;", "&")).collect();
    assert_eq!(links.len(), 2, "{links:?}");
    for link in &links {
        assert!(words(&stage.page(link).await.text).contains("feature/one #1"), "{link}");
    }
    assert_eq!(stage.asked(), (0, 0));
    // A new look is of one repository, and stays with it.
    let look = async |body: String| stage.send(Method::POST, "/explain/look", &[bearer().as_pair()], &body).await;
    stage.sim.world(|world| world.red(API, "p1"));
    let seen = look(format!("generator=apps&branch=feature/one&number=1&repository={API}")).await.json();
    assert_eq!((&seen["story"]["source"], &seen["repository"]), (&json!("look"), &json!(API)));
    let other = stage.look(&format!("{path}&repository={SHOP}")).await.json();
    assert_eq!(other["story"]["source"], "answer");
    // So is one that nobody has asked for.
    let nowhere = look("generator=apps&branch=nowhere&repository=myorg/app-new".to_owned()).await.json();
    assert_eq!((&nowhere["repository"], &nowhere["answer"]), (&json!("myorg/app-new"), &Value::Null), "{nowhere}");
    for (body, message) in [
        ("generator=apps&branch=feature/one", "this generator answers for `myorg/app-*`: name the repository"),
        ("generator=apps&branch=a&repository=other/app-x", "this generator answers for `myorg/app-*` only"),
        ("generator=preview&branch=a&repository=other/app-x", "this generator answers for `myorg/myrepo` only"),
        ("generator=tenants&branch=a", "generator `tenants` has no `build` part, and so no branches"),
    ] {
        let reply = look(body.to_owned()).await;
        let said = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && said.contains(message), "{body}: {said}");
    }
}

#[tokio::test]
async fn a_list_is_told_part_by_part() {
    let stage = of_every_kind().await;
    let path = "/explain?generator=tenants&about=inputs+%7B%7D";
    let story = stage.look(path).await.json();
    assert_eq!((&story["inputs"], &story["ledger"]), (&json!("{}"), &json!("item")));
    let part = &story["parts"][0];
    assert_eq!(
        (&part["name"], &part["kind"], &part["items"], &part["recordedItems"], &part["cannotSay"]),
        (&json!("sql"), &json!("sql"), &json!(10), &json!(10), &Value::Null)
    );
    assert_eq!((&story["guard"]["maxDrop"], &story["guard"]["heldBack"]), (&json!(20), &Value::Null));
    // Too many vanish at once.
    tenants(&stage, 4).await;
    assert_eq!(stage.ask_at("tenants", json!({})).await, "held");
    let story = stage.look(path).await.json();
    assert_eq!(story["guard"]["heldBack"], json!({ "vanish": 6, "of": 10 }));
    assert_eq!(story["guard"]["release"], "lastgreen guard release tenants");
    assert_eq!((&story["parts"][0]["items"], &story["answer"]["items"]), (&json!(4), &json!(10)));
    let text = words(&stage.page(path).await.text);
    for told in [
        "no inputs",
        "held What was answered before is kept",
        "It holds back that 6 of 10 items vanish",
        "If that is meant, let them go: lastgreen guard release tenants",
        "4 items sql rows of a query, asked just now ; 10 items recorded",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    // Then nobody can say.
    away(&stage, true);
    stage.pass(120);
    assert_eq!(stage.ask_at("tenants", json!({})).await, "held");
    let part = &stage.look(path).await.json()["parts"][0];
    assert!(part["items"].is_null() && part["cannotSay"].is_string() && part["recordedItems"] == 10, "{part}");
    let text = words(&stage.page(path).await.text);
    assert!(text.contains("cannot say sql") && text.contains("What is recorded of it stands in for it."), "{text}");
    let row = &stage.look("/explain?standing=held").await.json()["lines"][0];
    assert_eq!((&row["standing"], &row["heldBack"]["vanish"]), (&json!("held"), &json!(6)));
    assert_eq!(stage.look("/explain?generator=tenants&about=inputs+x").await.status, 404);
    assert_eq!(stage.look("/explain?generator=tenants&branch=x").await.status, 400);
    assert_eq!(stage.asked(), (0, 0));
}

#[tokio::test]
async fn a_list_that_was_never_recorded_is_refused_and_told() {
    let stage = of_every_kind().await;
    away(&stage, true);
    let question = stage.ask_at("tenants", json!({ "status": "trial" }));
    assert_eq!(stage.in_time(question).await, "unknown");
    let list = stage.look("/explain?standing=refused").await.json();
    let line = &list["lines"][0];
    assert_eq!((&line["about"], &line["items"]), (&json!(r#"inputs {"status":"trial"}"#), &Value::Null));
    assert!(line["reason"].as_str().unwrap().starts_with("no answer yet: `sql` cannot say: "), "{line}");
    let story = stage.look("/explain?generator=tenants&about=inputs+%7B%22status%22%3A%22trial%22%7D").await.json();
    assert_eq!((&story["ledger"], &story["parts"][0]["recordedItems"]), (&json!("never"), &Value::Null));
}

#[tokio::test]
async fn a_branch_tells_what_stands_beside_its_build() {
    let stage = of_every_kind().await;
    let path = "/explain?generator=mixed&number=12";
    let story = stage.look(path).await.json();
    let part = &story["parts"][0];
    assert_eq!(
        (&part["items"], &part["recordedItems"], &part["onlyIf"]),
        (&json!(10), &json!(10), &json!("status=active"))
    );
    assert_eq!(story["guard"]["minItems"], 5);
    let text = words(&stage.page(path).await.text);
    assert!(text.contains("Beside the build 10 items sql") && text.contains("onlyIf: status=active"), "{text}");
    // Also where there is no build to stand beside.
    stage.pull(13, "fix/login-loop", "f1");
    assert_eq!(stage.ask_at("mixed", json!({ "branch": "fix/login-loop", "number": 13 })).await, "not-yet");
    let part = &stage.look("/explain?generator=mixed&number=13").await.json()["parts"][0];
    assert_eq!((&part["items"], &part["recordedItems"]), (&json!(10), &Value::Null));
    // A generator with a build alone has none.
    assert_eq!(stage.look("/explain?generator=preview&number=12").await.json()["parts"], json!([]));
}

#[tokio::test]
async fn each_service_is_told_with_its_pace_and_its_pauses() {
    let stage = of_every_kind().await;
    let host = stage.sim.registry_host().clone();
    let services = async || stage.look("/explain").await.json()["services"].clone();
    let of = |services: &Value, host: &str| {
        services.as_array().unwrap().iter().find(|service| service["host"] == host).unwrap().clone()
    };
    let quiet = of(&services().await, &host);
    assert_eq!(
        (&quiet["perSecond"], &quiet["concurrent"], &quiet["account"], &quiet["quota"]),
        (&json!(1000), &json!(100), &json!("anonymous"), &Value::Null)
    );
    let sent = quiet["lastMinute"].as_u64().unwrap();
    assert!(sent > 0, "{quiet}");
    assert_eq!(of(&services().await, "GitHub")["account"], "token");
    let text = words(&stage.page("/explain").await.text);
    let told = format!(
        "{},{:03} of 60,000 requests a minute left of our pace",
        (60_000 - sent) / 1000,
        (60_000 - sent) % 1000
    );
    for told in [&*told, "GitHub , token", "It says nothing of a limit of its own."] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    // A minute later nothing of that counts any more.
    stage.pass(61);
    assert_eq!(of(&services().await, &host)["lastMinute"], 0);
    // It says how many pulls are left, and asks for less.
    stage.sim.world(|world| world.registry.pull_limit = Some((100, 7)));
    stage.pull(20, "feature/limits", "l1");
    stage.built("l1");
    assert_eq!(stage.ask("feature/limits", Some(20)).await, "fresh");
    assert_eq!(of(&services().await, &host)["quota"]["windowSeconds"], 21_600);
    stage.sim.world(|world| {
        world.push(REPO, "feature/limits", "l2", &[]);
        world.green(REPO, "l2");
    });
    stage.pass(400);
    stage.sim.fail(Fault::once(Target::Registry, What::TooManyRequests { retry_after: Some("40".to_owned()) }));
    // Whether the new commit has its images nobody can say now.
    assert_eq!(stage.ask("feature/limits", Some(20)).await, "held");
    let text = words(&stage.page("/explain").await.text);
    for told in ["7 of 100 pulls left in 6 h", "It has asked us to slow down, and is asked again in 40 s"] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    // GitHub is down.
    stage.pass(400);
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    for number in [20, 12] {
        stage.ask("x", Some(number)).await;
    }
    let open = of(&services().await, "GitHub")["open"].clone();
    assert!(open["why"].as_str().unwrap().contains("502") && open["until"].is_string(), "{open}");
    let text = words(&stage.page("/explain").await.text);
    assert!(text.contains("; it is left alone, and tried again in"), "{text}");
}
