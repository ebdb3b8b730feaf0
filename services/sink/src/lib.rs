//! Logs followed into somebody's SIEM, outside the write path: at least once, in the order of the log, by a cursor.
//!
//! The life of a delivery: a [`model`] row says where to (`target`, checked; `secret`, wrapped) -> [`worker`] holds the
//! sink's lease, reads signed events from its cursor on and makes [`message`]s of them -> [`receiver`] sends -> the cursor
//! moves under the fence, or the pause before the next attempt grows, or a dead letter is kept. [`certificate`] says, signed,
//! what was delivered.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test may fail"
    )
)]

use std::sync::Arc;

use audit::Sequencer;
use kernel::{
    Kernel,
    authz::{Action, Class},
    scope::ScopeKind,
};
use proto::sink::v1::sink_service_server::SinkServiceServer;
use tonic::service::RoutesBuilder;

mod backoff;
pub mod certificate;
pub mod message;
mod metrics;
pub mod model;
pub mod ops;
pub mod receiver;
pub mod rpc;
pub mod secret;
pub mod store;
pub mod target;
pub mod worker;

pub use worker::spawn_deliverer;

const EVERYWHERE: &[ScopeKind] = &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant];

const fn action(rpc: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun: "sink", verb, class, scopes: EVERYWHERE }
}

/// What this slice can be asked for.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    ops::ACTIONS.iter().chain(certificate::ACTIONS)
}

/// What this slice does by itself and records: no RPC asks for it.
pub fn own_actions() -> impl Iterator<Item = &'static Action> {
    std::iter::once(&worker::GAP)
}

/// Adds this slice's service.
pub fn add_services(routes: &mut RoutesBuilder, kernel: &Arc<Kernel>, sequencer: &Arc<Sequencer>) {
    let limit = kernel.config.server.max_message_bytes;
    let sink = rpc::SinkRpc { kernel: Arc::clone(kernel), sequencer: Arc::clone(sequencer) };
    routes.add_service(SinkServiceServer::new(sink).max_decoding_message_size(limit));
}
