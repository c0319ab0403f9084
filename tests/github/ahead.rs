//! What is fetched ahead of questions: it leaves them their part of every limit.

use std::time::Duration;

use lastgreen::{
    clock::{Clock as _, Moment},
    upstream::{Kind, UpstreamError, urgency},
};
use lastgreen_sim::{Budget, Service};

use crate::stage::{Stage, branch, repo, world};

/// A stage whose credential has used so much of its 5,000 points, by whomever, with so much time to the reset.
async fn used(points: u64, reset_in: Duration) -> Stage {
    let stage = Stage::new(world()).await;
    stage.sim.world(|world| {
        let reset_at = world.now + chrono::TimeDelta::from_std(reset_in).unwrap();
        world.github.budgets.insert("user:lastgreen-bot/graphql".to_owned(), Budget { used: points, reset_at });
    });
    stage.branch("main").await.unwrap();
    stage.sim.reset_counts();
    stage
}

async fn ahead(stage: &Stage, name: &str) -> Result<(), UpstreamError> {
    urgency::ahead(stage.branch(name)).await.map(drop)
}

#[tokio::test]
async fn beyond_its_share_only_questions_are_sent() {
    let stage = used(3000, Duration::from_mins(10)).await;
    let error = ahead(&stage, "feature").await.unwrap_err();
    assert!(error.only_ahead && matches!(error.kind, Kind::Limited { .. }));
    assert_eq!(stage.pause(&error), Duration::from_mins(10));
    assert_eq!(stage.sim.counts().graphql, 0);
    // That is neither trouble nor the answer to a question.
    assert_eq!(stage.github.well_since(&repo()), Some(Moment::START));
    stage.branch("feature").await.unwrap();
    assert_eq!(stage.sim.counts().graphql, 1);
    stage.advance(Duration::from_mins(10));
    ahead(&stage, "feature").await.unwrap();
}

#[tokio::test]
async fn its_share_is_spread_to_the_reset() {
    // With the hour half over, 1,750 may be used; 2,000 when 24 minutes are left.
    let stage = used(1700, Duration::from_mins(30)).await;
    ahead(&stage, "feature").await.unwrap();
    let stage = used(1999, Duration::from_mins(30)).await;
    let error = ahead(&stage, "feature").await.unwrap_err();
    assert_eq!(stage.pause(&error), Duration::from_mins(6));
    stage.advance(Duration::from_mins(6));
    ahead(&stage, "feature").await.unwrap();
}

#[tokio::test]
async fn what_is_used_up_is_used_up_for_all() {
    let stage = used(4999, Duration::from_mins(10)).await;
    let question = stage.failure().await;
    assert!(!question.only_ahead);
    assert!(ahead(&stage, "feature").await.is_err());
    assert_eq!(stage.sim.counts().graphql, 0);
}

#[tokio::test]
async fn a_few_at_a_time_and_a_question_beside_them() {
    let stage = Stage::new(world()).await;
    stage.sim.hold(Service::GitHub);
    let since = stage.clock.now();
    let ask = |name: String, urgency: urgency::Urgency| {
        let github = std::sync::Arc::clone(&stage.github);
        tokio::spawn(urgency.scope(async move { github.snapshot(branch(&name), since).await }))
    };
    let ahead: Vec<_> = (0..10).map(|number| ask(format!("ahead-{number}"), urgency::Urgency::ahead())).collect();
    stage.sim.wait_for(|counts| counts.graphql == 3).await;
    let question = ask("feature".to_owned(), urgency::Urgency::question());
    stage.sim.wait_for(|counts| counts.graphql == 4).await;
    // One that was begun ahead, and now has a question waiting for it.
    let raised = ask("ahead-9".to_owned(), urgency::Urgency::question());
    stage.sim.wait_for(|counts| counts.graphql == 5).await;
    stage.sim.release(Service::GitHub);
    for task in ahead.into_iter().chain([question, raised]) {
        task.await.unwrap().unwrap();
    }
    assert_eq!(stage.sim.counts().graphql, 11);
}
