//! The record of every act: reading it. Writing it is the kernel's `Tx::commit`.

use std::sync::Arc;

use kernel::{Kernel, authz::Action};
use proto::audit::v1::audit_service_server::AuditServiceServer;

pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;

/// What this slice can be asked for.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    ops::ACTIONS.iter()
}

/// Adds this slice's services.
pub fn add_services(routes: &mut tonic::service::RoutesBuilder, kernel: &Arc<Kernel>) {
    let limit = kernel.config.server.max_message_bytes;
    routes.add_service(
        AuditServiceServer::new(rpc::AuditRpc(Arc::clone(kernel))).max_decoding_message_size(limit),
    );
}
