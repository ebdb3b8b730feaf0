//! What was used: usage events in, figures out.
//!
//! An event comes in by gRPC, as a CloudEvent ([`event`]) or as telemetry of an assistant ([`http`], [`grpc`], [`otlp`], [`client`]); whichever way, it
//! ends in [`event::ops`] and in a group commit ([`event::writer`]). The roller ([`rollup`]) sums events up behind it, and a
//! question ([`query`]) is answered from the rollups and the events that are not in them yet. [`claim`] decides which of several
//! ways to tell the same counts, [`observation`] keeps what telemetry says besides, [`correction`] takes events back and puts
//! others in, [`adoption`] says who is active and how far people came.

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

use entitlement::Policies;
use kernel::{Kernel, authz::Action};
use proto::usage::v1::{
    usage_correction_service_server::UsageCorrectionServiceServer, usage_service_server::UsageServiceServer,
};
use tonic::service::RoutesBuilder;

pub mod adoption;
pub mod claim;
pub mod client;
pub mod correction;
pub mod event;
pub mod grpc;
pub mod http;
pub mod meter;
pub mod observation;
pub mod otlp;
pub mod query;
pub mod rollup;
pub mod rpc;

#[cfg(test)]
mod captures;
#[cfg(test)]
mod end_to_end;

pub use adoption::portfolio::activity;
pub use event::writer::Writer;
pub use http::http_routes;
pub use rollup::{roller::spawn_roller, verify::spawn_verifier};

/// What is asked of events and figures.
const FIGURES: &[Action] = &[
    event::ops::INGEST,
    event::http::SEND,
    event::list::EVENTS,
    event::list::REJECTS,
    query::ops::QUERY,
    adoption::ops::ADOPTION,
    adoption::ops::DORMANT,
    adoption::portfolio::PORTFOLIO,
];

/// What usage can be asked for, events included.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    FIGURES
        .iter()
        .chain(http::ACTIONS)
        .chain(observation::ops::ACTIONS)
        .chain(meter::ops::ACTIONS)
        .chain(correction::ops::ACTIONS)
}

/// Adds this slice's services.
pub fn add_services(
    routes: &mut RoutesBuilder,
    kernel: &Arc<Kernel>,
    policies: &Arc<Policies>,
    writer: &Arc<Writer>,
) {
    let limit = kernel.config.server.max_message_bytes;
    let usage = rpc::UsageRpc {
        kernel: Arc::clone(kernel),
        policies: Arc::clone(policies),
        writer: Arc::clone(writer),
    };
    routes.add_service(UsageServiceServer::new(usage).max_decoding_message_size(limit));
    let corrections = correction::rpc::CorrectionRpc { kernel: Arc::clone(kernel) };
    routes.add_service(UsageCorrectionServiceServer::new(corrections).max_decoding_message_size(limit));
    grpc::add_services(routes, writer);
}
