//! Rows of a query, each question a real one: beside the plugin on `FastAPI` and psycopg2 that it is modelled on, on the
//! same PostgreSQL. Both are asked in turns, and ratios are of neighbours.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    Options, baselines, load,
    postgres::{ADMIN, Postgres},
    process::{Process, free_port, listens},
    service::{TOKEN, quick_place},
    table::{Table, median, time},
};

/// Connections of those who ask.
const CONNECTIONS: usize = 16;

const SCHEMA: &str = include_str!("../../examples/tenants/schema.sql");

pub(crate) fn run(options: &Options) {
    let Some(server) = Postgres::start_new() else {
        println!("skipped: PostgreSQL is not installed");
        return;
    };
    let runtime = Runtime::new().unwrap();
    runtime.block_on(prepare(&server));
    let folder = tempfile::tempdir_in(quick_place()).unwrap();
    fs::write(folder.path().join("token"), TOKEN).unwrap();
    let (ours, our_address) = lastgreen(&server, folder.path());
    let Some(python) = baselines::with_fastapi() else {
        println!("skipped: FastAPI and psycopg2 cannot be had here");
        return;
    };
    let address = free_port();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/baselines/fastapi_sql_plugin.py");
    let mut command = Command::new(python);
    command.arg(script).arg(folder.path().join("token")).arg(address.port().to_string());
    let theirs = Process::start(command.arg(server.port().to_string()).arg("organization"));
    assert!(listens(address), "the Python plugin does not start");

    let question = vec![load::request("", r#"{"applicationSetName":"tenants","input":{"parameters":{}}}"#)];
    let answers = [our_address, address].map(|address| tenants(&load::once(address, &question[0])));
    assert_eq!(answers[0], answers[1], "they answer the same");
    let before = runtime.block_on(queries(&server));
    let (rounds, long) = if options.quick { (2, 300) } else { (7, 3000) };
    let long = Duration::from_millis(long);
    let servers = [("lastgreen", our_address, &ours), ("FastAPI, psycopg2", address, &theirs)];
    let mut results = servers.map(|_| (Vec::new(), Vec::new(), Vec::new(), Vec::new()));
    let mut answered = 0;
    for _ in 0..rounds {
        for ((_, address, process), result) in servers.iter().zip(&mut results) {
            let cpu = process.cpu();
            let measured = load::ask_for(long, *address, CONNECTIONS, true, &question);
            let cpu = process.cpu().saturating_sub(cpu);
            answered += i64::from(measured.count());
            result.0.push(measured.per_second());
            result.1.push(measured.percentile(50).as_secs_f64());
            result.2.push(measured.percentile(99).as_secs_f64());
            result.3.push(cpu.as_secs_f64() * 1e6 / f64::from(measured.count()));
        }
    }
    let mut table = Table::new(
        &format!("Rows of a query, {CONNECTIONS} connections, medians of {rounds} rounds of {}", time(long)),
        &["server", "answers/s", "p50", "p99", "CPU per answer", "throughput / its"],
    );
    for ((name, ..), result) in servers.iter().zip(&results) {
        let seconds = |values: &[f64]| time(Duration::from_secs_f64(median(values.iter().copied())));
        let ratio = median(results[0].0.iter().zip(&result.0).map(|(ours, its)| ours / its));
        table.row([
            (*name).to_owned(),
            format!("{:.0}", median(result.0.iter().copied())),
            seconds(&result.1),
            seconds(&result.2),
            format!("{:.1} µs", median(result.3.iter().copied())),
            format!("{ratio:.1}"),
        ]);
    }
    table.print();
    let asked = runtime.block_on(queries(&server)) - before;
    println!("\nPostgreSQL counts {asked} transactions for {answered} answers of both.");
    assert!(asked >= answered, "every question is a query");
}

/// The tenants, and whoever comes from this machine may look: the plugin that is compared brings no password.
async fn prepare(server: &Postgres) {
    server.create_database("organization").await;
    server.execute("organization", SCHEMA).await;
    let trust = "DO $$ BEGIN EXECUTE format('COPY (SELECT ''host all all 127.0.0.1/32 trust'') TO %L', \
                 current_setting('hba_file')); PERFORM pg_reload_conf(); END $$";
    server.execute(ADMIN, trust).await;
}

/// How many transactions there were in the database.
async fn queries(server: &Postgres) -> i64 {
    let mut connection = server.connect("organization").await;
    // What idle connections have counted is told after ten seconds.
    let until = Instant::now() + Duration::from_secs(11);
    tokio::time::sleep_until(until.into()).await;
    let count = "SELECT xact_commit FROM pg_stat_database WHERE datname = 'organization'";
    sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap()
}

/// Each question is to be a query: the pace at which a token's holder may make it look is out of the way.
fn lastgreen(server: &Postgres, folder: &Path) -> (Process, std::net::SocketAddr) {
    let (listen, ops) = (free_port(), free_port());
    let place = folder.display();
    let text = format!(
        "listen: {listen}
ops: {{ listen: \"{ops}\" }}
tokenFile: {place}/token
ledger: {{ url: \"sqlite://{place}/ledger.db\" }}
inbound: {{ perSecond: 1000000, burst: 1000000 }}
generators:
  tenants:
    sql:
      url: postgres://postgres@127.0.0.1:{}/organization
      query: SELECT tenant, status FROM organization
",
        server.port()
    );
    let config = folder.join("config.yaml");
    fs::write(&config, text).unwrap();
    let process =
        Process::start(Command::new(env!("CARGO_BIN_EXE_lastgreen")).arg("serve").arg("--config").arg(config));
    assert!(listens(ops) && listens(listen), "lastgreen does not start");
    (process, listen)
}

/// The tenants of an answer, in order.
fn tenants(answer: &str) -> Vec<String> {
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let items = body["output"]["parameters"].as_array().unwrap();
    let mut tenants: Vec<_> = items.iter().map(|item| format!("{} {}", item["tenant"], item["status"])).collect();
    tenants.sort();
    tenants
}
