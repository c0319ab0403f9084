//! The server below the routers: HTTP/1 connections with time-outs, and an orderly end.

use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{Request, Response},
};
use hyper::{body::Incoming, rt::Timer as _, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::own_wakes::OwnWakes;
use crate::clock::SharedClock;

/// How long a connection may take at least, and twice that at most, to bring a request's head, idle time included. Argo
/// CD keeps connections for 90 s, and a request sent on one that was just closed freezes its whole set.
const IDLE: Duration = Duration::from_mins(2);

/// How long requests under way may take after the end was asked for: longer than any answer is due.
pub const DRAIN: Duration = Duration::from_secs(25);

/// How long is waited when no connection can be accepted (out of file descriptors).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What answers requests.
pub trait Service: Clone + Send + 'static {
    /// The body of its answers.
    type Body: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static;

    /// Answers a request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send + use<Self>;
}

impl<A, F, B> Service for A
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    type Body = B;

    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<B>> + Send + use<A, F, B> {
        self(request)
    }
}

/// The routes as what answers requests.
pub fn routed(router: Router) -> impl Service {
    move |request: Request<Incoming>| {
        let router = router.clone();
        async move { router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}) }
    }
}

/// Serves until `end` completes, then lets requests under way finish, for as long as `drain` at most.
pub async fn serve(
    listener: TcpListener,
    service: impl Service,
    clock: SharedClock,
    end: impl Future<Output = ()> + Send,
    drain: Duration,
) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut end => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                clock.sleep_until(clock.now() + ACCEPT_AGAIN).await;
                continue;
            }
        };
        // Answers are small and complete: waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let service = service.clone();
        let turns = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&turns);
        let service = service_fn(move |request| {
            let (answer, turns) = (service.answer(request), Arc::clone(&turns));
            turns.fetch_add(1, Ordering::Relaxed);
            async move {
                let answer = answer.await;
                turns.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new().max_buf_size(64 * 1024).serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(OwnWakes::new(async move {
            tokio::select! {
                biased;
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended badly");
                },
                () = idle(&seen, async || TokioTimer::new().sleep(IDLE).await) => tracing::debug!("a connection was closed: nobody asked anything on it"),
            }
        }));
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = clock.sleep_until(clock.now() + drain) => tracing::warn!("requests under way were cut off"),
    }
    Ok(())
}

/// Completes when a connection brought no request for long; `turns` counts the beginnings and ends of requests. One look
/// every now and then, for a timer of each request would cost more than the answer from memory.
async fn idle(turns: &AtomicU64, mut rest: impl AsyncFnMut()) {
    let mut before = None;
    loop {
        let now = turns.load(Ordering::Relaxed);
        let is_waiting = now.is_multiple_of(2);
        if is_waiting && before == Some(now) {
            return;
        }
        before = Some(now);
        rest().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_idle_when_nothing_was_asked_for_long() {
        let turns = AtomicU64::new(0);
        // Asked and answered, asked again, still under way, answered, nothing, nothing.
        let mut then = [2, 3, 3, 4, 4, 4].into_iter();
        let rest = async || turns.store(then.next().unwrap(), Ordering::Relaxed);
        idle(&turns, rest).await;
        assert_eq!(then.count(), 1);
    }
}
