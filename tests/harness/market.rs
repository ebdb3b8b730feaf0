//! Marketplaces on their way into the catalogue.

use std::collections::BTreeMap;

use proto::catalog::v1::{
    self as pb, ImportArchive, ImportFile, ImportHeader, ImportMarketplaceRequest, ImportMarketplaceResponse,
    catalog_service_client::CatalogServiceClient, import_marketplace_request::Part,
};
use serde_json::{Value, json};
use tonic::Status;

use crate::site::Caller;

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Path of the marketplace file of [`small`].
pub const LISTING: &str = ".agents/plugins/marketplace.json";

/// A marketplace `vendor` in the Codex format whose plugins have a version and nothing else.
pub fn small(plugins: &[&str]) -> Files {
    let entry = |name: &&str| json!({"name": name, "source": format!("./plugins/{name}")});
    let mut files = Files::new();
    put(
        &mut files,
        LISTING,
        &json!({"name": "vendor", "plugins": plugins.iter().map(entry).collect::<Vec<_>>()}),
    );
    for name in plugins {
        let path = format!("plugins/{name}/.codex-plugin/plugin.json");
        put(&mut files, &path, &json!({"name": name, "version": "1.0.0"}));
    }
    files
}

/// Puts a JSON file at `path`.
pub fn put(files: &mut Files, path: &str, content: &Value) {
    files.insert(path.to_owned(), content.to_string().into_bytes());
}

/// Imports files.
pub async fn import(by: &Caller, files: &Files) -> Result<ImportMarketplaceResponse, Status> {
    send(by, ImportHeader::default(), pieces(files)).await
}

/// Sends a header and pieces of files.
pub async fn send(
    by: &Caller,
    header: ImportHeader,
    pieces: Vec<ImportFile>,
) -> Result<ImportMarketplaceResponse, Status> {
    let parts = std::iter::once(Part::Header(header)).chain(pieces.into_iter().map(Part::File));
    stream(by, parts.collect()).await
}

/// Sends any messages.
pub async fn stream(by: &Caller, parts: Vec<Part>) -> Result<ImportMarketplaceResponse, Status> {
    let messages = parts.into_iter().map(|part| ImportMarketplaceRequest { part: Some(part) });
    let request = by.ask(tokio_stream::iter(messages.collect::<Vec<_>>()));
    Ok(CatalogServiceClient::new(by.channel.clone()).import_marketplace(request).await?.into_inner())
}

/// Every file in pieces of at most a mebibyte.
pub fn pieces(files: &Files) -> Vec<ImportFile> {
    let piece = |path: &str, content: &[u8]| ImportFile {
        path: path.to_owned(),
        content: content.to_vec(),
        symlink: false,
    };
    let mut pieces = Vec::new();
    for (path, bytes) in files {
        if bytes.is_empty() {
            pieces.push(piece(path, bytes));
        }
        pieces.extend(bytes.chunks(1 << 20).map(|chunk| piece(path, chunk)));
    }
    pieces
}

/// Sends a header and an archive, in pieces of at most a mebibyte.
pub async fn send_archive(
    by: &Caller,
    header: ImportHeader,
    archive: &[u8],
) -> Result<ImportMarketplaceResponse, Status> {
    let piece =
        |content: &[u8]| Part::Archive(ImportArchive { content: content.to_vec(), ..Default::default() });
    let pieces = archive.chunks(1 << 20).map(piece);
    stream(by, std::iter::once(Part::Header(header)).chain(pieces).collect()).await
}

/// Moves a plugin of `vendor` to another stage.
pub async fn stage(by: &Caller, plugin: &str, stage: pb::Stage) -> Result<pb::Plugin, Status> {
    let name = format!("marketplaces/vendor/plugins/{plugin}");
    let request = pb::SetPluginStageRequest { name, stage: stage.into(), ..Default::default() };
    Ok(CatalogServiceClient::new(by.channel.clone()).set_plugin_stage(by.ask(request)).await?.into_inner())
}
