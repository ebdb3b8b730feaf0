//! Stage overrides on the wire.

use std::sync::Arc;

use catalog::model::Stage;
use kernel::{Kernel, Result, audit::Resource as _, error::Error, list_query, mask::Mask};
use proto::{
    catalog::v1::Stage as Wire,
    stage_override::v1::{self as pb, stage_override_service_server::StageOverrideService},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{NewOverride, OverridePatch, StageOverride},
    ops,
};

/// `provost.stage_override.v1.StageOverrideService`.
pub struct OverrideRpc(pub Arc<Kernel>);

#[async_trait]
impl StageOverrideService for OverrideRpc {
    async fn create_stage_override(
        &self,
        request: Request<pb::CreateStageOverrideRequest>,
    ) -> Result<Response<pb::StageOverride>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::override_create(&ctx, &r.parent, new(r.stage_override_id, r.stage_override)?).await
            })
            .await
    }

    async fn get_stage_override(
        &self,
        request: Request<pb::GetStageOverrideRequest>,
    ) -> Result<Response<pb::StageOverride>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::override_get(&ctx, &r.name).await }).await
    }

    async fn list_stage_overrides(
        &self,
        request: Request<pb::ListStageOverridesRequest>,
    ) -> Result<Response<pb::ListStageOverridesResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::override_list(&ctx, &r.parent, &list_query!(r)).await?;
                let stage_overrides = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListStageOverridesResponse { stage_overrides, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_stage_override(
        &self,
        request: Request<pb::UpdateStageOverrideRequest>,
    ) -> Result<Response<pb::StageOverride>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let new = r.stage_override.unwrap_or_default();
                let mask = Mask::new(r.update_mask.as_ref(), &["stage", "reason"])?;
                let patch = OverridePatch {
                    stage: mask.pick("stage", new.stage).map(stage).transpose()?,
                    reason: mask.pick("reason", new.reason),
                };
                ops::override_update(&ctx, &new.name, &new.etag, patch).await
            })
            .await
    }

    async fn delete_stage_override(
        &self,
        request: Request<pb::DeleteStageOverrideRequest>,
    ) -> Result<Response<pb::StageOverride>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::override_delete(&ctx, &r.name, &r.etag).await })
            .await
    }
}

fn new(id: String, new: Option<pb::StageOverride>) -> Result<NewOverride> {
    let new = new.unwrap_or_default();
    Ok(NewOverride { id, stage: stage(new.stage)?, plugin: new.plugin, reason: new.reason })
}

fn stage(number: i32) -> Result<Stage> {
    const FIELD: &str = "stage_override.stage";
    let words = "use one of DEPRECATED, PREVIEW, ALPHA, WITHDRAWN";
    match Wire::try_from(number) {
        Ok(Wire::Deprecated) => Ok(Stage::Deprecated),
        Ok(Wire::Preview) => Ok(Stage::Preview),
        Ok(Wire::Alpha) => Ok(Stage::Alpha),
        Ok(Wire::Withdrawn) => Ok(Stage::Withdrawn),
        Ok(Wire::Live) => {
            let message =
                format!("LIVE could never count: a tenant can only be stricter than the platform; {words}");
            Err(Error::invalid(FIELD, message))
        }
        Ok(Wire::Unspecified) | Err(_) => Err(Error::invalid(FIELD, words)),
    }
}

impl From<StageOverride> for pb::StageOverride {
    fn from(own: StageOverride) -> Self {
        Self {
            name: own.name(),
            stage: Wire::from(own.stage).into(),
            platform_stage: Wire::from(own.platform_stage).into(),
            effective_stage: Wire::from(own.effective_stage()).into(),
            uid: own.id.to_string(),
            create_time: Some(own.create_time.into()),
            update_time: Some(own.update_time.into()),
            etag: own.etag(),
            plugin: own.plugin,
            reason: own.reason,
        }
    }
}
