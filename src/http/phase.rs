//! How far the end of the process has come, and how the listeners take part in it.

use axum::http::{HeaderValue, Response, header};
use tokio::sync::watch;

/// How far the end of the process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It has not begun.
    Serving,
    /// Not ready any more, but everybody who comes is answered: the news takes its time.
    Leaving,
    /// The plugin takes no more connections, and finishes the requests under way.
    Draining,
    /// Nobody is answered any more.
    Over,
}

/// Completes once `phase` has come.
pub async fn reached(mut seen: watch::Receiver<Phase>, phase: Phase) {
    // A sender that is gone has ended, too.
    let _ = seen.wait_for(|seen| *seen >= phase).await;
}

/// From [`Phase::Leaving`] on each answer is the last one of its connection.
///
/// Argo CD keeps its connections and asks again on them as soon as it has an answer. One that the server closes under
/// such a question is an error to it, and freezes the whole set; one that it was told to close it replaces by a new
/// one, which comes to another replica where there is one, and to this one where there is none yet.
pub(super) fn close<B>(response: &mut Response<B>, phase: Phase) {
    if phase > Phase::Serving {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
