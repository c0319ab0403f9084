//! Watches that end, break off, or are refused: nothing that was known is lost, and nothing that happened is missed.

use lastgreen_sim::{Cluster, GoneAs, Rule};

use crate::{
    logs,
    stage::{Stage, TEAM, cluster_ip},
};

/// The version that a watch was begun from; nothing if the request was no watch.
fn version_of(request: &str) -> Option<u64> {
    request.split_once("resourceVersion=").map(|(_, version)| version.parse().unwrap())
}

/// A stage that knows of one Service, and whose requests so far are forgotten.
async fn watching() -> Stage {
    let stage = Stage::new().await;
    stage.apply("first", &[]);
    stage.knows(&["first"]).await;
    stage.cluster.watched_by(1).await;
    stage.cluster.seen();
    stage
}

#[tokio::test]
async fn one_that_ends_is_begun_where_it_ended() {
    let stage = watching().await;
    stage.cluster.end_watches();
    stage.cluster.watched_by(0).await;
    // What happens while nobody watches is told later.
    stage.apply("second", &[]);
    stage.cluster.delete_service(TEAM, "first");
    stage.in_rounds(|stage| stage.names() == ["second"]).await;
    let seen = stage.cluster.seen();
    assert_eq!(seen.iter().map(|request| version_of(request)).collect::<Vec<_>>(), [Some(1007)]);
    assert_eq!(stage.trouble(), None);
}

#[tokio::test]
async fn bookmarks_move_where_it_begins() {
    let stage = watching().await;
    // Something that is not watched moves the cluster's version.
    stage.cluster.secret(TEAM, "other", "key", b"x");
    stage.cluster.bookmark();
    stage.cluster.end_watches();
    stage.next_round().await;
    stage.cluster.watched_by(1).await;
    assert_eq!(stage.cluster.seen().iter().map(|request| version_of(request)).collect::<Vec<_>>(), [Some(1014)]);
}

#[tokio::test]
async fn one_that_is_cut_leaves_what_is_known_in_use() {
    logs::begin();
    let stage = watching().await;
    for round in 0..3 {
        stage.cluster.cut_watches();
        stage.until(|stage| stage.trouble().is_some()).await;
        assert_eq!(stage.trouble().unwrap(), "Kubernetes: the watch broke off");
        assert!(stage.find("first").await.is_ok());
        stage.apply(&format!("new-{round}"), &[]);
        stage.in_rounds(|stage| stage.trouble().is_none() && stage.names().len() == round + 2).await;
    }
    assert!(stage.cluster.seen().iter().all(|request| version_of(request).is_some()), "nothing was listed again");
    assert_eq!(logs::with("are not watched; what was known last is used").len(), 3, "{}", logs::all());
    assert_eq!(logs::with("are watched again").len(), 3);
}

#[tokio::test]
async fn a_version_that_is_gone_is_listed_again() {
    for gone in [GoneAs::Event, GoneAs::Status] {
        let stage = watching().await;
        stage.cluster.say_gone_as(gone);
        stage.cluster.end_watches();
        stage.cluster.watched_by(0).await;
        // Its end is told by no event any more.
        stage.cluster.delete_service(TEAM, "first");
        stage.apply("second", &[]);
        stage.cluster.compact();
        stage.next_round().await;
        stage.in_rounds(|stage| stage.names() == ["second"]).await;
        stage.cluster.watched_by(1).await;
        let versions: Vec<_> = stage.cluster.seen().iter().map(|request| version_of(request)).collect();
        assert_eq!(versions, [Some(1007), None, Some(1028)], "{gone:?}");
        assert_eq!(stage.trouble(), None);
        stage.apply("third", &[]);
        stage.knows(&["second", "third"]).await;
    }
}

#[tokio::test]
async fn a_watch_that_fails_in_its_midst_is_begun_again() {
    let stage = watching().await;
    stage.cluster.fail_watches(410);
    stage.next_round().await;
    stage.cluster.watched_by(1).await;
    assert_eq!(stage.trouble(), None);
    assert_eq!(version_of(&stage.cluster.seen()[0]), None, "it was listed again");

    stage.cluster.fail_watches(500);
    stage.until(|stage| stage.trouble().is_some()).await;
    assert_eq!(stage.trouble().unwrap(), "Kubernetes: the watch failed (500)");
    stage.in_rounds(|stage| stage.trouble().is_none()).await;
}

#[tokio::test]
async fn an_event_that_makes_no_sense_costs_the_watch_and_nothing_else() {
    let pod = "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}}";
    for nonsense in ["{\"type\":\"ADDED\"}", "<html>", pod] {
        let stage = watching().await;
        stage.cluster.say_to_watches(nonsense);
        stage.until(|stage| stage.trouble().is_some()).await;
        assert_eq!(stage.trouble().unwrap(), "Kubernetes: an event of the watch makes no sense");
        assert!(stage.find("first").await.is_ok());
        stage.apply("second", &[]);
        stage.in_rounds(|stage| stage.names() == ["first", "second"]).await;
        assert_eq!(stage.trouble(), None);
    }
}

#[tokio::test]
async fn who_may_not_list_is_told_so_and_other_namespaces_go_on() {
    logs::begin();
    let cluster = Cluster::start(&["one"]).await;
    cluster.plugin("one", "here", &cluster_ip(), &[]);
    let stage = Stage::before(cluster, &["one", "two"]);
    stage.until(|stage| stage.known(0).services.is_some() && stage.known(1).trouble.is_some()).await;
    let refused = "the Services of the namespace `two` are not known: Kubernetes: lastgreen may not list Services in the \
                   namespace `two` (403): its ServiceAccount needs a Role for that";
    let find = async || stage.kubernetes.find("two", "there", stage.soon()).await.map(|_| ());
    assert_eq!(find().await.unwrap_err(), refused);
    assert!(stage.kubernetes.find("one", "here", stage.soon()).await.is_ok());
    stage.next_round().await;
    stage.next_round().await;
    assert_eq!(logs::with("may not list Services").len(), 1, "{}", logs::all());

    stage.cluster.grant(Rule::new("two", "services", &["list", "watch"]));
    stage.cluster.plugin("two", "there", &cluster_ip(), &[]);
    stage.in_rounds(|stage| stage.known(1).trouble.is_none()).await;
    assert_eq!(find().await, Ok(()));
}

#[tokio::test]
async fn who_may_not_watch_lists_now_and_then() {
    logs::begin();
    let cluster = Cluster::start(&[TEAM]).await;
    cluster.revoke(TEAM, "services", "watch");
    cluster.plugin(TEAM, "first", &cluster_ip(), &[]);
    let stage = Stage::before(cluster, &[TEAM]);
    stage.until(|stage| stage.trouble().is_some()).await;
    assert_eq!(
        stage.trouble().unwrap(),
        "Kubernetes: lastgreen may not watch Services in the namespace `team` (403): its ServiceAccount needs a Role for \
         that"
    );
    assert!(stage.find("first").await.is_ok());
    stage.apply("second", &[]);
    stage.in_rounds(|stage| stage.names() == ["first", "second"]).await;
    assert_eq!(logs::with("may not watch Services").len(), 1, "{}", logs::all());
    stage.cluster.grant(Rule::new(TEAM, "services", &["watch"]));
    stage.in_rounds(|stage| stage.trouble().is_none()).await;
}

#[tokio::test]
async fn its_own_token_is_read_again() {
    let stage = watching().await;
    stage.cluster.rotate_token("another");
    stage.cluster.end_watches();
    stage.in_rounds(|stage| stage.trouble().is_some()).await;
    assert_eq!(stage.trouble().unwrap(), "Kubernetes: it refuses lastgreen's token (401)");
    assert!(stage.find("first").await.is_ok());
    std::fs::write(stage.folder.path().join("token"), "another\n").unwrap();
    stage.in_rounds(|stage| stage.trouble().is_none()).await;
}

#[tokio::test]
async fn what_answers_in_its_place_is_no_cluster() {
    for (status, says) in [
        (503, "it answered 503"),
        (404, "it answered 404: is this the address of Kubernetes?"),
        (302, "it answered 302: is this the address of Kubernetes?"),
        (429, "it asked us to slow down (429)"),
    ] {
        let stage = watching().await;
        stage.cluster.fail(Some(status));
        stage.cluster.end_watches();
        stage.in_rounds(|stage| stage.trouble().is_some()).await;
        assert_eq!(stage.trouble().unwrap(), format!("Kubernetes: {says}"));
        assert!(stage.find("first").await.is_ok());
        stage.cluster.fail(None);
        stage.in_rounds(|stage| stage.trouble().is_none()).await;
    }
}

#[tokio::test]
async fn one_that_hangs_is_given_up_and_nobody_waits_longer_than_he_may() {
    let cluster = Cluster::start(&[TEAM]).await;
    cluster.hang(true);
    let stage = Stage::before(cluster, &[TEAM]);
    stage.cluster.watched_by(1).await;
    let part = stage.part("first");
    let asking = stage.ask(&part);
    tokio::pin!(asking);
    assert!(futures_util::poll!(asking.as_mut()).is_pending());
    stage.clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(
        asking.await.unwrap_err().reason,
        "the plugin `other`: the Services of the namespace `team` have not been read yet"
    );
    stage.clock.advance(std::time::Duration::from_secs(8));
    stage.until(|stage| stage.trouble().is_some()).await;
    assert_eq!(stage.trouble().unwrap(), "Kubernetes: no answer in time");
}
