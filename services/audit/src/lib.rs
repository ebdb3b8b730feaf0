//! The record of every act. Writing it is the kernel's `Tx::commit`; here it becomes a Merkle log that outsiders verify,
//! that is searched, exported, kept and pruned.
//!
//! The life of an event: the outbox row of a committed change -> [`sequencer`] (index, tiles, checkpoint) -> `audit_event`
//! -> [`event`] (search, read, receipt), [`export`], [`evidence`], [`mirror`] (tiles over HTTP) -> [`retention`] (holds, erasure, pruning).
//! What is not the record of a closed tenant goes in time ([`closing`]).

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

use kernel::{Kernel, authz::Action, scope::Scope};
use proto::{
    audit::v1::audit_service_server::AuditServiceServer,
    retention::v1::retention_service_server::RetentionServiceServer,
};
use tonic::service::RoutesBuilder;

pub mod access;
pub mod closing;
pub mod event;
pub mod evidence;
pub mod export;
pub mod fold;
pub mod https;
pub mod mirror;
pub mod reconcile;
pub mod retention;
pub mod rpc;
pub mod saved_search;
pub mod sequencer;

pub use mirror::http_routes;
pub use sequencer::Sequencer;

/// What this slice can be asked for.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    [
        event::ACTIONS,
        export::ACTIONS,
        evidence::ACTIONS,
        access::ACTIONS,
        saved_search::ACTIONS,
        mirror::ACTIONS,
        retention::ACTIONS,
    ]
    .into_iter()
    .flatten()
}

/// What this slice does by itself and records: no RPC asks for it, so that no policy has it.
pub fn own_actions() -> impl Iterator<Item = &'static Action> {
    [&retention::PRUNE, &reconcile::DIVERGENCE, &reconcile::AGREEMENT, &sequencer::meta::PUBLISH]
        .into_iter()
        .chain(closing::ACTIONS)
}

/// Adds this slice's services.
pub fn add_services(routes: &mut RoutesBuilder, kernel: &Arc<Kernel>, sequencer: &Arc<Sequencer>) {
    let limit = kernel.config.server.max_message_bytes;
    let audit = rpc::AuditRpc { kernel: Arc::clone(kernel), sequencer: Arc::clone(sequencer) };
    routes.add_service(AuditServiceServer::new(audit).max_decoding_message_size(limit));
    let retention =
        retention::rpc::RetentionRpc { kernel: Arc::clone(kernel), sequencer: Arc::clone(sequencer) };
    routes.add_service(RetentionServiceServer::new(retention).max_decoding_message_size(limit));
}

/// Name of a scope's log.
fn log_name(scope: &Scope) -> String {
    match scope {
        Scope::Platform => "auditLog".to_owned(),
        _ => format!("{scope}/auditLog"),
    }
}
