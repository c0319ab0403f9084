//! The registry: what it serves, to whom, under which Accept.

use lastgreen_sim::{Credential, Denial, ImageSpec, Realm, RegistryAuth, Sim, World};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{client, header};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn request(sim: &Sim, method: Method, path: &str) -> RequestBuilder {
    client().request(method, format!("http://{}{path}", sim.registry_host()))
}

async fn head(sim: &Sim, path: &str, accept: &str) -> Response {
    request(sim, Method::HEAD, path).header("accept", accept).send().await.unwrap()
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut out, byte| {
        write!(out, "{byte:02x}").unwrap();
        out
    })
}

#[tokio::test]
async fn digests_are_true_all_the_way_down() {
    let mut world = World::default();
    let spec = ImageSpec::revision("abc").multi_arch().provenance_child();
    let top = world.push_image("myorg/front", "v1", &spec);
    let sim = Sim::start(world).await;
    let response =
        request(&sim, Method::GET, "/v2/myorg/front/manifests/v1").header("accept", INDEX).send().await.unwrap();
    assert_eq!(header(&response, "docker-content-digest"), top);
    assert_eq!(header(&response, "content-type"), INDEX);
    let bytes = response.bytes().await.unwrap();
    assert_eq!(digest(&bytes), top);
    let index: Value = serde_json::from_slice(&bytes).unwrap();
    let platforms: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|one| &one["platform"]["architecture"]).collect();
    assert_eq!(platforms, ["amd64", "arm64", "unknown"]);
    for child in index["manifests"].as_array().unwrap() {
        let path = format!("/v2/myorg/front/manifests/{}", child["digest"].as_str().unwrap());
        let bytes =
            request(&sim, Method::GET, &path).header("accept", MANIFEST).send().await.unwrap().bytes().await.unwrap();
        assert_eq!((json!(digest(&bytes)), json!(bytes.len())), (child["digest"].clone(), child["size"].clone()));
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let config = manifest["config"]["digest"].as_str().unwrap();
        let blob = request(&sim, Method::GET, &format!("/v2/myorg/front/blobs/{config}")).send().await.unwrap();
        let blob = blob.bytes().await.unwrap();
        assert_eq!(digest(&blob), config);
        let config: Value = serde_json::from_slice(&blob).unwrap();
        if child["platform"]["os"] == "linux" {
            assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], "abc");
        }
    }
    // Pushed again, it is another image.
    assert_ne!(sim.world(|world| world.push_image("myorg/front", "v1", &spec)), top);
}

#[tokio::test]
async fn an_unsuitable_accept_looks_like_an_absent_image() {
    let mut world = World::default();
    world.push_image("myorg/front", "index", &ImageSpec::default().multi_arch());
    world.push_image("myorg/front", "plain", &ImageSpec::default());
    let sim = Sim::start(world).await;
    let both = format!("{INDEX}, {MANIFEST};q=0.5");
    for (tag, accept, status) in [
        ("index", INDEX, 200),
        ("index", both.as_str(), 200),
        ("index", MANIFEST, 404),
        ("index", "*/*", 404),
        ("plain", both.as_str(), 200),
        ("plain", INDEX, 404),
        ("absent", both.as_str(), 404),
    ] {
        let path = format!("/v2/myorg/front/manifests/{tag}");
        let response = head(&sim, &path, accept).await;
        assert_eq!(response.status(), status, "{tag} {accept}");
        assert_eq!(response.text().await.unwrap(), "");
    }
    let seen = sim.seen();
    assert_eq!(seen[0].accept.as_deref(), Some(INDEX));
    assert_eq!(sim.counts().registry_head, 7);
}

#[tokio::test]
async fn tags_are_listed_in_pages_and_only_of_what_exists() {
    let mut world = World::default();
    for tag in ["a", "b", "c"] {
        world.push_image("myorg/front", tag, &ImageSpec::default());
    }
    let sim = Sim::start(world).await;
    let first = request(&sim, Method::GET, "/v2/myorg/front/tags/list?n=2").send().await.unwrap();
    assert_eq!(header(&first, "link"), "</v2/myorg/front/tags/list?last=b&n=2>; rel=\"next\"");
    assert_eq!(first.json::<Value>().await.unwrap()["tags"], json!(["a", "b"]));
    let second = request(&sim, Method::GET, "/v2/myorg/front/tags/list?last=b&n=2").send().await.unwrap();
    assert_eq!(header(&second, "link"), "");
    assert_eq!(second.json::<Value>().await.unwrap()["tags"], json!(["c"]));
    let unknown = request(&sim, Method::GET, "/v2/myorg/none/tags/list").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.unwrap()["errors"][0]["code"], "NAME_UNKNOWN");
    // A client that lets dots into a path is sent elsewhere.
    let path = format!("{}/v2/myorg/front/manifests/%2e%2e", sim.registry_host());
    assert_eq!(client().get(format!("http://{path}")).send().await.unwrap().status(), 404);
}

fn guarded() -> World {
    let mut world = World::default();
    world.registry.auth = RegistryAuth::Bearer;
    world.registry.credentials = vec![Credential::new("robot", "secret")];
    world.registry.private = vec!["myorg/front".to_owned()];
    for repository in ["myorg/front", "myorg/open"] {
        world.push_image(repository, "v1", &ImageSpec::default());
    }
    world
}

async fn token(host: &str, scope: &str, basic: Option<(&str, &str)>) -> Response {
    let request = client().get(format!("http://{host}/token?service=s&scope=repository:{scope}:pull"));
    match basic {
        Some((user, password)) => request.basic_auth(user, Some(password)).send().await.unwrap(),
        None => request.send().await.unwrap(),
    }
}

async fn body_token(response: Response) -> String {
    assert_eq!(response.status(), 200);
    response.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
}

async fn manifest(sim: &Sim, name: &str, token: &str) -> Response {
    let request = request(sim, Method::HEAD, &format!("/v2/{name}/manifests/v1")).header("accept", MANIFEST);
    request.bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn the_bearer_flow() {
    let sim = Sim::start(guarded()).await;
    let host = sim.registry_host();
    let asked = head(&sim, "/v2/myorg/front/manifests/v1", MANIFEST).await;
    assert_eq!(asked.status(), 401);
    assert_eq!(
        header(&asked, "www-authenticate"),
        format!("Bearer realm=\"http://{host}/token\",service=\"{host}\",scope=\"repository:myorg/front:pull\"")
    );
    let good = body_token(token(&host, "myorg/front", Some(("robot", "secret"))).await).await;
    assert_eq!(manifest(&sim, "myorg/front", &good).await.status(), 200);
    let other = manifest(&sim, "myorg/open", &good).await;
    assert_eq!(other.status(), 401);
    assert!(header(&other, "www-authenticate").ends_with("error=\"insufficient_scope\""));
    // Strangers get what is open, and cannot tell the private from the absent.
    let open = body_token(token(&host, "myorg/open", None).await).await;
    assert_eq!(manifest(&sim, "myorg/open", &open).await.status(), 200);
    for name in ["myorg/front", "myorg/absent"] {
        assert_eq!(token(&host, name, None).await.status(), 403);
    }
    sim.world(|world| world.registry.denial = Denial::Unauthorized);
    assert_eq!(token(&host, "myorg/front", None).await.status(), 401);
    // Rotation: the old password is refused, its tokens live on, until they expire.
    sim.world(|world| world.registry.rotate("robot", "new"));
    assert_eq!(token(&host, "myorg/front", Some(("robot", "secret"))).await.status(), 401);
    assert_eq!(manifest(&sim, "myorg/front", &good).await.status(), 200);
    sim.world(|world| world.advance(300));
    let late = manifest(&sim, "myorg/front", &good).await;
    assert_eq!(late.status(), 401);
    assert!(header(&late, "www-authenticate").ends_with("error=\"invalid_token\""));
}

#[tokio::test]
async fn tokens_may_come_from_another_host() {
    let mut world = guarded();
    world.registry.realm = Realm::Other;
    let sim = Sim::start(world).await;
    let asked = head(&sim, "/v2/myorg/front/manifests/v1", MANIFEST).await;
    assert!(
        header(&asked, "www-authenticate").starts_with(&format!("Bearer realm=\"http://{}/token\"", sim.realm_host()))
    );
    assert_eq!(token(&sim.registry_host(), "myorg/front", Some(("robot", "secret"))).await.status(), 404);
    let good = body_token(token(&sim.realm_host(), "myorg/front", Some(("robot", "secret"))).await).await;
    assert_eq!(manifest(&sim, "myorg/front", &good).await.status(), 200);
    assert_eq!(sim.counts().realm, 1);
}

#[tokio::test]
async fn basic_registries_want_the_password_every_time() {
    let mut world = guarded();
    world.registry.auth = RegistryAuth::Basic;
    let sim = Sim::start(world).await;
    let path = "/v2/myorg/front/manifests/v1";
    let asked = head(&sim, path, MANIFEST).await;
    assert_eq!(
        (asked.status().as_u16(), header(&asked, "www-authenticate")),
        (401, "Basic realm=\"simulated registry\"")
    );
    let told = request(&sim, Method::HEAD, path).header("accept", MANIFEST).basic_auth("robot", Some("secret"));
    assert_eq!(told.send().await.unwrap().status(), 200);
    let authorization = sim.seen()[1].authorization.clone().unwrap();
    assert_eq!((authorization.scheme.as_str(), authorization.value.as_str()), ("Basic", "cm9ib3Q6c2VjcmV0"));
}
