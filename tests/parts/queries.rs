//! Queries that fail, and databases that are gone: a clear word, and nothing lost.

use std::time::Duration;

use lastgreen::generator::Parts;
use serde_json::json;

use crate::stage::{Process, Stage};

/// What a look at the query says before anybody asks.
async fn checked(process: &Process) -> Result<Vec<String>, String> {
    let parts: &Parts = process.app.plain.values().next().unwrap().parts();
    let part = parts.iter().next().unwrap();
    part.check(process.soon()).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn mistakes_are_said_at_once_in_the_database_s_words() {
    for mut stage in Stage::both("mistakes").await {
        let postgres = stage.is_postgres();
        assert_eq!(checked(&stage.process()).await.unwrap(), ["tenant", "status"]);
        for (query, in_postgres, in_sqlite) in [
            (
                "SELECT tenant FRM organization",
                "syntax error at or near \"organization\" (42601)",
                "near \"organization\": syntax error",
            ),
            ("SELECT nme FROM organization", "column \"nme\" does not exist (42703)", "no such column: nme"),
            ("SELECT * FROM nowhere", "relation \"nowhere\" does not exist (42P01)", "no such table: nowhere"),
            (
                "SELECT tenant AS a, status AS a FROM organization",
                "two columns have the name `a`",
                "two columns have the name `a`",
            ),
            (
                "WITH gone AS (DELETE FROM organization RETURNING tenant) SELECT tenant FROM gone",
                "WITH clause containing a data-modifying statement must be at the top level (0A000)",
                "near \"DELETE\": syntax error",
            ),
            ("SELECT FROM organization", "the query has no column", "near \"FROM\": syntax error"),
        ] {
            stage = stage.asking(query);
            let process = stage.process();
            let error = checked(&process).await.unwrap_err();
            let expected = if postgres { in_postgres } else { in_sqlite };
            assert_eq!(error, format!("the query fails: {expected}"), "{query}");
            let reply = process.ask_through(json!({})).await;
            assert_eq!(reply.is_refused(503), format!("no answer yet: `sql` cannot say: {error}"), "{query}");
            process.end().await;
        }
        let process = stage.asking("SELECT tenant FROM organization").process();
        process.all().await.has(2, "fresh");
    }
}

#[tokio::test]
async fn nothing_is_written_whatever_the_query_does() {
    let Some(mut stage) = Stage::postgres("writes").await else { return };
    stage
        .execute(
            "CREATE SEQUENCE counter;
             CREATE FUNCTION wipe() RETURNS text LANGUAGE plpgsql AS
             $$ BEGIN DELETE FROM organization; RETURN 'done'; END $$;",
        )
        .await;
    for (query, what) in [
        ("SELECT wipe() AS done", "cannot execute DELETE in a read-only transaction (25006)"),
        ("SELECT nextval('counter') AS n", "cannot execute nextval() in a read-only transaction (25006)"),
    ] {
        stage = stage.asking(query);
        let process = stage.process();
        let reply = process.ask_through(json!({})).await;
        assert_eq!(reply.is_refused(503), format!("no answer yet: `sql` cannot say: the query fails: {what}"));
        process.end().await;
    }
    let process = stage.asking("SELECT tenant FROM organization").process();
    process.all().await.has(2, "fresh");
}

#[tokio::test]
async fn who_may_not_read_is_told_so_before_anybody_asks() {
    let Some(stage) = Stage::postgres("privileges").await else { return };
    stage.execute("CREATE ROLE reader LOGIN PASSWORD 'reading'").await;
    let process = stage.process();
    let url = stage.url().replace("postgres:correct-horse", "reader:reading");
    std::fs::write(stage.folder.path().join("url"), url).unwrap();
    let denied = "the query fails: permission denied for table organization (42501)";
    assert_eq!(checked(&process).await.unwrap_err(), denied);
    stage.execute("GRANT SELECT ON organization TO reader").await;
    assert_eq!(checked(&process).await.unwrap(), ["tenant", "status"]);
    // What is wrong with the URL is said without it.
    for (from, to, what) in [
        ("reader:reading", "reader:hunter2", "PostgreSQL refuses the user or the password"),
        ("/privileges", "/nowhere", "the database does not exist"),
        ("postgres://", "http://", "` must hold `sqlite:///absolute/path` or `postgres://user:password@host/database`"),
    ] {
        let url = stage.url().replace("postgres:correct-horse", "reader:reading").replace(from, to);
        std::fs::write(stage.folder.path().join("url"), url).unwrap();
        process.pass(Duration::from_secs(1));
        let error = checked(&process).await.unwrap_err();
        assert!(error.starts_with("the database cannot be used: ") && error.ends_with(what), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("reading"), "{error}");
    }
}

#[tokio::test]
async fn too_many_rows_are_an_error_and_never_fewer_rows() {
    for mut stage in Stage::both("many").await {
        stage.part = "maxRows: 1000".to_owned();
        stage.query =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i FROM n".into();
        let process = stage.process();
        process.all().await.has(1000, "fresh");
        process.end().await;
        stage.query = stage.query.replace("i < 1000", "i < 1000001");
        let process = stage.process();
        let reply = process.all().await;
        // What was recorded is held.
        reply.has(1000, "held");
        assert_eq!(reply.reason(), "`sql` cannot say: the query has more than 1000 rows (`maxRows`)");
        process.end().await;
        stage.part = "maxRows: 100000".to_owned();
        stage.query = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
                       SELECT i, (SELECT replace(cast(i + 1000000 AS text), '1', tenant) FROM organization LIMIT 1) AS t, \
                       :fill AS fill FROM n"
            .into();
        let process = stage.process();
        let fill = "x".repeat(4000);
        process.ask(json!({ "fill": fill })).await.has(2000, "fresh");
        process.end().await;
        stage.query = stage.query.replace("i < 2000", "i < 8000");
        let reply = stage.process().ask(json!({ "fill": fill })).await;
        reply.has(2000, "held");
        assert_eq!(reply.reason(), "`sql` cannot say: the rows of the query have more than 16777216 bytes");
    }
}

#[tokio::test]
async fn a_query_that_does_not_end_is_ended() {
    // The server ends what takes too long by its own clock.
    if let Some(mut stage) = Stage::postgres("hangs").await {
        stage.part = "timeout: 100ms\nconnections: 1".to_owned();
        let process = stage.asking("SELECT tenant, pg_sleep(600)::text AS slept FROM organization").process();
        let reply = process.ask_through(json!({})).await;
        assert_eq!(reply.is_refused(503), "no answer yet: `sql` cannot say: the database gave no answer in time");
    }
    // A file has no server: what nobody waits for any more is ended, and the one connection is free again.
    let mut stage = Stage::sqlite().await;
    stage.part = "connections: 1".to_owned();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS i FROM n";
    let query = format!("SELECT tenant FROM organization WHERE :hang IS NULL OR (SELECT i FROM ({endless})) > 0");
    let process = stage.asking(&query).process();
    process.all().await.has(2, "fresh");
    let router = process.router.clone();
    let asked = tokio::spawn(crate::stage::send(router, crate::stage::question(&json!({"hang": "1"}))));
    process.clock.sleeping(1).await;
    process.pass(Duration::from_secs(10));
    let message = asked.await.unwrap();
    assert_eq!(message.is_refused(503), "no answer yet: `sql` cannot say: the database gave no answer in time");
    process.all().await.has(2, "fresh");
}

#[tokio::test]
async fn a_connection_that_was_cut_is_made_anew() {
    let Some(stage) = Stage::postgres("cut").await else { return };
    let process = stage.process();
    for _ in 0..3 {
        process.all().await.has(2, "fresh");
        assert_eq!(stage.cut().await, 1);
    }
    process.all().await.has(2, "fresh");
}

#[tokio::test]
async fn tables_may_change_under_it() {
    let Some(stage) = Stage::postgres("changes").await else { return };
    let process = stage.asking("SELECT * FROM organization").process();
    process.all().await.has(2, "fresh");
    // Under the nose of a statement that was prepared.
    for change in [
        "ALTER TABLE organization RENAME COLUMN status TO state",
        "ALTER TABLE organization ALTER COLUMN state TYPE varchar(20)",
        "ALTER TABLE organization DROP COLUMN state",
    ] {
        let stage = Stage::postgres_again("changes").unwrap();
        stage.execute(change).await;
        let reply = process.all().await;
        reply.has(2, "fresh");
        let keys: Vec<_> = reply.items()[0].as_object().unwrap().keys().cloned().collect();
        let expected: &[&str] = if change.contains("DROP") { &["tenant"] } else { &["state", "tenant"] };
        assert_eq!(keys, expected, "{change}");
    }
    // A further column is no error, so it takes a minute.
    let stage = Stage::postgres_again("changes").unwrap();
    stage.execute("ALTER TABLE organization ADD COLUMN region text DEFAULT 'eu'").await;
    process.pass(Duration::from_mins(1));
    assert_eq!(process.all().await.items()[0]["region"], "eu");
}

#[tokio::test]
async fn a_file_may_be_another_one() {
    let stage = Stage::sqlite().await;
    let process = stage.process();
    process.all().await.has(2, "fresh");
    std::fs::rename(stage.file(), stage.folder.path().join("old.db")).unwrap();
    let reply = process.all().await;
    reply.has(2, "held");
    assert_eq!(
        reply.reason(),
        "`sql` cannot say: the database cannot be used: the file cannot be opened; does it exist, and may this user read it?"
    );
    stage.execute(crate::stage::SCHEMA).await;
    stage.execute("DELETE FROM organization WHERE status = 'trial'").await;
    process.all().await.has(1, "fresh");
}

#[tokio::test]
async fn a_ca_is_what_the_server_s_certificate_must_come_from() {
    let Some(server) = crate::postgres::Postgres::start_new() else { return };
    let admin = crate::postgres::ADMIN;
    server.execute(admin, crate::stage::SCHEMA).await;
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    // The server itself writes its key, which nobody else may read.
    let write = |text: &str, name: &str| {
        format!(
            "COPY (SELECT string_to_table($pem${}$pem$, E'\\n')) TO PROGRAM 'umask 077; cat > {name}'",
            text.trim_end()
        )
    };
    server.execute(admin, &write(&own.cert.pem(), "server.crt")).await;
    server.execute(admin, &write(&own.signing_key.serialize_pem(), "server.key")).await;
    server.execute(admin, "ALTER SYSTEM SET ssl = on").await;
    server.execute(admin, "SELECT pg_reload_conf()").await;
    let mut stage = Stage::sqlite().await;
    stage.part = format!("caFile: {}/ca.pem", stage.folder.path().display());
    let ca = |pem: &str| std::fs::write(stage.folder.path().join("ca.pem"), pem).unwrap();
    ca(&other.cert.pem());
    let process = stage.process();
    let lead_to = |url: String| {
        std::fs::write(stage.folder.path().join("url"), url).unwrap();
        process.pass(Duration::from_secs(1));
    };
    lead_to(server.url(admin));
    // The setting is on its way to processes that begin from now on.
    let mut error = checked(&process).await.unwrap_err();
    while error.contains("does not support TLS") || error.contains("not supported by the server") {
        error = checked(&process).await.unwrap_err();
    }
    assert!(error.starts_with("the database cannot be used: invalid peer certificate: "), "{error}");
    ca(&own.cert.pem());
    assert_eq!(checked(&process).await.unwrap(), ["tenant", "status"]);
    process.all().await.has(2, "fresh");
    // The name in the certificate counts, too.
    lead_to(server.url(admin).replace("127.0.0.1", "localhost"));
    let error = checked(&process).await.unwrap_err();
    assert!(error.starts_with("the database cannot be used: invalid peer certificate: "), "{error}");
}
