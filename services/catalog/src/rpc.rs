//! The catalogue on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, db::retry, error::Error, list_query};
use proto::catalog::v1::{self as pb, catalog_service_server::CatalogService};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::{
    ops,
    upload::Upload,
    version,
    wire::{self, new_stage},
};

/// `provost.catalog.v1.CatalogService`.
pub struct CatalogRpc(pub Arc<Kernel>);

#[async_trait]
impl CatalogService for CatalogRpc {
    /// The contract's only stream of requests: what `Kernel::serve` does for one message is spelled out here, with the
    /// caller known and permitted before the first byte of the directory is taken.
    async fn import_marketplace(
        &self,
        mut request: Request<Streaming<pb::ImportMarketplaceRequest>>,
    ) -> Result<Response<pb::ImportMarketplaceResponse>, Status> {
        let info = self.0.call_info(&mut request);
        let incident = info.id.to_string();
        let fail = |error: Error| error.into_status(&incident);
        let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok());
        let mut ctx = self.0.enter(header, info).await.map_err(fail)?;
        ops::marketplace_import_permit(&ctx).await.map_err(fail)?;
        let mut stream = request.into_inner();
        let mut upload = Upload::new(self.0.config.server.data_dir.clone());
        while let Some(message) = stream.message().await? {
            upload.take(message).map_err(fail)?;
        }
        let (tree, stage) = upload.finish(&mut ctx).await.map_err(fail)?;
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
                ops::plugin_set_stage(&ctx, &r.name, new_stage(r.stage, r.sunset_time)?).await
            })
            .await
    }

    async fn get_plugin_version(
        &self,
        request: Request<pb::GetPluginVersionRequest>,
    ) -> Result<Response<pb::PluginVersion>, Status> {
        self.0.serve(request, |ctx, r| async move { version::ops::version_get(&ctx, &r.name).await }).await
    }

    async fn list_plugin_versions(
        &self,
        request: Request<pb::ListPluginVersionsRequest>,
    ) -> Result<Response<pb::ListPluginVersionsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = version::ops::version_list(&ctx, &r.parent, &list_query!(r)).await?;
                let plugin_versions = page.items.into_iter().map(Into::into).collect();
                let next_page_token = page.next_page_token;
                Ok(pb::ListPluginVersionsResponse { plugin_versions, next_page_token })
            })
            .await
    }

    async fn diff_plugin_versions(
        &self,
        request: Request<pb::DiffPluginVersionsRequest>,
    ) -> Result<Response<pb::PluginDiff>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let (plugin, diff) = version::ops::version_diff(&ctx, &r.old_version, &r.new_version).await?;
                Ok(wire::plugin_diff(plugin, diff))
            })
            .await
    }

    async fn set_plugin_version_stage(
        &self,
        request: Request<pb::SetPluginVersionStageRequest>,
    ) -> Result<Response<pb::PluginVersion>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                version::ops::version_set_stage(&ctx, &r.name, new_stage(r.stage, r.sunset_time)?).await
            })
            .await
    }
}
