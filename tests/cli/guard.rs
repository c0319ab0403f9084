//! Rows of a query alone, with the real program: `serve`, `check` and `guard`.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    http::{Client, question},
    stage::{BEARER, Serving, Stage},
};

/// Changes the database.
async fn execute(stage: &Stage, statements: &str) {
    let options = SqliteConnectOptions::new().filename(stage.folder().join("tenants.db")).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    connection.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// A stage whose only generator has no build.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    let folder = stage.folder().display();
    stage.write("ops", "of-the-operators\n");
    let text = format!(
        "listen: 127.0.0.1:0
ops: {{ listen: \"127.0.0.1:0\", tokenFile: {folder}/ops }}
tokenFile: {folder}/token
ledger: {{ url: \"sqlite://{folder}/ledger.db\" }}
answerWithin: 1s
drainDelay: 0s
generators:
  preview:
    sql: {{ url: \"sqlite://{folder}/tenants.db\", query: SELECT id FROM tenants }}
"
    );
    stage.configure(&text);
    let ten = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n";
    execute(&stage, &format!("CREATE TABLE tenants (id INTEGER PRIMARY KEY); INSERT INTO tenants {ten}")).await;
    stage
}

/// How many items are answered, and how they stand.
fn answer(serving: &Serving) -> (usize, String) {
    let mut client = Client::connect(serving.plugin);
    client.send(question(BEARER, ""));
    let reply = client.reply();
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    let count = body["output"]["parameters"].as_array().map_or(usize::MAX, Vec::len);
    (count, reply.header("x-lastgreen-standing").unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guard_holds_back_is_shown_and_released() {
    let stage = stage().await;
    let serving = stage.serve("info", &[]);
    serving.logs("checked");
    assert_eq!(answer(&serving), (10, "fresh".to_owned()));
    execute(&stage, "DELETE FROM tenants WHERE id > 5").await;
    assert_eq!(answer(&serving), (10, "held".to_owned()));
    let ops = format!("http://{}", serving.ops);
    let guard = |more: &[&str]| stage.run(&[&["guard"], more, &["--ops", &ops]].concat());
    guard(&["list"]).ended(0).says("preview  inputs {}  5 of 10 items vanish  held back");
    let held = json!([{"generator": "preview", "about": "inputs {}", "vanish": 5, "of": 10, "released": false}]);
    assert_eq!(guard(&["list", "--json"]).ended(0).json(), held);
    guard(&["release", "other"]).ended(2).says("the guard of `other` holds nothing back");
    // Whoever has no token may do nothing.
    let mut client = Client::connect(serving.ops);
    client.send(
        "POST /guard/release HTTP/1.1\r\nHost: lastgreen\r\nContent-Length: 23\r\n\r\n{\"generator\":\"preview\"}",
    );
    assert_eq!(client.reply().status(), 403);
    let mut client = Client::connect(serving.ops);
    client.send("GET /guard HTTP/1.1\r\nHost: lastgreen\r\n\r\n");
    assert_eq!(client.reply().status(), 403);
    guard(&["release", "preview"]).ended(0).says("preview  inputs {}  5 of 10 items vanish  released");
    assert_eq!(answer(&serving), (5, "fresh".to_owned()));
    assert_eq!(guard(&["list"]).ended(0).stdout, "");
    guard(&["release", "preview"]).ended(2).says("holds nothing back");
    serving.terminate();
    let done = serving.ended().ended(0);
    assert_eq!(done.stderr.matches("the guard holds an answer back").count(), 1, "{done:?}");
    // Without a service the ledger itself is looked at.
    stage.run(&["guard", "release", "preview"]).ended(2).says("holds nothing back");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_a_query_are_said_by_check_and_at_the_start() {
    let stage = stage().await;
    stage.run(&["check"]).ended(0).says("ok       preview: sql: gives id");
    execute(&stage, "ALTER TABLE tenants RENAME TO others").await;
    stage.run(&["check"]).ended(5).says("WRONG    preview: sql: the query fails: no such table: tenants");
    stage.run(&["resolve", "--branch", "x"]).ended(2).says("no generator has a `build` part");
    let serving = stage.serve("info", &[]);
    serving.logs("a part cannot be used");
    // It serves all the same, and once it is put right it answers.
    assert_eq!(serving.health("/readyz"), 200);
    assert_eq!(answer(&serving), (usize::MAX, "unknown".to_owned()));
    execute(&stage, "ALTER TABLE others RENAME TO tenants").await;
    assert_eq!(answer(&serving), (10, "fresh".to_owned()));
}
