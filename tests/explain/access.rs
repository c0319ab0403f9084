//! Who may see explanations, and who may have the upstreams asked.

use axum::http::Method;
use lastgreen_sim::World;

use crate::stage::{HTML, REPO, Stage, TOKEN, bearer};

async fn seen(stage: &Stage, headers: &[(&str, &str)]) -> u16 {
    stage.send(Method::GET, "/explain", headers, "").await.status.as_u16()
}

async fn with(ops: &str) -> Stage {
    Stage::with(World::with_repository(REPO), "", ops).await
}

/// Where a page's form posts to.
fn form(page: &str, path: &str) -> String {
    let (_, rest) = page.split_once(&format!("action=\"{path}?form=")).unwrap_or_else(|| panic!("{page}"));
    format!("{path}?form={}", rest.split('"').next().unwrap())
}

#[tokio::test]
async fn by_default_it_takes_a_token() {
    let stage = Stage::new().await;
    let reply = stage.send(Method::GET, "/explain", &[], "").await;
    assert_eq!(reply.status, 403);
    assert!(reply.json()["message"].as_str().unwrap().contains("has no bearer token"), "{}", reply.text);
    for authorization in ["Bearer wrong", "Basic eDp5", "Bearer strong-password"] {
        assert_eq!(seen(&stage, &[("authorization", authorization)]).await, 403, "{authorization}");
    }
    assert_eq!(seen(&stage, &[bearer().as_pair()]).await, 200);
    // People are asked for it, and told nothing else.
    stage.pull(1, "secret-branch", "a1");
    stage.ask("secret-branch", Some(1)).await;
    for path in ["/explain", "/explain?branch=secret-branch", "/explain?q=secret&page=x", "/explain?branch=no"] {
        let reply = stage.send(Method::GET, path, &[HTML], "").await;
        assert_eq!(reply.status, 403);
        assert!(reply.text.contains("<h1>Sign in</h1>") && reply.text.contains("type=\"password\""), "{}", reply.text);
    }
    let sign_in = stage.send(Method::GET, "/explain?branch=secret-branch", &[HTML], "").await;
    assert!(sign_in.text.contains("name=\"next\" value=\"branch=secret-branch\""), "{}", sign_in.text);
}

#[tokio::test]
async fn people_sign_in_and_out() {
    let stage = Stage::new().await;
    let wrong = stage.sign_in("guess", &[]).await;
    assert_eq!((wrong.status.as_u16(), wrong.header("set-cookie")), (403, ""));
    assert!(wrong.text.contains("role=\"alert\"") && !wrong.text.contains("guess"), "{}", wrong.text);
    let body = format!("token={TOKEN}&next=branch%3Da%2526b%26number%3D1");
    let right = stage.send(Method::POST, "/explain/sign-in", &[HTML], &body).await;
    assert_eq!((right.status.as_u16(), right.header("location")), (303, "/explain?number=1&branch=a%26b"));
    let set = right.header("set-cookie");
    assert!(set.ends_with("; Path=/explain; Max-Age=43200; HttpOnly; SameSite=Strict"), "{set}");
    assert!(!set.contains(TOKEN), "{set}");
    let cookie = right.cookie();
    let session = ("cookie", &*cookie);
    assert_eq!(seen(&stage, &[session]).await, 200);
    // It is good here and nowhere else.
    assert_eq!(stage.send(Method::GET, "/ledger", &[session], "").await.status, 403);
    assert_eq!(stage.send(Method::POST, "/ledger/forget", &[session], "{}").await.status, 403);
    // Where TLS ends in front of it, the cookie says so.
    let secure = stage.sign_in(TOKEN, &[("x-forwarded-proto", "https")]).await;
    assert!(secure.header("set-cookie").ends_with("; SameSite=Strict; Secure"));
    // Out again, by the page's own form only.
    let page = stage.send(Method::GET, "/explain", &[session, HTML], "").await.text;
    let out = form(&page, "/explain/sign-out");
    assert_eq!(stage.send(Method::POST, "/explain/sign-out", &[session, HTML], "").await.status, 403);
    let reply = stage.send(Method::POST, &out, &[session, HTML], "").await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/explain"));
    assert!(reply.header("set-cookie").starts_with("lastgreen-explain=; Path=/explain; Max-Age=0; "));
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_with_its_time() {
    let stage = Stage::new().await;
    stage.write("ops", &format!("another-one-first\n{TOKEN}\n"));
    let cookie = stage.sign_in(TOKEN, &[]).await.cookie();
    assert_eq!(seen(&stage, &[("cookie", &cookie)]).await, 200);
    stage.pass(12 * 3600 - 1);
    assert_eq!(seen(&stage, &[("cookie", &cookie)]).await, 200);
    stage.pass(1);
    assert_eq!(seen(&stage, &[("cookie", &cookie)]).await, 403);
    let cookie = stage.sign_in(TOKEN, &[]).await.cookie();
    assert_eq!(seen(&stage, &[("cookie", &cookie)]).await, 200);
    stage.write("ops", "another-one-first\n");
    stage.pass(2);
    assert_eq!(seen(&stage, &[("cookie", &cookie)]).await, 403);
    assert_eq!(stage.sign_in(TOKEN, &[]).await.status, 403);
    assert_eq!(stage.sign_in("another-one-first", &[]).await.status, 303);
}

#[tokio::test]
async fn whoever_comes_by_a_link_from_elsewhere_brings_his_session_the_second_time() {
    let stage = Stage::new().await;
    let from = [HTML, ("sec-fetch-site", "cross-site")];
    let page = stage.send(Method::GET, "/explain?branch=a", &from, "").await;
    assert!(
        page.text.contains("http-equiv=\"refresh\" content=\"0; url=/explain?branch=a&amp;again=1\""),
        "{}",
        page.text
    );
    let own = ("sec-fetch-site", "same-origin");
    for (path, site) in
        [("/explain?branch=a", own), ("/explain?branch=a&again=1", own), ("/explain?branch=a&again=1", from[1])]
    {
        let again = stage.send(Method::GET, path, &[HTML, site], "").await;
        assert!(!again.text.contains("http-equiv"), "{path} {}", again.text);
    }
}

#[tokio::test]
async fn a_new_look_takes_a_token_or_a_form_of_a_session() {
    let stage = Stage::new().await;
    stage.pull(1, "feature", "a1");
    stage.built("a1");
    stage.ask("feature", Some(1)).await;
    stage.generator.settled().await;
    stage.asked();
    let cookie = stage.sign_in(TOKEN, &[]).await.cookie();
    let session = ("cookie", &*cookie);
    let page = stage.send(Method::GET, "/explain?branch=feature&number=1", &[session, HTML], "").await.text;
    let (look, out) = (form(&page, "/explain/look"), form(&page, "/explain/sign-out"));
    let body = "generator=preview&branch=feature&number=1";
    let other = stage.sign_in(TOKEN, &[]).await.cookie();
    assert_eq!(cookie, other, "the same second");
    stage.pass(1);
    let other = stage.sign_in(TOKEN, &[]).await.cookie();
    for (path, headers) in [
        ("/explain/look", vec![]),
        ("/explain/look", vec![session]),
        ("/explain/look?form=", vec![session]),
        ("/explain/look?form=x", vec![session]),
        // Another session's form, and a form without its session.
        (&*look, vec![("cookie", &*other)]),
        (&*look, vec![]),
        ("/explain/look", vec![("authorization", "Bearer wrong")]),
        ("/explain/elsewhere", vec![session]),
        (&*format!("/explain/elsewhere?{}", look.split_once('?').unwrap().1), vec![session]),
        (&*format!("/ledger/forget?{}", look.split_once('?').unwrap().1), vec![session]),
    ] {
        assert_eq!(stage.send(Method::POST, path, &headers, body).await.status, 403, "{path}");
    }
    assert_eq!(stage.asked(), (0, 0));
    assert!(out.contains("?form="));
    let reply = stage.send(Method::POST, &look, &[session, HTML], body).await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("location")),
        (303, "/explain?generator=preview&number=1&branch=feature")
    );
    // A digest that was found is a fact; what CI says is not.
    assert_eq!(stage.asked(), (1, 0));
    let reply = stage.send(Method::POST, "/explain/look", &[bearer().as_pair()], body).await;
    assert_eq!((reply.status.as_u16(), reply.json()["story"]["source"].as_str()), (200, Some("look")));
}

#[tokio::test]
async fn open_is_open_to_look_and_no_more() {
    let stage = with("explain: open, tokenFile: {folder}/ops").await;
    assert_eq!(seen(&stage, &[]).await, 200);
    let page = stage.send(Method::GET, "/explain", &[HTML], "").await;
    assert!(page.status == 200 && page.text.contains("href=\"/explain/sign-in\""), "{}", page.text);
    assert_eq!(stage.send(Method::GET, "/explain/sign-in", &[HTML], "").await.status, 200);
    assert_eq!(stage.send(Method::POST, "/explain/look", &[], "branch=a").await.status, 403);
    assert_eq!(stage.send(Method::GET, "/ledger", &[], "").await.status, 403);
    // Without tokens there is nobody to sign in.
    let stage = with("explain: open").await;
    let page = stage.send(Method::GET, "/explain", &[HTML], "").await;
    assert!(page.status == 200 && !page.text.contains("sign-in"), "{}", page.text);
    assert_eq!(stage.sign_in(TOKEN, &[]).await.status, 403);
    assert_eq!(stage.send(Method::POST, "/explain/look", &[bearer().as_pair()], "branch=a").await.status, 403);
}

#[tokio::test]
async fn without_tokens_nobody_sees_it_and_off_is_off() {
    let stage = with("explain: token").await;
    assert_eq!(seen(&stage, &[bearer().as_pair()]).await, 403);
    let page = stage.send(Method::GET, "/explain", &[HTML], "").await;
    assert!(page.status == 403 && page.text.contains("set <code>ops.tokenFile</code>"), "{}", page.text);
    let stage = with("explain: off, tokenFile: {folder}/ops").await;
    for path in ["/explain", "/explain/sign-in", "/explain/style.css", "/explain/script.js"] {
        assert_eq!(stage.look(path).await.status, 404, "{path}");
        assert_eq!(stage.send(Method::POST, path, &[], "token=x").await.status, 403, "{path}");
        assert_eq!(stage.send(Method::POST, path, &[bearer().as_pair()], "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_read_let_nobody_in() {
    let stage = with("tokenFile: {folder}/absent").await;
    let reply = stage.look("/explain").await;
    assert_eq!(reply.status, 500);
    let page = stage.page("/explain").await;
    assert!(page.status == 500 && page.text.contains("cannot read its token file"), "{}", page.text);
    assert_eq!(stage.sign_in(TOKEN, &[]).await.status, 500);
    // What is open needs none.
    let stage = with("explain: open, tokenFile: {folder}/absent").await;
    assert_eq!(seen(&stage, &[]).await, 200);
}

#[tokio::test]
async fn every_response_is_kept_private_and_plain() {
    let stage = Stage::new().await;
    stage.pull(1, "feature", "a1");
    stage.ask("feature", Some(1)).await;
    let get = |path: &'static str| (Method::GET, path, "");
    for (method, path, body) in [
        get("/explain"),
        get("/explain?branch=feature"),
        get("/explain?branch=unknown"),
        get("/explain?page=x"),
        get("/explain/sign-in"),
        (Method::POST, "/explain/sign-in", "token=x"),
        (Method::POST, "/explain/look", "branch=feature"),
    ] {
        for authorization in ["Bearer wrong", bearer().as_pair().1] {
            for accept in [HTML.1, "application/json"] {
                let headers = [("authorization", authorization), ("accept", accept)];
                let reply = stage.send(method.clone(), path, &headers, body).await;
                let policy = reply.header("content-security-policy");
                // The guard's own refusals show nothing.
                if reply.status == 403 && method == Method::POST && path != "/explain/sign-in" {
                    continue;
                }
                assert!(
                    policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'; "),
                    "{path} {reply:?}"
                );
                assert!(policy.ends_with("; base-uri 'none'; frame-ancestors 'none'") && !policy.contains("unsafe"));
                assert_eq!(reply.header("x-content-type-options"), "nosniff");
                assert_eq!(reply.header("referrer-policy"), "no-referrer");
                assert_eq!(reply.header("cache-control"), "no-store");
            }
        }
    }
    for (path, kind) in [
        ("/explain/style.css", "text/css; charset=utf-8"),
        ("/explain/script.js", "text/javascript; charset=utf-8"),
        ("/explain/icon.svg", "image/svg+xml"),
    ] {
        let reply = stage.send(Method::GET, path, &[], "").await;
        assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, kind));
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(!reply.text.contains("http:") || path.ends_with("svg"), "{path} names another place");
    }
    let large = stage.send(Method::POST, "/explain/sign-in", &[HTML], &"x".repeat(70_000)).await;
    assert_eq!(large.status, 413);
}
