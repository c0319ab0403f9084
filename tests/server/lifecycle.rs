//! The end of the process: who is answered when, and what ends first.

use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use lastgreen::{app::End, background::Background, clock::ManualClock};
use lastgreen_sim::{Sim, Target};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use crate::{
    TOKEN, app,
    http::{Client, Reply, about, question},
    world,
};

/// The whole process, with a clock that stands still.
struct Process {
    sim: Sim,
    clock: ManualClock,
    plugin: SocketAddr,
    ops: SocketAddr,
    front: String,
    end: mpsc::Sender<End>,
    run: JoinHandle<anyhow::Result<()>>,
    _folder: tempfile::TempDir,
}

impl Process {
    async fn new(background: Vec<Background>) -> Self {
        let (sim, clock, front) = world().await;
        let folder = tempfile::tempdir().unwrap();
        let mut app = app(&sim, &clock, folder.path());
        app.background = background;
        let plugin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ops = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = (plugin.local_addr().unwrap(), ops.local_addr().unwrap());
        let (end, ends) = mpsc::channel(2);
        let run = tokio::spawn(app.run(plugin, ops, ends));
        Self { sim, clock, plugin: addresses.0, ops: addresses.1, front, end, run, _folder: folder }
    }

    /// Asks on a connection of its own.
    fn ask(&self) -> Reply {
        let mut client = Client::connect(self.plugin);
        client.send(question(TOKEN, &about("feature", None)));
        client.reply()
    }

    #[track_caller]
    fn is_answered(&self, reply: &Reply) {
        assert!(reply.status() == 200 && reply.body.contains(&self.front), "{reply:?}");
    }

    fn health(&self, path: &str) -> u16 {
        let mut client = Client::connect(self.ops);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: lastgreen\r\n\r\n"));
        client.reply().status()
    }

    /// A question that waits for GitHub.
    async fn under_way(&self) -> Client {
        self.sim.hold(Target::GraphQl);
        let before = self.sim.counts().graphql;
        let mut client = Client::connect(self.plugin);
        client.send(question(TOKEN, &about("other", None)));
        self.sim.wait_for(|counts| counts.graphql > before).await;
        client
    }

    async fn ended(self) -> anyhow::Result<()> {
        let ended = self.run.await.unwrap();
        for address in [self.plugin, self.ops] {
            assert!(TcpStream::connect(address).is_err());
        }
        ended
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_first_then_everybody_is_answered_for_a_while() {
    let process = Process::new(Vec::new()).await;
    let mut kept = Client::connect(process.plugin);
    kept.send(question(TOKEN, &about("feature", None)));
    let reply = kept.reply();
    process.is_answered(&reply);
    assert_eq!(reply.header("connection"), None);
    assert_eq!((process.health("/readyz"), process.health("/livez")), (200, 200));

    process.end.send(End::Orderly).await.unwrap();
    let left = process.clock.sleeping_within(Duration::from_secs(5)).await;
    assert!(left > Duration::from_secs(4), "{left:?}");
    assert_eq!((process.health("/readyz"), process.health("/livez")), (503, 200));
    // Nobody is refused, and everybody is told to come back on another connection.
    kept.send(question(TOKEN, &about("feature", None)));
    for reply in [kept.reply(), process.ask()] {
        process.is_answered(&reply);
        assert_eq!(reply.header("connection"), Some("close"));
    }
    let mut idle = Client::connect(process.plugin);

    let mut slow = process.under_way().await;
    process.clock.advance(left);
    // The listener is gone before the connections are told.
    assert!(idle.is_closed());
    assert!(TcpStream::connect(process.plugin).is_err());
    assert_eq!((process.health("/readyz"), process.health("/livez")), (503, 200));
    assert!(!process.run.is_finished());
    process.sim.release(Target::GraphQl);
    assert_eq!(slow.reply().status(), 200);
    process.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_twice_or_in_person_does_not_wait() {
    for ends in [vec![End::Orderly, End::Orderly], vec![End::Orderly, End::Soon], vec![End::Soon]] {
        let process = Process::new(Vec::new()).await;
        for end in ends {
            process.end.send(end).await.unwrap();
        }
        process.ended().await.unwrap();
    }
    // The clock stood still all the while.
}

#[tokio::test(flavor = "multi_thread")]
async fn background_tasks_finish_after_the_last_answer() {
    let (told, may_finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let writer = {
        let (told, may_finish) = (Arc::clone(&told), Arc::clone(&may_finish));
        Background::new("writer", |mut stop| async move {
            stop.told().await;
            told.notify_one();
            may_finish.notified().await;
            Ok(())
        })
    };
    let process = Process::new(vec![writer]).await;
    let mut slow = process.under_way().await;
    let mut idle = Client::connect(process.plugin);
    process.end.send(End::Soon).await.unwrap();
    assert!(idle.is_closed());
    process.sim.release(Target::GraphQl);
    assert_eq!(slow.reply().status(), 200);
    told.notified().await;
    assert_eq!((process.health("/readyz"), process.health("/livez")), (503, 200));
    may_finish.notify_one();
    process.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_task_that_dies_ends_everything() {
    for leaving in [false, true] {
        let death = Arc::new(Notify::new());
        let listener = {
            let death = Arc::clone(&death);
            Background::new("listener", |_| async move {
                death.notified().await;
                Err("the connection is gone".into())
            })
        };
        let process = Process::new(vec![listener]).await;
        let mut slow = process.under_way().await;
        let mut idle = Client::connect(process.plugin);
        if leaving {
            process.end.send(End::Orderly).await.unwrap();
            process.clock.sleeping_within(Duration::from_secs(5)).await;
        }
        death.notify_one();
        assert!(idle.is_closed());
        assert!(TcpStream::connect(process.plugin).is_err());
        assert_eq!((process.health("/readyz"), process.health("/livez")), (503, 200));
        // Who asked before is answered all the same.
        process.sim.release(Target::GraphQl);
        assert_eq!(slow.reply().status(), 200);
        let error = process.ended().await.unwrap_err();
        assert_eq!(error.to_string(), "the background task `listener` failed: the connection is gone");
    }
}
