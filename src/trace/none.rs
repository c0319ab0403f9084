//! In place of spans, where nothing can be exported.

use http::{Method, StatusCode};

use super::{Caller, TraceId, TraceParent};

/// Where traces go: nowhere.
#[derive(Clone, Debug, Default)]
pub struct Traces(());

/// What is said of a question to nobody.
#[derive(Debug)]
pub struct Attributes(());

#[derive(Debug)]
pub(super) struct Root;

#[derive(Debug, Default)]
pub(super) struct Child;

#[expect(clippy::unused_self, clippy::unused_async, reason = "spans have the same functions")]
impl Traces {
    pub(super) fn is_on(&self) -> bool {
        false
    }

    pub(super) fn root(&self, _caller: Option<&Caller>, _generator: &str) -> Root {
        Root
    }

    /// There is nothing to send.
    pub async fn finish(&self) {}
}

impl Attributes {
    /// A text.
    pub fn text(&mut self, _key: &'static str, _value: &(impl ToString + ?Sized)) {}

    /// A number.
    pub fn number(&mut self, _key: &'static str, _value: u64) {}

    /// Whether something is so.
    pub fn flag(&mut self, _key: &'static str, _value: bool) {}
}

#[expect(clippy::unused_self, reason = "spans have the same functions")]
impl Root {
    pub(super) fn exported(&self) -> Option<TraceId> {
        None
    }

    pub(super) fn note(&self, _note: impl FnOnce(&mut Attributes)) {}

    pub(super) fn answered(&self, _status: StatusCode) {}

    pub(super) fn abandon(&self) {}

    pub(super) fn request(&self, _method: &Method, _host: &str, _port: Option<u16>) -> Child {
        Child
    }

    pub(super) fn query(&self, _system: &'static str) -> Child {
        Child
    }
}

#[expect(clippy::unused_self, reason = "spans have the same functions")]
impl Child {
    pub(super) fn parent(&self) -> Option<TraceParent> {
        None
    }

    pub(super) fn answered(&mut self, _status: StatusCode) {}

    pub(super) fn end(&mut self, _problem: Option<&'static str>) {}
}
