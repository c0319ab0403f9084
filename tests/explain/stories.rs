//! What the page and its JSON tell of lines, through the whole program.

use axum::http::Method;
use lastgreen_sim::{CheckRun, Fault, Pull, Target, What, World, sha};
use serde_json::{Value, json};

use crate::stage::{HOSTILE, REPO, Stage, bearer, of_everything};

/// A text of a page without its markup, and without more than one space at once.
pub(crate) fn words(page: &str) -> String {
    let mut text = String::new();
    for part in page.split('<') {
        let (tag, rest) = part.split_once('>').unwrap_or(("", part));
        let inline = ["bdi", "/bdi", "code", "/code"].contains(&tag) || tag.starts_with("code ");
        if !inline {
            text.push(' ');
        }
        text.push_str(rest);
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn check<'a>(commit: &'a Value, name: &str) -> &'a Value {
    commit["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

#[tokio::test]
async fn a_line_tells_how_it_came_to_this() {
    let stage = of_everything().await;
    let story = stage.look("/explain?number=12").await.json();
    assert_eq!(story["answer"]["standing"], "fresh");
    assert_eq!(story["served"]["commit"], sha("c1"));
    assert_eq!(story["served"]["images"][0]["key"], "digestBack");
    assert!(story["served"]["ageSeconds"].as_i64().unwrap() > 4 * 3600);
    assert!(story["nextLook"]["at"].is_string(), "{}", story["nextLook"]);
    let commits = story["story"]["commits"].as_array().unwrap();
    let shas: Vec<_> = commits.iter().map(|commit| commit["sha"].as_str().unwrap()).collect();
    assert_eq!(shas, [sha("c3"), sha("c2"), sha("c1")]);
    let verdicts: Vec<_> = commits.iter().map(|commit| commit["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["pending", "red", "green"]);
    assert_eq!(
        (&commits[0]["isHead"], &commits[2]["isFound"], &commits[2]["isServed"]),
        (&json!(true), &json!(true), &json!(true))
    );
    let every = "`ci.require` names none, so every check counts";
    for (name, said, effect, rule) in [
        ("build", "success", "passes", every),
        ("docs", "skipped", "passes", &*format!("{every}; `ci.skipped: pass`")),
        ("argocd/preview", "pending", "none", "ignored by `ci.ignore: argocd/*`"),
    ] {
        let check = check(&commits[1], name);
        assert_eq!((&check["said"], &check["effect"], &check["rule"]), (&json!(said), &json!(effect), &json!(rule)));
    }
    // The failed check's rerun stands in the place of the first run, and what fails comes first.
    let effects: Vec<_> =
        commits[1]["checks"].as_array().unwrap().iter().map(|check| check["effect"].clone()).collect();
    assert_eq!(effects, ["fails", "passes", "passes", "none", "none"]);
    let looks = commits[2]["images"].as_array().unwrap();
    assert!(
        looks.len() == 2 && looks.iter().all(|look| look["state"] == "found" && look["digest"].is_string()),
        "{looks:?}"
    );

    let page = stage.page("/explain?number=12").await;
    let text = words(&page.text);
    for told in [
        "feature/checkout-redesign #12",
        "fresh The last green build is served.",
        &format!("{} is pending (e2e (a rather long name", &sha("c3")[..7]),
        "pending head",
        "not finished: e2e (a rather long name, with a matrix: chrome, linux)",
        "fails CI / unit (chrome) failure · on push",
        "does not count argocd/preview pending",
        "ignored by ci.ignore: argocd/*",
        "green last green build served",
        "Next look",
        "is there digestFront",
        "GitHub GraphQL",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    // To look costs nothing.
    assert_eq!(stage.asked(), (0, 0));
}

#[tokio::test]
async fn what_is_held_and_what_is_missing_is_told() {
    let stage = of_everything().await;
    let held = stage.look("/explain?number=9").await.json();
    assert_eq!((&held["answer"]["standing"], &held["ledger"]), (&json!("held"), &json!("item")));
    assert_eq!(held["served"]["commit"], sha("h1"));
    let commits = held["story"]["commits"].as_array().unwrap();
    assert_eq!(commits.iter().map(|commit| commit["sha"].as_str().unwrap()).collect::<Vec<_>>(), [sha("h2")]);
    let text = words(&stage.page("/explain?number=9").await.text);
    assert!(text.contains("served for 4 h Answered before, and kept"), "{text}");
    let waiting = stage.look("/explain?number=14").await.json();
    assert_eq!(
        (&waiting["answer"]["standing"], &waiting["served"], &waiting["ledger"]),
        (&json!("not-yet"), &Value::Null, &json!("nothing"))
    );
    let image = &waiting["story"]["commits"][0]["images"][0];
    assert_eq!(
        (&image["state"], &image["text"], &image["digest"]),
        (&json!("absent"), &json!("is absent"), &Value::Null)
    );
    let text = words(&stage.page("/explain?number=14").await.text);
    assert!(text.contains("is absent digestFront 127.0.0.1:"), "{text}");
    assert_eq!(stage.asked(), (0, 0));
}

#[tokio::test]
async fn the_list_is_filtered_sorted_and_escaped() {
    let stage = of_everything().await;
    let numbers = async |query: &str| -> Vec<Value> {
        let list = stage.look(&format!("/explain{query}")).await.json();
        list["lines"].as_array().unwrap().iter().map(|line| line["number"].clone()).collect()
    };
    assert_eq!(numbers("").await, [json!(16), json!(15), json!(14), json!(13), json!(12), json!(9), Value::Null]);
    assert_eq!(numbers("?sort=standing&q=e").await[..2], [json!(9), json!(14)]);
    assert_eq!(numbers("?standing=held").await, [json!(9)]);
    assert_eq!(numbers("?q=%2312").await, [json!(12)]);
    assert_eq!(numbers("?q=checkout&generator=preview").await, [json!(12)]);
    assert_eq!(numbers("?generator=other").await, Vec::<Value>::new());
    let page = stage.page("/explain").await.text;
    assert!(words(&page).contains(HOSTILE), "{page}");
    for (raw, what) in [("<img/", "an image"), ("<script>", "a script"), ("\u{202e}", "a mark of direction")] {
        assert!(!page.contains(raw), "{what}: {page}");
    }
    assert!(page.contains("fix/\\u{202e}niam-otni-egrem"));
    // The hostile branch has its own page, behind its own link.
    let link =
        page.split("href=\"").map(|link| link.split('"').next().unwrap()).find(|link| link.contains("number=15"));
    let story = stage.page(&link.unwrap().replace("&amp;", "&")).await;
    assert_eq!(story.status, 200);
    assert!(words(&story.text).contains(&format!("{HOSTILE} #15")) && !story.text.contains("<img/"), "{}", story.text);
}

#[tokio::test]
async fn a_new_look_is_told_apart_from_an_answer() {
    let stage = of_everything().await;
    let digests = stage.images("d1");
    let look = async |body: &str| stage.send(Method::POST, "/explain/look", &[bearer().as_pair()], body).await;
    let seen = look("branch=chore/bump-dependencies&number=14").await.json();
    assert_eq!((&seen["story"]["source"], &seen["story"]["outcome"]), (&json!("look"), &json!("ready")));
    let image = &seen["story"]["commits"][0]["images"][1];
    assert!(digests.iter().any(|digest| image["digest"] == **digest), "{image}");
    // It has changed no answer; the next one is newer, and tells its own story.
    assert_eq!((&seen["answer"]["standing"], &seen["served"]), (&json!("not-yet"), &Value::Null));
    let text = words(&stage.page("/explain?number=14").await.text);
    assert!(text.contains("What a new look showed; no answer was made of it yet"), "{text}");
    assert_eq!(stage.ask("chore/bump-dependencies", Some(14)).await, "fresh");
    let story = stage.look("/explain?number=14").await.json();
    assert_eq!((&story["story"]["source"], &story["answer"]["standing"]), (&json!("answer"), &json!("fresh")));
    // Lines that nobody has asked for can be looked at too, if they are there.
    assert_eq!(stage.look("/explain?branch=nowhere").await.status, 404);
    let nowhere = look("branch=nowhere").await.json();
    assert_eq!((&nowhere["answer"], &nowhere["story"]["outcome"]), (&Value::Null, &json!("not-yet")));
    assert_eq!(nowhere["story"]["reason"], "no branch and no open pull request has this name");
    assert_eq!(stage.look("/explain?branch=nowhere").await.status, 200);
    for (body, status) in [("branch=a..b", 400), ("", 400), ("branch=a&number=x", 400), ("generator=x&branch=a", 404)] {
        assert_eq!(look(body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn what_is_refused_and_what_nobody_can_say_is_told() {
    let stage = Stage::new().await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    // A new ledger knows nothing: a 503, once the time for an answer is over.
    assert_eq!(stage.in_time(stage.ask("feature", None)).await, "unknown");
    let list = stage.look("/explain").await.json();
    assert_eq!((&list["counts"]["refused"], &list["lines"][0]["standing"]), (&json!(1), &json!("refused")));
    assert_eq!(list["lines"][0]["repositoryId"], Value::Null);
    let reason = list["lines"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("no answer yet: GitHub"), "{reason}");
    let text = words(&stage.page("/explain?branch=feature").await.text);
    assert!(text.contains("refused The last question was refused with a 503"), "{text}");
}

#[tokio::test]
async fn of_several_lines_of_one_name_one_is_chosen() {
    let mut world = World::with_repository(REPO);
    world.fork(REPO, "stranger/myrepo");
    let stage = Stage::with(world, "", "tokenFile: {folder}/ops").await;
    stage.pull(1, "patch-1", "a1");
    stage.built("a1");
    stage.sim.world(|world| {
        world.create_branch("stranger/myrepo", "patch-1", "m1");
        world.push("stranger/myrepo", "patch-1", "b1", &[]);
        world.open_pull(REPO, Pull::new(2, "patch-1").from_fork("stranger/myrepo"));
        world.check(REPO, "b1", CheckRun::completed("build", "success"));
    });
    stage.pass(60);
    assert_eq!(stage.ask("patch-1", Some(1)).await, "fresh");
    assert_eq!(stage.ask("patch-1", Some(2)).await, "not-yet");
    let several = stage.look("/explain?branch=patch-1").await.json();
    assert_eq!(several["lines"].as_array().unwrap().len(), 2, "{several}");
    let text = words(&stage.page("/explain?branch=patch-1").await.text);
    assert!(
        text.contains("Several lines have this name. Choose one.")
            && text.contains("#1 patch-1")
            && text.contains("#2 patch-1"),
        "{text}"
    );
    assert_eq!(
        stage.look("/explain?branch=patch-1&number=2").await.json()["answer"]["reason"],
        "the pull request comes from a fork, which this generator refuses (`forks: refuse`)"
    );
    assert_eq!(stage.look("/explain?branch=patch-1&number=none").await.status, 404);
    assert_eq!(stage.look("/explain?generator=x&branch=patch-1").await.status, 404);
}
