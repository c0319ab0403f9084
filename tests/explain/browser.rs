//! The page in a real browser: with and without scripts, by keyboard, at the width of a phone and of a desk, light and
//! dark. Pictures of it are left in `target/explain`, to be looked at.
//!
//! Where Chromium is not installed these tests say so and pass; with `LASTGREEN_REAL_SERVERS=required` they fail.

use std::{path::Path, sync::Arc};

use lastgreen::http::{DRAIN, routed, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    chromium::{self, Chromium},
    kinds::of_every_trouble,
    stage::{REPO, Stage, TOKEN, of_everything},
};
use lastgreen_sim::CheckRun;

/// A browser before the operator's listener.
struct Scene {
    stage: Stage,
    browser: Chromium,
    base: String,
}

impl Scene {
    /// `None` where there is no browser.
    async fn new() -> Option<Self> {
        Self::of(of_everything()).await
    }

    /// The same with that on the stage.
    async fn of(stage: impl Future<Output = Stage>) -> Option<Self> {
        let Some(program) = chromium::installed() else {
            let required = std::env::var("LASTGREEN_REAL_SERVERS").is_ok_and(|value| value == "required");
            assert!(!required, "chromium is not installed");
            println!("NOT RUN: chromium is not installed");
            return None;
        };
        let stage = stage.await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (router, clock) = (stage.ops.clone(), Arc::new(stage.clock.clone()));
        tokio::spawn(serve(listener, routed(router), clock, std::future::pending(), DRAIN));
        let browser = tokio::task::spawn_blocking(move || Chromium::start(&program)).await.unwrap();
        Some(Self { stage, browser, base })
    }

    /// Does something in the browser, while the server goes on.
    async fn with<T: Send + 'static>(self, work: impl FnOnce(&mut Chromium, &str) -> T + Send + 'static) -> (Self, T) {
        let Self { stage, mut browser, base } = self;
        let (browser, base, done) = tokio::task::spawn_blocking(move || {
            let done = work(&mut browser, &base);
            (browser, base, done)
        })
        .await
        .unwrap();
        (Self { stage, browser, base }, done)
    }

    /// Signs in as people do, on the way to a page.
    async fn signed_in(self, path: &'static str) -> Self {
        let sign_in = move |browser: &mut Chromium, base: &str| {
            browser.go(&format!("{base}{path}"));
            assert_eq!(browser.eval("document.querySelector('h1').textContent"), "Sign in");
            assert_eq!(browser.eval("document.activeElement.id"), "token");
            browser.type_in(TOKEN);
            browser.loading(|browser| browser.press("Enter", 13, Some("\r")));
            assert_eq!(browser.eval("location.pathname + location.search"), path);
            assert_eq!(browser.eval("document.cookie"), "", "a script can read the session");
            // That nobody was signed in is all that there was to complain about.
            let complaints = browser.complaints();
            assert!(complaints.iter().all(|complaint| complaint.contains("403 (Forbidden)")), "{complaints:?}");
        };
        self.with(sign_in).await.0
    }
}

fn keep(name: &str, picture: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/explain");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_looks_well_at_every_width_and_in_both_colours() {
    let Some(scene) = Scene::new().await else { return };
    let (scene, ()) = scene
        .with(|browser, base| {
            browser.look_like(1280, "light");
            browser.go(&format!("{base}/explain"));
            keep("sign-in-1280-light", &browser.picture());
        })
        .await;
    let scene = scene.signed_in("/explain").await;
    let (_scene, ()) = scene
        .with(|browser, base| {
            for (name, path) in [("list", "/explain"), ("line", "/explain?number=12"), ("held", "/explain?number=9")] {
                looks_well(browser, &format!("{base}{path}"), name);
            }
            // For the documentation.
            browser.look_like(1000, "light");
            browser.go(&format!("{base}/explain?number=12"));
            keep("documentation", &browser.picture_of(1000, 1010));
            assert_eq!(browser.complaints(), [""; 0]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_looks_well() {
    let Some(scene) = Scene::of(of_every_trouble()).await else { return };
    let scene = scene.signed_in("/explain").await;
    let (scene, ()) = scene
        .with(|browser, base| {
            for (name, path) in [
                ("kinds", "/explain"),
                ("kinds-pattern", "/explain?generator=apps&number=1&repository=myorg/app-api"),
                ("kinds-plain", "/explain?generator=tenants&about=inputs+%7B%7D"),
                ("kinds-pulls", "/explain?generator=preview&about=pull+requests+of+myorg/myrepo"),
                ("kinds-mixed", "/explain?generator=mixed&number=12"),
            ] {
                looks_well(browser, &format!("{base}{path}"), name);
            }
            assert_eq!(browser.complaints(), [""; 0]);
        })
        .await;
    assert_eq!(scene.stage.asked(), (0, 0));
}

/// Looks at a page at every width and in both colours: nothing is wider than the window, and every text is readable.
#[track_caller]
fn looks_well(browser: &mut Chromium, url: &str, name: &str) {
    for width in [390, 1280] {
        for scheme in ["light", "dark"] {
            browser.look_like(width, scheme);
            browser.go(url);
            keep(&format!("{name}-{width}-{scheme}"), &browser.picture());
            assert_eq!(browser.eval("document.documentElement.scrollWidth"), width, "{url}");
            assert_eq!(browser.eval(CONTRAST), json!([]), "{url} at {width}, {scheme}");
        }
    }
}

/// Texts whose contrast with what is behind them is below 4.5.
const CONTRAST: &str = r"(() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => [r, g, b].map((c) => c / 255).map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return parse('rgb(255, 255, 255)');
  };
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('svg, script, noscript')) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) low.push(element.textContent.trim().slice(0, 40) + ' ' + contrast.toFixed(2));
  }
  return low;
})()";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_hostile_runs_and_nothing_is_fetched_from_elsewhere() {
    let Some(scene) = Scene::new().await else { return };
    let scene = scene.signed_in("/explain").await;
    let (_scene, ()) = scene
        .with(|browser, base| {
            for path in [
                "/explain",
                "/explain?number=15",
                "/explain?number=16",
                "/explain?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
            ] {
                browser.go(&format!("{base}{path}"));
                // An alert would never end, an image would have been asked for.
                let fetched = browser.eval(
                    "performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname).sort()",
                );
                assert_eq!(
                    fetched,
                    json!(["/explain/icon.svg", "/explain/icon.svg", "/explain/script.js", "/explain/style.css"])
                        .as_array()
                        .map_or(Value::Null, |all| {
                            let mut all = all.clone();
                            all.dedup();
                            json!(all)
                        }),
                    "{path}"
                );
                assert_eq!(browser.eval("document.querySelectorAll('script, img').length"), 2);
            }
            assert_eq!(browser.complaints(), [""; 0]);
            // The policy holds: what is inline does not run, and the browser says so.
            let ran = browser.eval(
                "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1';
                  document.body.append(script); document.body.setAttribute('style', 'color: red');
                  return [window.ran === undefined, document.body.getAttribute('style') !== null &&
                  getComputedStyle(document.body).color !== 'rgb(255, 0, 0)']; })()",
            );
            assert_eq!(ran, json!([true, true]));
            assert!(browser.complaints().iter().any(|complaint| complaint.contains("Content Security Policy")));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_from_another_site_leads_here() {
    let Some(scene) = Scene::new().await else { return };
    let scene = scene.signed_in("/explain?number=12").await;
    let (scene, ()) = scene
        .with(|browser, base| {
            // The same server under another name is another site.
            let elsewhere = base.replace("127.0.0.1", "localhost");
            browser.go(&format!("{elsewhere}/explain/sign-in"));
            browser.loading(|browser| browser.eval(&format!("location.href = '{base}/explain?number=12'; 0")));
            browser.wait("Page.loadEventFired");
            assert_eq!(browser.eval("document.querySelector('h1').textContent"), "feature/checkout-redesign #12");
            browser.complaints();
        })
        .await;
    assert_eq!(scene.stage.asked(), (0, 0));
}

/// Has the page ask for itself anew, and waits until it has.
const REFRESHED: &str = "new Promise((done) => {
  const observer = new MutationObserver(() => { observer.disconnect(); requestAnimationFrame(() => done(true)); });
  observer.observe(document.getElementById('main'), { childList: true, subtree: true });
  document.dispatchEvent(new Event('visibilitychange'));
})";

#[tokio::test(flavor = "multi_thread")]
async fn it_refreshes_itself_without_losing_place_focus_or_filter() {
    let Some(scene) = Scene::new().await else { return };
    let scene = scene.signed_in("/explain?number=12").await;
    let (scene, ()) = scene
        .with(|browser, _| {
            browser.look_like(390, "light");
            browser.eval("document.querySelectorAll('details')[1].open = false");
            browser.eval("document.querySelectorAll('details')[0].querySelector('summary').focus()");
            browser.eval("scrollTo(0, 500)");
            assert_eq!(browser.eval("scrollY"), 500);
            assert_eq!(browser.eval("document.querySelector('.timeline .pill').textContent"), "pending");
        })
        .await;
    // CI goes on, and Argo CD asks again.
    scene.stage.sim.world(|world| world.check(REPO, "c3", CheckRun::completed("lint", "failure").workflow("CI")));
    scene.stage.pass(60);
    assert_eq!(scene.stage.ask("feature/checkout-redesign", Some(12)).await, "fresh");
    let (scene, ()) = scene
        .with(|browser, _| {
            browser.eval(REFRESHED);
            assert_eq!(browser.eval("document.querySelector('.timeline .pill').textContent"), "red");
            assert_eq!(browser.eval("scrollY"), 500);
            assert_eq!(browser.eval("document.querySelectorAll('details')[1].open"), false);
            assert_eq!(
                browser.eval(
                    "document.activeElement === document.querySelectorAll('details')[0].querySelector('summary')"
                ),
                true
            );
        })
        .await;
    let (scene, ()) = scene
        .with(|browser, base| {
            browser.go(&format!("{base}/explain"));
            // The filter acts while it is typed, and stays where it is.
            browser.eval("document.getElementById('q').focus()");
            browser.type_in("checkout");
            let rows = "new Promise((done) => { const look = () => {
                const rows = document.querySelectorAll('.lines tbody tr').length;
                rows === 1 ? done(rows) : setTimeout(look, 20); }; look(); })";
            assert_eq!(browser.eval(rows), 1);
            assert_eq!(browser.eval("location.search + ' ' + document.activeElement.id"), "?q=checkout q");
        })
        .await;
    scene.stage.pass(5);
    let (_scene, ()) = scene
        .with(|browser, _| {
            browser.eval(REFRESHED);
            assert_eq!(browser.eval("document.querySelectorAll('.lines tbody tr').length"), 1);
            assert_eq!(browser.eval("document.getElementById('q').value"), "checkout");
            // It can be paused, by keyboard too.
            assert_eq!(browser.eval("document.querySelector('#tools button').textContent"), "Pause refreshing");
            browser.eval("document.querySelector('#tools button').focus()");
            browser.press("Enter", 13, Some("\r"));
            assert_eq!(browser.eval("document.querySelector('#tools button').textContent"), "Refresh again");
            assert_eq!(browser.complaints(), [""; 0]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_without_scripts() {
    let Some(scene) = Scene::new().await else { return };
    let (scene, ()) = scene
        .with(|browser, _| drop(browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }))))
        .await;
    let scene = scene.signed_in("/explain").await;
    let (_scene, ()) = scene
        .with(|browser, _| {
            let click = |browser: &mut Chromium, what: &str| {
                browser.loading(|browser| browser.eval(&format!("document.querySelector('{what}').click()")));
            };
            let at = "location.pathname + location.search";
            browser.eval("document.getElementById('q').value = '#12'");
            click(browser, "#filter button");
            assert_eq!(browser.eval(at), "/explain?q=%2312");
            assert_eq!(browser.eval("document.querySelectorAll('.lines tbody tr').length"), 1);
            click(browser, "#sort-branch");
            assert_eq!(browser.eval(at), "/explain?q=%2312&sort=branch");
            assert_eq!(browser.eval("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"), "ascending");
            click(browser, ".lines tbody a");
            assert_eq!(browser.eval("document.querySelector('h1').textContent"), "feature/checkout-redesign #12");
            click(browser, ".ask button");
            assert_eq!(
                browser.eval(at),
                "/explain?generator=preview&number=12&branch=feature%2Fcheckout-redesign&repositoryId=1000001"
            );
            assert!(
                browser
                    .eval("document.querySelector('#story').textContent")
                    .as_str()
                    .unwrap()
                    .contains("What a new look showed")
            );
            let refresh = browser.eval("document.querySelector('noscript meta, meta[http-equiv=refresh]')?.content");
            assert_eq!(refresh, "60");
            click(browser, ".tools form button");
            assert_eq!(browser.eval("document.querySelector('h1').textContent"), "Sign in");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_reader_finds_its_way() {
    let Some(scene) = Scene::new().await else { return };
    let scene = scene.signed_in("/explain").await;
    let (_scene, ()) = scene
        .with(|browser, base| {
            for width in [390, 1280] {
                browser.look_like(width, "light");
                browser.go(&format!("{base}/explain"));
                let nodes = tree(browser);
                let has = |role: &str, name: &str| nodes.iter().any(|node| node.0 == role && node.1 == name);
                let all = nodes.iter().map(|(role, name)| format!("{role}: {name}")).collect::<Vec<_>>().join("\n");
                for (role, name) in [
                    ("heading", "Previews"),
                    ("navigation", "By standing"),
                    ("searchbox", "Filter"),
                    ("table", "pull requests and branches, and how they are answered"),
                    ("cell", "#12"),
                    ("link", "feature/checkout-redesign"),
                    ("cell", "held"),
                    ("meter", "GitHub GraphQL: left of this hour's budget"),
                    ("button", "Sign out"),
                ] {
                    assert!(has(role, name), "{width}: no {role} `{name}` in\n{all}");
                }
                assert!(has("columnheader", "Standing"), "{all}");
            }
            browser.go(&format!("{base}/explain?number=12"));
            // The first key leads past what is the same on every page.
            browser.press("Tab", 9, None);
            assert_eq!(browser.eval("document.activeElement.textContent"), "Skip to the content");
            browser.press("Enter", 13, Some("\r"));
            assert_eq!(browser.eval("document.activeElement.id"), "main");
            let nodes = tree(browser);
            let has = |role: &str, name: &str| nodes.iter().any(|node| node.0 == role && node.1.contains(name));
            for (role, name) in [
                ("heading", "feature/checkout-redesign"),
                ("region", "What is answered"),
                ("heading", "How it came to this"),
                ("list", ""),
                ("StaticText", "is waited for"),
                ("DisclosureTriangle", "2 checks"),
                ("button", "Look anew"),
            ] {
                assert!(has(role, name), "no {role} `{name}` in {nodes:?}");
            }
        })
        .await;
}

/// What a screen reader sees: roles and names.
fn tree(browser: &mut Chromium) -> Vec<(String, String)> {
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    let nodes = tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == false);
    nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
}
