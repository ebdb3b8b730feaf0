//! Connector bindings on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::connector_binding::v1::{self as pb, connector_binding_service_server::ConnectorBindingService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{Binding, NewBinding, State},
    ops,
};

/// `provost.connector_binding.v1.ConnectorBindingService`.
pub struct BindingRpc(pub Arc<Kernel>);

#[async_trait]
impl ConnectorBindingService for BindingRpc {
    async fn create_connector_binding(
        &self,
        request: Request<pb::CreateConnectorBindingRequest>,
    ) -> Result<Response<pb::ConnectorBinding>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::binding_create(&ctx, &r.parent, new(r.connector_binding_id, r.connector_binding)).await
            })
            .await
    }

    async fn get_connector_binding(
        &self,
        request: Request<pb::GetConnectorBindingRequest>,
    ) -> Result<Response<pb::ConnectorBinding>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::binding_get(&ctx, &r.name).await }).await
    }

    async fn list_connector_bindings(
        &self,
        request: Request<pb::ListConnectorBindingsRequest>,
    ) -> Result<Response<pb::ListConnectorBindingsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::binding_list(&ctx, &r.parent, &list_query!(r)).await?;
                let connector_bindings = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListConnectorBindingsResponse {
                    connector_bindings,
                    next_page_token: page.next_page_token,
                })
            })
            .await
    }

    async fn update_connector_binding(
        &self,
        request: Request<pb::UpdateConnectorBindingRequest>,
    ) -> Result<Response<pb::ConnectorBinding>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let binding = r.connector_binding.unwrap_or_default();
                let mask = Mask::new(r.update_mask.as_ref(), &["connector_id"])?;
                let connector_id = mask.pick("connector_id", binding.connector_id);
                ops::binding_update(&ctx, &binding.name, &binding.etag, connector_id).await
            })
            .await
    }

    async fn delete_connector_binding(
        &self,
        request: Request<pb::DeleteConnectorBindingRequest>,
    ) -> Result<Response<pb::ConnectorBinding>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::binding_delete(&ctx, &r.name, &r.etag).await }).await
    }
}

fn new(id: String, binding: Option<pb::ConnectorBinding>) -> NewBinding {
    let pb::ConnectorBinding { plugin, app, connector_id, .. } = binding.unwrap_or_default();
    NewBinding { id, plugin, app, connector_id }
}

impl From<State> for pb::ConnectorBindingState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Orphaned => Self::Orphaned,
        }
    }
}

impl From<Binding> for pb::ConnectorBinding {
    fn from(binding: Binding) -> Self {
        Self {
            name: binding.name(),
            state: pb::ConnectorBindingState::from(binding.state).into(),
            uid: binding.id.to_string(),
            create_time: Some(binding.create_time.into()),
            update_time: Some(binding.update_time.into()),
            etag: binding.etag(),
            plugin: binding.plugin,
            app: binding.app,
            connector_id: binding.connector_id,
        }
    }
}
