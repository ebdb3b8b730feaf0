//! Who may come in and who administers what: API tokens, duties, and the one-time bootstrap of a new deployment.

use std::sync::Arc;

use kernel::{Kernel, authz::Action};
use proto::{
    duty::v1::duty_service_server::DutyServiceServer, token::v1::token_service_server::TokenServiceServer,
};

pub mod duty;
pub mod token;

/// What this slice can be asked for.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    token::ops::ACTIONS.iter().chain(duty::ops::ACTIONS)
}

/// Adds this slice's services.
pub fn add_services(routes: &mut tonic::service::RoutesBuilder, kernel: &Arc<Kernel>) {
    let limit = kernel.config.server.max_message_bytes;
    routes
        .add_service(
            TokenServiceServer::new(token::rpc::TokenRpc(Arc::clone(kernel)))
                .max_decoding_message_size(limit),
        )
        .add_service(
            DutyServiceServer::new(duty::rpc::DutyRpc(Arc::clone(kernel))).max_decoding_message_size(limit),
        );
}
