//! The contract of Provost: every message and service, generated from `proto/provost/<noun>/v1`.

#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated code answers to prost and tonic, not to our lints"
)]
#![deny(missing_docs)]

/// One package a noun: `provost.<noun>.v1` is `proto::<noun>::v1`.
macro_rules! packages {
    ($($(#[doc = $doc:literal])+ $noun:ident => $package:literal;)*) => {$(
        $(#[doc = $doc])+
        pub mod $noun {
            /// Version 1.
            pub mod v1 {
                #![allow(missing_docs, reason = "tonic documents the client and server modules itself, not every item in them")]
                tonic::include_proto!($package);
            }
        }
    )*};
}

packages! {
    /// The record of every act.
    audit => "provost.audit.v1";
    /// Marketplaces, plugins, apps and skills.
    catalog => "provost.catalog.v1";
    /// A client's own connectors.
    connector_binding => "provost.connector_binding.v1";
    /// The answer to "may this principal use this plugin now".
    decision => "provost.decision.v1";
    /// Admin right-sets held in a scope.
    duty => "provost.duty.v1";
    /// Rules: role x plugin -> effect.
    entitlement => "provost.entitlement.v1";
    /// Machine-readable reasons.
    errors => "provost.errors.v1";
    /// Directory groups.
    group => "provost.group.v1";
    /// Consulting firms that run rollouts.
    partner => "provost.partner.v1";
    /// Plugins that a tenant speaks of together.
    plugin_group => "provost.plugin_group.v1";
    /// Users, services and agents.
    principal => "provost.principal.v1";
    /// How long the record is kept, and what keeps it longer.
    retention => "provost.retention.v1";
    /// Job roles.
    role => "provost.role.v1";
    /// Pools of seats and who holds one.
    seat_pool => "provost.seat_pool.v1";
    /// Logs followed into somebody's SIEM.
    sink => "provost.sink.v1";
    /// Stages that a tenant holds plugins to.
    stage_override => "provost.stage_override.v1";
    /// Client organisations and their lifecycle.
    tenant => "provost.tenant.v1";
    /// Plugins as a tenant has them.
    tenant_plugin => "provost.tenant_plugin.v1";
    /// API tokens.
    token => "provost.token.v1";
    /// Departments and cost centres.
    unit => "provost.unit.v1";
    /// What was used.
    usage => "provost.usage.v1";
}

mod request;
pub use request::RpcRequest;

/// The compiled `FileDescriptorSet` of the contract: for reflection, for JSON and for the coverage tests.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/provost.bin"));

/// The `domain` of every `google.rpc.ErrorInfo` that Provost sends.
pub const ERROR_DOMAIN: &str = "provost.dev";
