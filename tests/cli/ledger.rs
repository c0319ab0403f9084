//! `ledger`: through the service where one runs, on the file where none does.

use serde_json::json;

use crate::{
    http::{Client, about, question},
    stage::{BEARER, Stage},
};

const LINE: [&str; 4] = ["--generator", "preview", "--number", "1"];

fn ledger<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["ledger", verb], more].concat()
}

/// A stage whose service has answered a question; the line is pull request #1.
async fn answered() -> Stage {
    let stage = Stage::new().await;
    let serving = stage.serve("info", &[]);
    let mut client = Client::connect(serving.plugin);
    client.send(question(BEARER, &about("feature", None)));
    assert_eq!(client.reply().header("x-lastgreen-standing"), Some("fresh"));
    serving.terminate();
    serving.ended().ended(0);
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_service_the_file_is_read_and_changed() {
    let stage = answered().await;
    let list = stage.run(&ledger("list", &[])).ended(0);
    assert_eq!(list.stdout.lines().count(), 1, "{list:?}");
    list.says("preview  myorg/myrepo  #1 feature  ");
    let lines = stage.run(&ledger("list", &["--json"])).ended(0).json();
    let line = &lines[0];
    assert_eq!((&line["known"], &line["branch"], &line["number"]), (&json!("item"), &json!("feature"), &json!(1)));
    assert_eq!(line["images"]["digestFront"]["digest"], json!(stage.front));
    assert_eq!(stage.run(&ledger("show", &LINE)).ended(0).json(), lines);
    stage.run(&ledger("show", &["--generator", "preview", "--number", "99"])).ended(3);

    stage.run(&ledger("forget", &["--generator", "preview", "--number", "99"])).ended(2).says("no such line");
    stage.run(&ledger("forget", &LINE)).ended(0).says("forgotten: preview  myorg/myrepo  #1 feature");
    assert_eq!(stage.run(&ledger("list", &[])).ended(0).stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_asked_and_its_memory_hears_of_it() {
    let stage = answered().await;
    std::fs::write(stage.folder().join("ops"), "of-the-operators\n").unwrap();
    let with_token = format!("ops: {{ listen: \"127.0.0.1:0\", tokenFile: {}/ops }}", stage.folder().display());
    stage.reconfigure("ops: { listen: \"127.0.0.1:0\" }", &with_token);
    let serving = stage.serve("info", &[]);
    let ops = format!("http://{}", serving.ops);
    let through = |verb, more: &[&str]| stage.run(&[&ledger(verb, more)[..], &["--ops", &ops]].concat());
    let lines = through("show", &LINE).ended(0).json();
    assert_eq!(lines[0]["images"]["digestBack"]["digest"], json!(stage.back));
    through("forget", &LINE).ended(0).says("forgotten");
    through("forget", &LINE).ended(2).says("no such line");
    assert_eq!(through("list", &[]).ended(0).stdout, "");

    // The file itself is the service's.
    stage.run(&ledger("list", &[])).ended(1).says("another lastgreen uses it").says("several replicas need PostgreSQL");
    let checked = stage.run(&["check"]);
    checked.says("ok       ledger: a lastgreen that runs uses it");
    assert!(!checked.stderr.contains("ledger"), "{}", checked.stderr);
    // Without its token nobody is told anything.
    stage.configure(&stage.config());
    through("list", &[]).ended(1).says("set `ops.tokenFile`");
    drop(serving);
    through("list", &[]).ended(1).says("nothing answers at");
}
