//! Callers that hang up, wherever the answer to them is then.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use lastgreen_sim::{Fault, Target, What};

use crate::{
    postgres::Postgres,
    stage::{Replica, Stage},
};

/// Drops an answer after so many steps, if it is not there by then.
async fn steps<T>(answer: impl Future<Output = T>, mut left: usize) -> Option<T> {
    let mut answer = pin!(answer);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        answer.as_mut().poll(context).map(Some)
    })
    .await
}

/// Hangs up after one step, after two, and so on until the answer comes first: each time a process that was just started,
/// which must read what was recorded and write what is new.
async fn nothing_is_lost(stage: &Stage, start: impl AsyncFn() -> Replica) {
    stage.pull(1, "feature", "c0");
    for left in 1.. {
        let digest = stage.pushed("feature", &format!("c{left}"));
        let replica = start().await;
        let whole = steps(replica.ask("feature"), left).await;
        replica.ask("feature").await.is(&digest, "fresh");
        replica.crash().await;

        stage.sim.fail(Fault::always(Target::GitHub, What::Status(502, String::new())));
        let replica = start().await;
        steps(replica.ask("feature"), left).await;
        replica.ask("feature").await.is(&digest, "held");
        replica.crash().await;
        stage.sim.clear_faults();
        if let Some(whole) = whole {
            whole.is(&digest, "fresh");
            assert!(left > 2, "it was there at once");
            return;
        }
    }
}

#[tokio::test]
async fn who_hangs_up_takes_nothing_along() {
    let stage = Stage::new().await;
    nothing_is_lost(&stage, async || stage.on_file()).await;
}

#[tokio::test]
async fn nor_from_a_database() {
    let Some(server) = Postgres::shared() else { return };
    let stage = Stage::new().await;
    let url = server.create_database("hangups").await;
    nothing_is_lost(&stage, async || {
        let replica = stage.on_database(&url);
        // A login alone is hundreds of steps.
        replica.refresh().await.unwrap();
        replica
    })
    .await;
}
