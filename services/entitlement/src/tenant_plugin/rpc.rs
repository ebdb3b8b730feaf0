//! Plugins of tenants on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, error::Error, list_query};
use proto::{
    catalog::v1::Stage,
    tenant_plugin::v1::{self as pb, tenant_plugin_service_server::TenantPluginService},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{TenantPlugin, Wish},
    ops,
};

/// `provost.tenant_plugin.v1.TenantPluginService`.
pub struct TenantPluginRpc(pub Arc<Kernel>);

#[async_trait]
impl TenantPluginService for TenantPluginRpc {
    async fn get_tenant_plugin(
        &self,
        request: Request<pb::GetTenantPluginRequest>,
    ) -> Result<Response<pb::TenantPlugin>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::tenant_plugin_get(&ctx, &r.name).await }).await
    }

    async fn list_tenant_plugins(
        &self,
        request: Request<pb::ListTenantPluginsRequest>,
    ) -> Result<Response<pb::ListTenantPluginsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let wish = Wish::new(&r.marketplace, is_ready(r.readiness)?)?;
                let page = ops::tenant_plugin_list(&ctx, &r.parent, &wish, list_query!(r)).await?;
                let tenant_plugins = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListTenantPluginsResponse { tenant_plugins, next_page_token: page.next_page_token })
            })
            .await
    }
}

fn is_ready(number: i32) -> Result<Option<bool>> {
    match pb::Readiness::try_from(number) {
        Ok(pb::Readiness::Unspecified) => Ok(None),
        Ok(pb::Readiness::Ready) => Ok(Some(true)),
        Ok(pb::Readiness::NotReady) => Ok(Some(false)),
        Err(_) => Err(Error::invalid("readiness", "use READY, NOT_READY, or nothing for all")),
    }
}

impl From<TenantPlugin> for pb::TenantPlugin {
    fn from(plugin: TenantPlugin) -> Self {
        let readiness = if plugin.is_ready() { pb::Readiness::Ready } else { pb::Readiness::NotReady };
        Self {
            stage: Stage::from(plugin.stage).into(),
            platform_stage: Stage::from(plugin.platform_stage).into(),
            stage_override: plugin.stage_override.unwrap_or_default(),
            readiness: readiness.into(),
            name: plugin.name,
            plugin: plugin.plugin,
            missing_apps: plugin.missing_apps,
        }
    }
}
