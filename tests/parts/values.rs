//! What a value is as a text, and what an input is to a query.

use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn every_value_of_postgresql_is_a_text() {
    let Some(stage) = Stage::postgres("every_value").await else { return };
    stage
        .execute(
            "CREATE TYPE state AS ENUM ('active', 'trial'); CREATE DOMAIN code AS varchar(5);
             CREATE TABLE everything (b bool, i2 int2, i8 int8, n numeric, r float4, d float8, t text, v varchar, c char(4),
                 u uuid, j json, jb jsonb, s state, dom code, day date, ts timestamp, tz timestamptz, tm time, iv interval,
                 ip inet, net cidr, bits bit(3));
             INSERT INTO everything VALUES (true, -7, 9223372036854775807, 12345678901234567890.1200, 1.5, 0.1, 'é \"x\"', '',
                 'ab', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{ \"a\" : [1, \"b c\"] }', '{\"n\": 1.10}', 'trial', 'x1',
                 '2024-02-29', '2024-02-29 12:00:00.5', '2024-02-29 12:00:00+02', '12:30:00', '1 day 2 hours',
                 '10.0.0.1', '10.0.0.0/8', B'101'); INSERT INTO everything (b) VALUES (false);",
        )
        .await;
    let process = stage.asking("SELECT * FROM everything ORDER BY b DESC").process();
    let mut empty = json!({"b": "false"});
    for key in "i2 i8 n r d t v c u j jb s dom day ts tz tm iv ip net bits".split(' ') {
        empty[key] = json!("");
    }
    process.all().await.is(
        &json!([
            {
                "b": "true", "i2": "-7", "i8": "9223372036854775807", "n": "12345678901234567890.1200", "r": "1.5",
                "d": "0.1", "t": "é \"x\"", "v": "", "c": "ab", "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                "j": r#"{"a":[1,"b c"]}"#, "jb": r#"{"n":1.10}"#, "s": "trial", "dom": "x1", "day": "2024-02-29",
                "ts": "2024-02-29T12:00:00.5", "tz": "2024-02-29T10:00:00+00:00", "tm": "12:30:00",
                "iv": "1 day 02:00:00", "ip": "10.0.0.1", "net": "10.0.0.0/8", "bits": "101",
            },
            empty,
        ]),
        "fresh",
    );
}

#[tokio::test]
async fn every_value_of_sqlite_is_a_text() {
    let stage = Stage::sqlite().await;
    stage
        .execute(
            "CREATE TABLE everything (b BOOLEAN, i INTEGER, r REAL, t TEXT, any);
             INSERT INTO everything VALUES (1, -9223372036854775808, 0.1, 'é', 7), (0, NULL, 1.0, '', 'x');",
        )
        .await;
    let process = stage.asking("SELECT *, 1 + 1 AS two FROM everything").process();
    process.all().await.is(
        &json!([
            {"b": "true", "i": "-9223372036854775808", "r": "0.1", "t": "é", "any": "7", "two": "2"},
            {"b": "false", "i": "", "r": "1.0", "t": "", "any": "x", "two": "2"},
        ]),
        "fresh",
    );
}

#[tokio::test]
async fn what_has_no_text_form_is_an_error_with_its_column_and_type() {
    let Some(stage) = Stage::postgres("no_text").await else { return };
    stage.execute("CREATE TYPE pair AS (a int, b int); CREATE DOMAIN raw AS bytea").await;
    let mut stage = stage;
    for (column, kind) in [
        ("'x'::bytea", "bytea"),
        ("ARRAY[1, 2]", "integer[]"),
        ("ROW(1, 2)::pair", "pair"),
        ("'x'::raw", "bytea"),
        ("int4range(1, 2)", "int4range"),
        ("'(1,2)'::point", "point"),
        ("'1'::money", "money"),
    ] {
        stage = stage.asking(&format!("SELECT tenant, {column} AS odd FROM organization"));
        let process = stage.process();
        let message = process.ask_through(json!({})).await;
        assert_eq!(
            message.is_refused(503),
            format!(
                "no answer yet: `sql` cannot say: the query fails: the column `odd` has the type {kind}, which has no text \
                 form here; have the query make a text of it"
            )
        );
        process.end().await;
    }
    let stage = Stage::sqlite().await.asking("SELECT tenant, x'00' AS odd FROM organization");
    let reply = stage.process().ask_through(json!({})).await;
    assert!(reply.is_refused(503).contains("the column `odd` has the type BLOB, which has no text form here"));
}

#[tokio::test]
async fn inputs_are_what_their_place_wants() {
    let Some(stage) = Stage::postgres("inputs").await else { return };
    stage
        .execute(
            "CREATE TYPE state AS ENUM ('active', 'trial');
             CREATE TABLE typed (id int, state state, day date, flag bool, name text);
             INSERT INTO typed VALUES (1, 'active', '2024-01-01', true, 'a'), (2, 'trial', '2024-06-01', false, 'b');",
        )
        .await;
    let mut stage = stage;
    let first = json!([{"name": "a"}]);
    for (condition, inputs) in [
        ("id = :id", json!({"id": "1"})),
        ("id = :id", json!({"id": 1})),
        ("state = :state", json!({"state": "active"})),
        ("day < :day", json!({"day": "2024-03-01"})),
        ("flag = :flag", json!({"flag": true})),
        ("name LIKE :name || '%'", json!({"name": "a"})),
        (":state IS NULL OR state = :state", json!({"state": "active"})),
        ("state = :state OR :state IS NULL", json!({"state": "active"})),
        ("id = ANY (string_to_array(:ids, ',')::int[])", json!({"ids": "1,7"})),
        ("id IN (:one, :two)", json!({"one": "1", "two": null})),
        ("id::text = :id AND ':id' = ':' || 'id'", json!({"id": "1"})),
        ("(:off)::int + 1 = id", json!({"off": "0"})),
    ] {
        stage = stage.asking(&format!("SELECT name FROM typed WHERE {condition} ORDER BY id LIMIT :most"));
        let process = stage.process();
        process.ask(inputs.clone()).await.is(&first, "fresh");
        process.end().await;
    }
    // An absent input is NULL, and what does not fit its place is the database's to say.
    stage = stage.asking("SELECT name FROM typed WHERE id = :id OR :id IS NULL");
    let process = stage.process();
    process.all().await.has(2, "fresh");
    let reply = process.ask_through(json!({"id": "x"})).await;
    assert_eq!(
        reply.is_refused(503),
        "no answer yet: `sql` cannot say: the query fails: invalid input syntax for type integer: \"x\" (22P02)"
    );
    for bad in [json!([1]), json!({}), json!("<no value>"), json!("a\u{0}")] {
        let reply = process.ask(json!({ "id": bad })).await;
        assert!(reply.is_refused(400).starts_with("input.parameters.id: "), "{bad}");
    }
    // What the query does not use is nobody's business.
    process.ask(json!({"id": "1", "other": {"a": []}})).await.has(1, "fresh");
}

#[tokio::test]
async fn inputs_are_texts_to_sqlite() {
    let stage = Stage::sqlite().await;
    stage.execute("CREATE TABLE typed (id INTEGER, name TEXT); INSERT INTO typed VALUES (1, 'a'), (2, 'b')").await;
    let process = stage.asking("SELECT name FROM typed WHERE id = :id OR name = :name").process();
    for inputs in [json!({"id": "1"}), json!({"id": 1}), json!({"name": "a"})] {
        process.ask(inputs).await.is(&json!([{"name": "a"}]), "fresh");
    }
    process.ask(json!({"id": "x"})).await.is(&json!([]), "fresh");
}
