//! The catalogue on the wire.

use std::sync::Arc;

use kernel::{Ctx, Kernel, Result, audit::Resource as _, db::retry, error::Error, hash, list_query};
use proto::catalog::v1::{
    self as pb, catalog_service_server::CatalogService, import_marketplace_request::Part,
};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::{
    model::{App, Format, ImportReport, Marketplace, McpServer, Plugin, Skipped, Stage},
    ops,
    tree::{Kind, Tree, TreeBuilder},
};

/// Largest piece of a file, bytes.
const MAX_PIECE: usize = 1024 * 1024;

/// `provost.catalog.v1.CatalogService`.
pub struct CatalogRpc(pub Arc<Kernel>);

#[async_trait]
impl CatalogService for CatalogRpc {
    /// The contract's only stream of requests: what `Kernel::serve` does for one message is spelled out here, with the
    /// caller known and permitted before the first byte of the directory is taken.
    async fn import_marketplace(
        &self,
        request: Request<Streaming<pb::ImportMarketplaceRequest>>,
    ) -> Result<Response<pb::ImportMarketplaceResponse>, Status> {
        let info = self.0.call_info(&request);
        let incident = info.id.to_string();
        let fail = |error: Error| error.into_status(&incident);
        let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok());
        let mut ctx = self.0.enter(header, info).await.map_err(fail)?;
        ops::marketplace_import_permit(&ctx).await.map_err(fail)?;
        let mut stream = request.into_inner();
        let mut upload = Upload::default();
        while let Some(message) = stream.message().await? {
            upload.take(message).map_err(fail)?;
        }
        let (tree, stage) = upload.finish(&mut ctx).map_err(fail)?;
        let report =
            retry::on_conflict(|| ops::marketplace_import(&ctx, &tree, stage)).await.map_err(fail)?;
        Ok(ctx.respond(report.into()))
    }

    async fn get_marketplace(
        &self,
        request: Request<pb::GetMarketplaceRequest>,
    ) -> Result<Response<pb::Marketplace>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::marketplace_get(&ctx, &r.name).await }).await
    }

    async fn list_marketplaces(
        &self,
        request: Request<pb::ListMarketplacesRequest>,
    ) -> Result<Response<pb::ListMarketplacesResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::marketplace_list(&ctx, &list_query!(r)).await?;
                let marketplaces = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListMarketplacesResponse { marketplaces, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn get_plugin(
        &self,
        request: Request<pb::GetPluginRequest>,
    ) -> Result<Response<pb::Plugin>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::plugin_get(&ctx, &r.name).await }).await
    }

    async fn list_plugins(
        &self,
        request: Request<pb::ListPluginsRequest>,
    ) -> Result<Response<pb::ListPluginsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::plugin_list(&ctx, &r.parent, &list_query!(r, show_deleted)).await?;
                let plugins = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListPluginsResponse { plugins, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn set_plugin_stage(
        &self,
        request: Request<pb::SetPluginStageRequest>,
    ) -> Result<Response<pb::Plugin>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::plugin_set_stage(&ctx, &r.name, known_stage("stage", r.stage)?).await
            })
            .await
    }
}

/// A directory that is arriving.
#[derive(Default)]
struct Upload {
    header: Option<pb::ImportHeader>,
    tree: TreeBuilder,
}

impl Upload {
    fn take(&mut self, message: pb::ImportMarketplaceRequest) -> Result<()> {
        match (message.part, &self.header) {
            (Some(Part::Header(header)), None) => {
                initial_stage(&header)?;
                self.header = Some(header);
                Ok(())
            }
            (Some(Part::File(file)), Some(_)) => self.file(&file),
            (Some(Part::Header(_)), Some(_)) => {
                Err(Error::invalid("header", "came twice; send it once, first"))
            }
            (Some(Part::File(_)), None) => {
                Err(Error::invalid("header", "is missing; send it before the files"))
            }
            (None, _) => Err(Error::invalid("part", "is empty; send a header or a piece of a file")),
        }
    }

    fn file(&mut self, file: &pb::ImportFile) -> Result<()> {
        if file.content.len() > MAX_PIECE {
            let length = file.content.len();
            return Err(Error::invalid(
                "file.content",
                format!("has {length} bytes; send pieces of at most 1,048,576"),
            ));
        }
        let kind = if file.symlink { Kind::Symlink } else { Kind::File };
        self.tree.push(&file.path, kind, &file.content)
    }

    /// The directory and the stage of plugins not seen before; the context takes over what the header says.
    fn finish(self, ctx: &mut Ctx) -> Result<(Tree, Option<Stage>)> {
        let header =
            self.header.ok_or_else(|| Error::invalid("header", "is missing; send it before the files"))?;
        let (tree, stage) = (self.tree.finish()?, initial_stage(&header)?);
        let payload = [tree.sha256().as_bytes(), stage.map_or("", Stage::as_str).as_bytes()].concat();
        ctx.with_request(&header.request_id, header.validate_only, hash::sha256(&payload).to_vec())?;
        Ok((tree, stage))
    }
}

/// The stage that the header asks for, if it does.
fn initial_stage(header: &pb::ImportHeader) -> Result<Option<Stage>> {
    match header.initial_stage {
        0 => Ok(None),
        number => known_stage("header.initial_stage", number).map(Some),
    }
}

fn known_stage(field: &str, number: i32) -> Result<Stage> {
    match pb::Stage::try_from(number) {
        Ok(pb::Stage::Alpha) => Ok(Stage::Alpha),
        Ok(pb::Stage::Preview) => Ok(Stage::Preview),
        Ok(pb::Stage::Live) => Ok(Stage::Live),
        Ok(pb::Stage::Deprecated) => Ok(Stage::Deprecated),
        Ok(pb::Stage::Withdrawn) => Ok(Stage::Withdrawn),
        Ok(pb::Stage::Unspecified) | Err(_) => Err(Error::invalid(
            field,
            format!("`{number}` is not a stage; use ALPHA, PREVIEW, LIVE, DEPRECATED or WITHDRAWN"),
        )),
    }
}

impl From<Stage> for pb::Stage {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Alpha => Self::Alpha,
            Stage::Preview => Self::Preview,
            Stage::Live => Self::Live,
            Stage::Deprecated => Self::Deprecated,
            Stage::Withdrawn => Self::Withdrawn,
        }
    }
}

impl From<Format> for pb::MarketplaceFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Codex => Self::Codex,
            Format::Claude => Self::Claude,
        }
    }
}

impl From<Marketplace> for pb::Marketplace {
    fn from(marketplace: Marketplace) -> Self {
        Self {
            name: marketplace.name(),
            format: pb::MarketplaceFormat::from(marketplace.format).into(),
            plugin_count: marketplace.plugin_count,
            uid: marketplace.id.to_string(),
            create_time: Some(marketplace.create_time.into()),
            update_time: Some(marketplace.update_time.into()),
            display_name: marketplace.display_name,
        }
    }
}

impl From<Plugin> for pb::Plugin {
    fn from(plugin: Plugin) -> Self {
        Self {
            name: plugin.name(),
            stage: pb::Stage::from(plugin.stage).into(),
            digest: plugin.content_sha256.to_string(),
            apps: plugin.apps.0.into_iter().map(Into::into).collect(),
            skills: plugin.skills.0,
            mcp_servers: plugin.mcp_servers.0.into_iter().map(Into::into).collect(),
            has_hooks: plugin.has_hooks,
            uid: plugin.id.to_string(),
            create_time: Some(plugin.create_time.into()),
            update_time: Some(plugin.update_time.into()),
            delete_time: plugin.delete_time.map(Into::into),
            display_name: plugin.display_name,
            description: plugin.description,
            category: plugin.category,
            version: plugin.version,
        }
    }
}

impl From<App> for pb::App {
    fn from(app: App) -> Self {
        Self { key: app.key, connector_id: app.connector_id, templated: app.templated }
    }
}

impl From<McpServer> for pb::McpServer {
    fn from(server: McpServer) -> Self {
        Self { key: server.key, command: server.command, url: server.url }
    }
}

impl From<Skipped> for pb::SkippedEntry {
    fn from(skipped: Skipped) -> Self {
        Self { entry: skipped.entry, reason: skipped.reason }
    }
}

impl From<ImportReport> for pb::ImportMarketplaceResponse {
    fn from(report: ImportReport) -> Self {
        let marketplace = report.marketplace.name();
        let names = |slugs: Vec<_>| slugs.iter().map(|s| format!("{marketplace}/plugins/{s}")).collect();
        Self {
            plugins: report.plugins,
            apps: report.apps,
            skills: report.skills,
            mcp_servers: report.mcp_servers,
            added: names(report.added),
            changed: names(report.changed),
            removed: names(report.removed),
            skipped: report.skipped.into_iter().map(Into::into).collect(),
            marketplace: Some(report.marketplace.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(part: Part) -> pb::ImportMarketplaceRequest {
        pb::ImportMarketplaceRequest { part: Some(part) }
    }

    fn header(initial_stage: i32) -> pb::ImportMarketplaceRequest {
        message(Part::Header(pb::ImportHeader { initial_stage, ..pb::ImportHeader::default() }))
    }

    fn file(path: &str, bytes: usize) -> pb::ImportMarketplaceRequest {
        message(Part::File(pb::ImportFile {
            path: path.to_owned(),
            content: vec![b'x'; bytes],
            symlink: false,
        }))
    }

    fn taken(messages: Vec<pb::ImportMarketplaceRequest>) -> Result<Upload> {
        let mut upload = Upload::default();
        messages.into_iter().try_for_each(|m| upload.take(m)).map(|()| upload)
    }

    #[test]
    fn an_upload_is_one_header_and_then_pieces_of_files() {
        let upload = taken(vec![header(0), file("a", MAX_PIECE), file("a", 1), file("b", 0)]).unwrap();
        let tree = upload.tree.finish().unwrap();
        assert_eq!(tree.file("a").unwrap().length, MAX_PIECE as u64 + 1);
        for (wrong, field) in [
            (vec![file("a", 1)], "header"),
            (vec![header(0), header(0)], "header"),
            (vec![header(0), pb::ImportMarketplaceRequest { part: None }], "part"),
            (vec![header(0), file("a", MAX_PIECE + 1)], "file.content"),
            (vec![header(9)], "header.initial_stage"),
        ] {
            let Err(Error::Invalid(violations)) = taken(wrong).map(|_| ()) else {
                panic!("{field} was accepted")
            };
            assert_eq!(violations[0].field, field);
        }
        let link = pb::ImportFile { path: "a".to_owned(), symlink: true, ..pb::ImportFile::default() };
        assert!(matches!(taken(vec![header(0), message(Part::File(link))]), Err(Error::Marketplace(_))));
    }

    #[test]
    fn stages_read_back_from_the_wire_and_only_an_import_may_leave_it_open() {
        for stage in Stage::ALL {
            assert_eq!(known_stage("stage", pb::Stage::from(stage).into()).unwrap(), stage);
        }
        assert_eq!(initial_stage(&pb::ImportHeader::default()).unwrap(), None);
        assert!(known_stage("stage", 0).is_err() && known_stage("stage", 6).is_err());
    }
}
