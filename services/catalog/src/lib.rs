//! The catalogue: vendors' marketplaces, their plugins, and how far each plugin version is released.
//!
//! A directory becomes a [`tree::Tree`] (`walk` from disk, `upload` from a stream, `archive` from an archive), a tree becomes a
//! [`vendor::Import`], and [`ops::marketplace_import`] brings the tables to that state. Nothing in a directory is run,
//! and no network is used.

use std::sync::Arc;

use kernel::{Kernel, authz::Action};
use proto::catalog::v1::catalog_service_server::CatalogServiceServer;
use tonic::service::RoutesBuilder;

pub mod archive;
pub mod diff;
pub mod model;
pub mod ops;
pub mod plan;
pub mod rpc;
pub mod store;
pub mod tree;
mod upload;
pub mod vendor;
pub mod version;
pub mod walk;
mod wire;

#[cfg(test)]
mod tests;

pub use rpc::CatalogRpc;
pub use tree::Tree;

/// What the catalogue can be asked for.
pub fn actions() -> impl Iterator<Item = &'static Action> {
    ops::ACTIONS.iter().chain(version::ops::ACTIONS)
}

/// Adds the catalogue's service.
pub fn add_services(routes: &mut RoutesBuilder, kernel: &Arc<Kernel>) {
    let limit = kernel.config.server.max_message_bytes;
    routes.add_service(
        CatalogServiceServer::new(CatalogRpc(Arc::clone(kernel))).max_decoding_message_size(limit),
    );
}
