//! What is logged on this thread, where a test's runtime has but one.
//!
//! One subscriber serves the whole process: with one for each thread, whether a line is logged at all would hang on
//! which thread came by there first.

use std::{cell::RefCell, io, sync::Once};

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Writer;

/// Begins the log of this thread anew.
pub(crate) fn begin() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("lastgreen=debug,kube=trace,hyper=info")
            .with_ansi(false)
            .without_time()
            .with_writer(|| Writer)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    LINES.with_borrow_mut(Vec::clear);
}

/// Everything that was logged.
pub(crate) fn all() -> String {
    LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
}

/// The lines that contain this.
pub(crate) fn with(what: &str) -> Vec<String> {
    all().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
