//! Partners, tenants and what a tenant is made of: units, principals, groups and roles.
//!
//! One folder a noun, the same four files in each: `model` (pure), `store` (SQL), `ops` (use cases), `rpc` (wire). A
//! family of verbs with a table of its own (`member`, `inclusion`) is one file more. `holding` answers which roles a
//! principal holds, for the slices above.

use std::sync::Arc;

use kernel::{Kernel, authz::Action};
use proto::{
    group::v1::group_service_server::GroupServiceServer,
    partner::v1::partner_service_server::PartnerServiceServer,
    principal::v1::principal_service_server::PrincipalServiceServer,
    role::v1::role_service_server::RoleServiceServer, tenant::v1::tenant_service_server::TenantServiceServer,
    unit::v1::unit_service_server::UnitServiceServer,
};
use tonic::service::RoutesBuilder;

use partner::activity::Activity;

mod floor;
pub mod group;
pub mod holding;
pub mod partner;
pub mod principal;
pub mod role;
pub mod sibling;
pub mod tenant;
pub mod unit;

/// What this slice can be asked for.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    partner::ops::ACTIONS
        .iter()
        .chain(tenant::ops::ACTIONS)
        .chain(unit::ops::ACTIONS)
        .chain(principal::ops::ACTIONS)
        .chain(group::ops::ACTIONS)
        .chain(role::ops::ACTIONS)
}

/// Adds the services of this slice; `activity` is what a portfolio is told of usage.
pub fn add_services(routes: &mut RoutesBuilder, kernel: &Arc<Kernel>, activity: &Arc<dyn Activity>) {
    let limit = kernel.config.server.max_message_bytes;
    let own = || Arc::clone(kernel);
    let partners = partner::rpc::PartnerRpc(own(), Arc::clone(activity));
    routes
        .add_service(PartnerServiceServer::new(partners).max_decoding_message_size(limit))
        .add_service(TenantServiceServer::new(tenant::rpc::TenantRpc(own())).max_decoding_message_size(limit))
        .add_service(UnitServiceServer::new(unit::rpc::UnitRpc(own())).max_decoding_message_size(limit))
        .add_service(
            PrincipalServiceServer::new(principal::rpc::PrincipalRpc(own())).max_decoding_message_size(limit),
        )
        .add_service(GroupServiceServer::new(group::rpc::GroupRpc(own())).max_decoding_message_size(limit))
        .add_service(RoleServiceServer::new(role::rpc::RoleRpc(own())).max_decoding_message_size(limit));
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_rpc_of_the_slice_has_one_action() {
        let files = prost_types::FileDescriptorSet::decode(proto::DESCRIPTOR_SET).unwrap().file;
        let mut rpcs = Vec::new();
        for file in files {
            let package = file.package().to_owned();
            let ours = ["partner", "tenant", "unit", "principal", "group", "role"];
            if ours.iter().any(|noun| package == format!("provost.{noun}.v1")) {
                for service in &file.service {
                    let methods =
                        service.method.iter().map(|m| format!("{package}.{}/{}", service.name(), m.name()));
                    rpcs.extend(methods);
                }
            }
        }
        let mut acted: Vec<_> = actions().map(|a| a.rpc.to_owned()).collect();
        rpcs.sort();
        acted.sort();
        assert_eq!(acted, rpcs);
    }
}
