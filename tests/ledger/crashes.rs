//! Killed again and again while it answers.

use std::{
    fs,
    sync::mpsc::{Sender, channel},
};

use lastgreen_sim::{Fault, Target, What};
use sqlx::Connection as _;

use crate::{
    files::outsider,
    http::{Client, about, question},
    program::{Serving, digest},
    stage::Stage,
};

const ROUNDS: u32 = 15;
const BRANCHES: usize = 8;

/// Asks about all branches until the program is gone; the digests that came, in their order, by branch.
fn ask_until_killed(address: std::net::SocketAddr, answers: &Sender<()>) -> Vec<(usize, String)> {
    let mut received = Vec::new();
    loop {
        for branch in 0..BRANCHES {
            // What breaks off was not received.
            let asked = std::panic::catch_unwind(|| {
                let mut client = Client::connect(address);
                client.send(question("strong-password", &about(&format!("branch-{branch}"), None)));
                client.reply()
            });
            let Ok(reply) = asked else { return received };
            // Nobody counts any more once there were enough.
            let _ = answers.send(());
            if let Some(digest) = digest(&reply.body) {
                received.push((branch, digest));
            }
        }
    }
}

/// Notes which build was received.
fn note(builds: &[String], last: &mut Option<usize>, digest: &str) {
    let at = builds.iter().position(|known| known == digest).unwrap();
    assert!(last.is_none_or(|last| at >= last), "an older build follows a newer one");
    *last = Some(at);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_outlives_every_kill() {
    let stage = Stage::new().await;
    let config = stage.folder.path().join("config.yaml");
    fs::write(&config, stage.config(&format!("url: \"sqlite://{}\"", stage.file().display()))).unwrap();
    for branch in 0..BRANCHES {
        stage.pull(branch as u64 + 1, &format!("branch-{branch}"), &format!("c{branch}-0"));
    }
    // The builds of each branch in their order, and the last one that was received.
    let mut builds: Vec<Vec<String>> = (0..BRANCHES).map(|branch| vec![stage.built(&format!("c{branch}-0"))]).collect();
    let mut last = [None::<usize>; BRANCHES];
    let mut random = fastrand::Rng::with_seed(7);
    for round in 1..=ROUNDS {
        let serving = Serving::start(&config);
        let (address, (answer, answers)) = (serving.plugin, channel());
        let client = std::thread::spawn(move || ask_until_killed(address, &answer));
        for (branch, builds) in builds.iter_mut().enumerate() {
            builds.push(stage.pushed(&format!("branch-{branch}"), &format!("c{branch}-{round}")));
        }
        // So many answers later, wherever it is then.
        let enough = random.usize(0..2 * BRANCHES);
        assert_eq!(answers.iter().take(enough).count(), enough);
        serving.kill();
        for (branch, digest) in client.join().unwrap() {
            note(&builds[branch], &mut last[branch], &digest);
        }
    }
    let mut ledger = outsider(&stage).await;
    let (whole,): (String,) = sqlx::query_as("PRAGMA integrity_check").fetch_one(&mut ledger).await.unwrap();
    assert_eq!(whole, "ok");
    ledger.close().await.unwrap();
    // Nobody else can say what it was.
    stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
    stage.sim.fail(Fault::always(Target::Registry, What::Status(502, String::new())));
    let serving = Serving::start(&config);
    let mut held = 0;
    for branch in 0..BRANCHES {
        let reply = serving.ask(&format!("branch-{branch}"));
        if let Some(digest) = digest(&reply.body) {
            note(&builds[branch], &mut last[branch], &digest);
            held += 1;
        } else {
            assert_eq!(last[branch], None, "{reply:?}");
        }
    }
    assert!(held > 0);
}
