//! Who may use what: entitlements (role x target -> effect) and the decision that they make.
//!
//! One folder a noun, the same four files in each: `model` (pure), `store` (SQL), `ops` (use cases), `rpc` (wire).
//! What the rules mean is casbin's to say: `policies/entitlements.conf`, asked in [`policy`] alone. Live decisions are made
//! by the `decision` engine, which is held equal to it.

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

use kernel::{Kernel, authz::Action};
use proto::{
    decision::v1::decision_service_server::DecisionServiceServer,
    entitlement::v1::entitlement_service_server::EntitlementServiceServer,
};
use tonic::service::RoutesBuilder;

pub mod decision;
pub mod entitlement;
pub mod opinion;
pub mod policy;

pub use decision::{authzen::http_routes, live::Policies, watch::Signing};

/// What this slice can be asked for.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    entitlement::ops::ACTIONS
        .iter()
        .chain(decision::ops::ACTIONS)
        .chain(decision::watch::ACTIONS)
        .chain(decision::authzen::ACTIONS)
}

/// Adds this slice's services.
pub fn add_services(
    routes: &mut RoutesBuilder,
    kernel: &Arc<Kernel>,
    policies: &Arc<Policies>,
    signing: &Arc<Signing>,
) {
    let limit = kernel.config.server.max_message_bytes;
    let entitlements = entitlement::rpc::EntitlementRpc(Arc::clone(kernel));
    let decisions = decision::rpc::DecisionRpc {
        kernel: Arc::clone(kernel),
        policies: Arc::clone(policies),
        signing: Arc::clone(signing),
    };
    routes
        .add_service(EntitlementServiceServer::new(entitlements).max_decoding_message_size(limit))
        .add_service(DecisionServiceServer::new(decisions).max_decoding_message_size(limit));
}
