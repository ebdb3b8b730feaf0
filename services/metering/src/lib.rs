//! What was used: telemetry of assistants in, figures out.
//!
//! One request passes through in this order: [`http`] or [`grpc`] (the wire of OTLP), [`otlp`] (bytes to items), [`client`]
//! (an item of a known assistant to an event without private content), [`model`] (keys, attribution), [`ops`] and
//! [`store`]. [`claim`] decides which of two ways to tell the same counts, [`observation`] keeps what telemetry says besides.

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
use proto::usage::v1::usage_service_server::UsageServiceServer;
use tonic::service::RoutesBuilder;

pub mod claim;
pub mod client;
pub mod event;
pub mod grpc;
pub mod http;
pub mod meter;
pub mod model;
pub mod observation;
pub mod ops;
pub mod otlp;
pub mod rpc;
pub mod store;

#[cfg(test)]
mod captures;
#[cfg(test)]
mod end_to_end;

pub use http::http_routes;

/// What usage can be asked for, telemetry included.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    ops::ACTIONS.iter().chain(observation::ops::ACTIONS)
}

/// Adds this slice's services.
pub fn add_services(routes: &mut RoutesBuilder, kernel: &Arc<Kernel>) {
    let limit = kernel.config.server.max_message_bytes;
    routes.add_service(
        UsageServiceServer::new(rpc::UsageRpc(Arc::clone(kernel))).max_decoding_message_size(limit),
    );
    grpc::add_services(routes, kernel);
}
