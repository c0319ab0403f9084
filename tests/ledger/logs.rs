//! What is logged on this thread, where a test's runtime has but one.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};

/// Two that listen to nothing. While a process has but one subscriber, a place in the code that is reached for the first
/// time asks that of its own thread whether anybody listens, and keeps the answer for all threads: what another test
/// reaches first, without a log, would be missing in the log of this one.
static NOBODY: LazyLock<[Dispatch; 2]> = LazyLock::new(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::new())));

/// To be called before anything is reached that may be logged.
pub(crate) fn apart() {
    LazyLock::force(&NOBODY);
}

/// The log since it was begun. Dropping it ends it.
pub(crate) struct Logs {
    text: Text,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub(crate) fn begin() -> Self {
        let text = Text::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("lastgreen=debug,sqlx=trace")
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Everything that was logged.
    pub(crate) fn all(&self) -> String {
        String::from_utf8(self.text.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
    }

    /// The lines that contain this.
    pub(crate) fn with(&self, what: &str) -> Vec<String> {
        self.all().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
