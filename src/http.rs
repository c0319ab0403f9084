//! The two listeners: the plugin that Argo CD asks, and ops for those who run it.
//!
//! ```text
//! connection ─ path ─ method ─ token ─ body ─ question ─ generator ─ reply
//!                                        └ asked and answered before: warm ─┘
//! ```
//!
//! The order is on purpose: nothing of a body is looked at before the token was accepted, and a redirected request
//! (which has lost its method, and perhaps its token) is told so first.

mod body;
mod explain;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod ledger;
mod ops;
mod own_wakes;
mod pace;
mod phase;
mod plugin;
mod plugins;
mod reply;
mod server;
mod tokens;
mod warm;

pub use self::{
    explain::{Explainer, Who},
    ops::{Ops, ops_router},
    pace::InboundLimits,
    phase::{Phase, reached},
    plugin::{Door, Plugin, Served, plugin_router, plugin_service},
    server::{DRAIN, Service, routed, serve},
    tokens::Tokens,
};
