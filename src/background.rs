//! Work beside the answering, from the start of the process to its end.
//!
//! A [`Background`] is described when everything is built and started when it is run. [`Tasks`] watches over those
//! that run: one that ends before it was told to is gone for good, and nobody would notice, so that ends the process.
//! At the end, when nobody is answered any more, each is told in its turn and may finish what it has begun.

use std::{
    any::Any,
    error::Error,
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
};

use crate::clock::SharedClock;

/// How long a task may take to finish what it has begun.
const FINISH: Duration = Duration::from_secs(3);

/// Why a task failed.
pub type Failure = Box<dyn Error + Send + Sync>;

type Work = Box<dyn FnOnce(Stop) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// A task that was not started yet.
pub struct Background {
    name: &'static str,
    work: Work,
}

impl Background {
    /// Describes a task. It must not end before [`Stop::told`] completes, and should end soon after.
    pub fn new<F>(name: &'static str, work: impl FnOnce(Stop) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Self { name, work: Box::new(move |stop| Box::pin(work(stop))) }
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Background").field(&self.name).finish()
    }
}

/// Tells a task when to finish.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Completes once the task is told to finish.
    pub async fn told(&mut self) {
        // Nobody is left to tell it where the sender is gone.
        let _ = self.0.wait_for(|told| *told).await;
    }
}

/// A task that ended as none may.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("the background task `{name}` {how}")]
pub struct Died {
    name: &'static str,
    how: How,
}

#[derive(Debug, PartialEq, Eq, Error)]
enum How {
    #[error("ended without being told to")]
    Ended,
    #[error("failed: {0}")]
    Failed(String),
    #[error("panicked: {0}")]
    Panicked(String),
}

impl How {
    /// What is wrong with the end of a task, if anything is.
    fn of(ended: Result<Result<(), Failure>, JoinError>) -> Option<Self> {
        match ended {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(Self::Failed(failure.to_string())),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => Some(Self::Panicked(words(&*panic))),
                Err(_) => None,
            },
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "without a word".to_owned(),
    }
}

/// A task that runs; dropping it aborts it.
struct Task {
    name: &'static str,
    stop: watch::Sender<bool>,
    handle: JoinHandle<Result<(), Failure>>,
}

impl Task {
    fn start(background: Background) -> Self {
        let (stop, told) = watch::channel(false);
        Self { name: background.name, stop, handle: tokio::spawn((background.work)(Stop(told))) }
    }

    /// The end of a task that was not told to.
    fn poll_died(&mut self, context: &mut Context<'_>) -> Poll<Died> {
        let ended = Pin::new(&mut self.handle).poll(context);
        ended.map(|ended| Died { name: self.name, how: How::of(ended).unwrap_or(How::Ended) })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// The tasks that run.
pub struct Tasks {
    running: Vec<Task>,
    clock: SharedClock,
}

impl Tasks {
    /// Starts them all.
    pub fn start(tasks: Vec<Background>, clock: SharedClock) -> Self {
        Self { running: tasks.into_iter().map(Task::start).collect(), clock }
    }

    /// Completes when one has died; never where all is well.
    pub async fn died(&mut self) -> Died {
        poll_fn(|context| {
            for index in 0..self.running.len() {
                if let Poll::Ready(died) = self.running[index].poll_died(context) {
                    self.running.remove(index);
                    return Poll::Ready(died);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Tells one after the other to finish, in the order in which they were given, and waits for each. The first that
    /// has died, or fails to finish, is the error; those that do not finish in time are cut off.
    pub async fn stop(mut self) -> Result<(), Died> {
        let mut died = Ok(());
        for mut task in self.running.drain(..) {
            let name = task.name;
            let on_its_own = task.handle.is_finished();
            task.stop.send_replace(true);
            let ended = tokio::select! {
                biased;
                ended = &mut task.handle => ended,
                () = self.clock.sleep_until(self.clock.now() + FINISH) => {
                    tracing::warn!(task = name, "a background task was cut off: it did not finish in time");
                    continue;
                }
            };
            let how = How::of(ended).or(on_its_own.then_some(How::Ended));
            died = died.and(how.map_or(Ok(()), |how| Err(Died { name, how })));
        }
        died
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use chrono::DateTime;
    use tokio::sync::oneshot;

    use super::*;
    use crate::clock::ManualClock;

    type Notes = Arc<Mutex<Vec<&'static str>>>;

    fn clock() -> ManualClock {
        ManualClock::new(DateTime::UNIX_EPOCH)
    }

    fn start(tasks: Vec<Background>) -> Tasks {
        Tasks::start(tasks, Arc::new(clock()))
    }

    /// A task that notes its end once it is told.
    fn well(name: &'static str, notes: &Notes) -> Background {
        let notes = Arc::clone(notes);
        Background::new(name, move |mut stop| async move {
            stop.told().await;
            notes.lock().unwrap().push(name);
            Ok(())
        })
    }

    #[tokio::test]
    async fn they_finish_in_their_order() {
        let notes = Notes::default();
        let tasks = start(vec![well("first", &notes), well("second", &notes), well("third", &notes)]);
        assert_eq!(tasks.stop().await, Ok(()));
        assert_eq!(*notes.lock().unwrap(), ["first", "second", "third"]);
        assert_eq!(start(Vec::new()).stop().await, Ok(()));
    }

    #[tokio::test]
    async fn one_that_dies_is_named() {
        for (task, told) in [
            (Background::new("odd", |_| async { Ok(()) }), "ended without being told to"),
            (Background::new("odd", |_| async { Err("no disk".into()) }), "failed: no disk"),
            (Background::new("odd", |_| async { panic!("of {}", "fear") }), "panicked: of fear"),
            (Background::new("odd", |_| async { panic!("at once") }), "panicked: at once"),
        ] {
            let notes = Notes::default();
            let mut tasks = start(vec![well("first", &notes), task, well("last", &notes)]);
            assert_eq!(tasks.died().await.to_string(), format!("the background task `odd` {told}"));
            // The others are not harmed.
            assert_eq!(tasks.stop().await, Ok(()));
            assert_eq!(*notes.lock().unwrap(), ["first", "last"]);
        }
    }

    #[tokio::test]
    async fn a_death_that_nobody_waited_for_is_told_at_the_end() {
        let (dead, died) = oneshot::channel::<()>();
        let odd = Background::new("odd", |_| async {
            let _dropped_when_it_ends = dead;
            Ok(())
        });
        let notes = Notes::default();
        let tasks = start(vec![odd, well("last", &notes)]);
        assert!(died.await.is_err());
        assert_eq!(tasks.stop().await, Err(Died { name: "odd", how: How::Ended }));
        assert_eq!(*notes.lock().unwrap(), ["last"]);
    }

    #[tokio::test]
    async fn a_failure_to_finish_is_an_error_and_the_others_still_finish() {
        let notes = Notes::default();
        let odd = Background::new("odd", |mut stop| async move {
            stop.told().await;
            Err("no disk".into())
        });
        let died = start(vec![odd, well("last", &notes)]).stop().await.unwrap_err();
        assert_eq!(died.to_string(), "the background task `odd` failed: no disk");
        assert_eq!(*notes.lock().unwrap(), ["last"]);
    }

    #[tokio::test]
    async fn one_that_does_not_finish_is_cut_off() {
        let clock = clock();
        let notes = Notes::default();
        let (alive, gone) = oneshot::channel::<()>();
        let stuck = Background::new("stuck", |_| async {
            let _dropped_when_it_is_cut_off = alive;
            std::future::pending().await
        });
        let tasks = Tasks::start(vec![stuck, well("last", &notes)], Arc::new(clock.clone()));
        let stopping = tokio::spawn(tasks.stop());
        clock.sleeping(1).await;
        assert!(notes.lock().unwrap().is_empty());
        clock.advance(FINISH);
        assert_eq!(stopping.await.unwrap(), Ok(()));
        assert!(gone.await.is_err());
        assert_eq!(*notes.lock().unwrap(), ["last"]);
    }
}
