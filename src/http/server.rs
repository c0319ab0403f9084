//! The server below the routers: HTTP/1 connections with time-outs, and an orderly end.

use std::{convert::Infallible, future::Future, io, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{Request, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use crate::clock::SharedClock;

/// How long a connection may take to bring a request's head, idle time included. Argo CD keeps connections for 90 s,
/// and a request sent on one that was just closed freezes its whole set.
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
        let service = service_fn(move |request| {
            let answer = service.answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = clock.sleep_until(clock.now() + drain) => tracing::warn!("requests under way were cut off"),
    }
    Ok(())
}
