//! Ten thousand lines: a page of them is as small and as quick as ever, and so are the metrics.
//!
//! No test depends on time: how long it took is printed (`--nocapture`), and `docs/explain.md` has the last numbers.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use lastgreen::{
    clock::Clock as _,
    domain::{
        Answer, Branch, Build, BuiltImage, Check, CheckState, CiPolicy, Commit, CommitSha, Digest, Images, Line,
        Question, ReadTime, Role, Source, Standing, Verdict, judge,
    },
    generator::Seen,
    ledger::{Candidate, LineKey},
    parts::build::{Considered, Found, Look, Meant},
};

use crate::stage::{Reply, Stage};

const LINES: u64 = 10_000;

fn commit(number: u64) -> Arc<Commit> {
    let check = |name: &str| Check {
        source: Source::Run { app: Some(1), workflow: Some("CI".into()), event: Some("push".into()) },
        name: name.into(),
        state: CheckState::Passed,
        word: "success".into(),
        started_at: None,
        changed_at: None,
        id: number,
    };
    let sha: CommitSha = format!("{number:040x}").parse().unwrap();
    let checks = ["build", "lint", "unit", "e2e"].map(check).to_vec();
    Arc::new(Commit { sha, parents: Vec::new(), checks, more_checks: None })
}

/// How much memory the process has, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn branch(number: u64) -> Branch {
    format!("feature/ticket-{number}-with-a-name-as-people-write").parse().unwrap()
}

fn digest(number: u64) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

/// Records so many lines and notes their answers, as they were if all of them had been asked for.
async fn answer_all(stage: &Stage, lines: std::ops::RangeInclusive<u64>) {
    let question = |number, branch| Question { application_set: "set".to_owned(), branch, number, head_sha: None };
    let resolution =
        stage.generator.explain(&question(Some(LINES + 1), "the-real-one".parse().unwrap())).await.unwrap();
    let item = stage.generator.item_of(&resolution).unwrap();
    let repository = resolution.line.unwrap().key.repository;
    let now = stage.clock.now();
    let key = |number| LineKey { generator: Arc::clone(stage.generator.name()), repository, line: Line::Pull(number) };
    let policy = CiPolicy { settle: Duration::ZERO, ..CiPolicy::default() };
    let time = ReadTime { read_at: stage.clock.wall(), first_seen: chrono::DateTime::UNIX_EPOCH };
    let mut commits = Vec::new();
    for number in lines.clone() {
        let commit = commit(number);
        let Verdict::Green(green) = judge(&commit, &policy, time) else { panic!("{commit:?}") };
        let digest = digest(number);
        let image = |name: &str| BuiltImage {
            image: format!("ghcr.io/myorg/{name}").parse().unwrap(),
            tag: format!("sha-{}", commit.sha).parse().unwrap(),
            digest: digest.clone(),
            labels: BTreeMap::new(),
            built_from: commit.sha,
        };
        let found = [("digestFront", image("front")), ("digestBack", image("back"))];
        let found = found.map(|(key, image)| (key.to_owned(), image)).into();
        let build = Build::new(green, None, Images::complete(["digestFront", "digestBack"], found).unwrap());
        let candidate = Candidate { build, branch: branch(number), own: true, as_of: now, newer: Vec::new() };
        stage.ledger.record(&key(number), &candidate, now + Duration::from_mins(1)).await.unwrap();
        commits.push((commit, green, digest));
    }
    let before = resident();
    for (number, (commit, green, digest)) in lines.zip(&commits) {
        let look = |name: &str| Look {
            key: name.to_owned(),
            reference: format!("ghcr.io/myorg/{name}:sha-{}", commit.sha),
            found: Found::Yes { digest: digest.clone() },
        };
        let considered = Considered {
            roles: commit.checks.iter().map(|_| Role::Counts(CheckState::Passed)).collect(),
            verdict: Ok(Verdict::Green(*green)),
            looks: vec![look("front"), look("back")],
            commit: Arc::clone(commit),
        };
        let meant = Meant { key: key(number), branch: branch(number), own: true };
        let (considered, found) = ([considered].into(), Some(commit.sha));
        let seen = Seen { line: Some(meant), considered, found, as_of: now, again_at: None, is_final: true };
        let (standing, reason) = match number % 10 {
            0 => (Standing::Held, format!("{} is red (build)", commit.sha.short(7))),
            _ => (Standing::Fresh, String::new()),
        };
        let answer = Answer::Item { item: item.clone(), standing, commit: commit.sha, reason };
        stage.generator.book().note(&question(Some(number), branch(number)), Some(seen), Ok(&answer), now);
    }
    let more = resident().saturating_sub(before);
    println!("what was answered last of {} lines, with their stories: {more} KiB", commits.len());
}

/// The names and labels of what Prometheus is told.
async fn series(stage: &Stage) -> Vec<String> {
    let page = timed("a scrape", || stage.look("/metrics")).await;
    let samples = page.text.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<_> = samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect();
    println!("{} series, {} bytes", names.len(), page.text.len());
    names
}

#[tokio::test]
async fn a_page_of_ten_thousand_lines() {
    let stage = Stage::new().await;
    // One of them is asked for, and tells what an answer looks like.
    stage.pull(LINES + 1, "the-real-one", "a1");
    stage.built("a1");
    stage.ask("the-real-one", None).await;
    answer_all(&stage, 1..=10).await;
    let few = series(&stage).await;
    assert!(few.iter().any(|name| name.starts_with("lastgreen_lines{")), "{few:?}");
    answer_all(&stage, 11..=LINES).await;
    assert_eq!(series(&stage).await, few, "no line has a series of its own");
    stage.asked();
    for path in [
        "/explain",
        "/explain?sort=branch&page=50",
        "/explain?standing=held",
        "/explain?q=ticket-77+red",
        "/explain?number=777",
    ] {
        let page = timed(path, || stage.page(path)).await;
        assert_eq!(page.status, 200);
        println!("{path}: {} bytes", page.text.len());
        assert!(page.text.len() < 200 * 1024, "{path}: {} bytes", page.text.len());
    }
    let json = timed("as JSON", || stage.look("/explain")).await;
    println!("as JSON: {} bytes", json.text.len());
    let list = json.json();
    assert_eq!((list["lines"].as_array().unwrap().len(), &list["total"]), (200, &serde_json::json!(LINES + 1)));
    assert_eq!((&list["counts"]["held"], &list["pages"]), (&serde_json::json!(1000), &serde_json::json!(51)));
    let first = stage.page("/explain").await.text;
    assert_eq!(first.matches("<tr ").count(), 201);
    assert!(first.contains("1–200 of 10,001"), "{first}");
    assert_eq!(stage.asked(), (0, 0));
}

/// The quickest of some, which has waited for nobody else.
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn timed<F: Future<Output = Reply>>(what: &str, work: impl Fn() -> F) -> Reply {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        work().await;
        quickest = quickest.min(began.elapsed());
    }
    println!("{what}: {quickest:?}");
    work().await
}
