//! A future that wakes itself is polled again at once.
//!
//! hyper wakes its own connection whenever a handler has read a request's body. Told of that, the runtime puts the
//! connection at the end of its queue, behind all others, and wakes an idle thread to look for work: some 1.5 calls of the
//! system for each answer from memory, and with 64 connections the slowest took three times as long (docs/performance.md).

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// How often it is polled in one turn at most: others want a turn, too.
const AT_ONCE: usize = 16;

const RESTING: u8 = 0;
const POLLED: u8 = 1;
/// Set beside the others.
const WOKEN: u8 = 2;

/// Polls a future again while it wakes itself.
pub(super) struct OwnWakes<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    /// What the future is given to wake: `wakes`.
    waker: Waker,
}

struct Wakes {
    state: AtomicU8,
    task: AtomicWaker,
}

impl<F: Future> OwnWakes<F> {
    pub(super) fn new(future: F) -> Self {
        let wakes = Arc::new(Wakes { state: AtomicU8::new(RESTING), task: AtomicWaker::new() });
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&wakes)), wakes }
    }
}

impl<F: Future> Future for OwnWakes<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, wakes, waker } = &mut *self;
        wakes.task.register(context.waker());
        for _ in 0..AT_ONCE {
            // Whoever woke it before this is seen by the poll, and need not be waited for.
            wakes.state.swap(POLLED, Ordering::AcqRel);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            if wakes.state.compare_exchange(POLLED, RESTING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return Poll::Pending;
            }
        }
        wakes.state.store(RESTING, Ordering::Release);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) & POLLED == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn told(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// A future that wakes itself so often, then waits, and is ready when it is woken after that.
    fn restless(times: usize) -> (impl Future<Output = usize>, Arc<AtomicWaker>) {
        let (outside, inside) = (Arc::new(AtomicWaker::new()), Arc::new(AtomicWaker::new()));
        let (mut polls, given) = (0, Arc::clone(&outside));
        let future = poll_fn(move |context| {
            polls += 1;
            inside.register(context.waker());
            given.register(context.waker());
            if polls <= times {
                inside.wake();
            }
            if polls > times + 1 { Poll::Ready(polls) } else { Poll::Pending }
        });
        (future, outside)
    }

    #[test]
    fn the_runtime_is_told_of_strangers_wakes_only() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let (future, outside) = restless(3);
        let mut future = Box::pin(OwnWakes::new(future));
        assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(count.told(), 0);
        outside.wake();
        assert_eq!(count.told(), 1);
        assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(5));
    }

    #[test]
    fn others_get_their_turn() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let (future, outside) = restless(2 * AT_ONCE);
        let mut future = Box::pin(OwnWakes::new(future));
        for turn in 1..=2 {
            assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
            assert_eq!(count.told(), turn);
        }
        assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(count.told(), 2, "it rests");
        outside.wake();
        assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(2 * AT_ONCE + 2));
    }

    #[tokio::test]
    async fn wakes_from_other_threads_are_never_lost() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
        let sent = std::thread::spawn(move || {
            for number in 0..10_000_u32 {
                sender.blocking_send(number).unwrap();
            }
        });
        let sum = OwnWakes::new(async move {
            let mut sum = 0;
            while let Some(number) = receiver.recv().await {
                sum += u64::from(number);
            }
            sum
        });
        assert_eq!(tokio::spawn(sum).await.unwrap(), 10_000 * 9_999 / 2);
        sent.join().unwrap();
    }
}
