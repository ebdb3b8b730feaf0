//! Who may use what: entitlements (role x target -> effect), the plugin groups and seat pools that they speak of, what a tenant has
//! of its own for plugins (connectors, stages), and the decision that they make.
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
    connector_binding::v1::connector_binding_service_server::ConnectorBindingServiceServer,
    decision::v1::decision_service_server::DecisionServiceServer,
    entitlement::v1::entitlement_service_server::EntitlementServiceServer,
    plugin_group::v1::plugin_group_service_server::PluginGroupServiceServer,
    seat_pool::v1::seat_pool_service_server::SeatPoolServiceServer,
    stage_override::v1::stage_override_service_server::StageOverrideServiceServer,
    tenant_plugin::v1::tenant_plugin_service_server::TenantPluginServiceServer,
};
use tonic::service::RoutesBuilder;

pub mod binding;
pub mod decision;
pub mod entitlement;
pub mod opinion;
pub mod plugin_group;
pub mod policy;
pub mod preview;
pub mod seat_pool;
pub mod set;
pub mod stage_override;
pub mod tenant_plugin;

pub use decision::{authzen::http_routes, live::Policies, watch::Signing};

/// What this slice can be asked for.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    entitlement::ops::ACTIONS
        .iter()
        .chain(preview::ops::ACTIONS)
        .chain(binding::ops::ACTIONS)
        .chain(stage_override::ops::ACTIONS)
        .chain(tenant_plugin::ops::ACTIONS)
        .chain(plugin_group::ops::ACTIONS)
        .chain(seat_pool::ops::ACTIONS)
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
    let entitlements = entitlement::rpc::EntitlementRpc(Arc::clone(kernel), Arc::clone(policies));
    let bindings = binding::rpc::BindingRpc(Arc::clone(kernel));
    let overrides = stage_override::rpc::OverrideRpc(Arc::clone(kernel));
    let plugins = tenant_plugin::rpc::TenantPluginRpc(Arc::clone(kernel));
    let plugin_groups = plugin_group::rpc::PluginGroupRpc(Arc::clone(kernel));
    let seat_pools = seat_pool::rpc::SeatPoolRpc(Arc::clone(kernel));
    let decisions = decision::rpc::DecisionRpc {
        kernel: Arc::clone(kernel),
        policies: Arc::clone(policies),
        signing: Arc::clone(signing),
    };
    routes
        .add_service(EntitlementServiceServer::new(entitlements).max_decoding_message_size(limit))
        .add_service(ConnectorBindingServiceServer::new(bindings).max_decoding_message_size(limit))
        .add_service(StageOverrideServiceServer::new(overrides).max_decoding_message_size(limit))
        .add_service(TenantPluginServiceServer::new(plugins).max_decoding_message_size(limit))
        .add_service(PluginGroupServiceServer::new(plugin_groups).max_decoding_message_size(limit))
        .add_service(SeatPoolServiceServer::new(seat_pools).max_decoding_message_size(limit))
        .add_service(DecisionServiceServer::new(decisions).max_decoding_message_size(limit));
}
