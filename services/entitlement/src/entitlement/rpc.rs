//! Entitlements on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, clock::Time, error::Error, list_query, mask::Mask};
use proto::{
    catalog::v1::Stage,
    entitlement::v1::{self as pb, entitlement_service_server::EntitlementService},
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{Effect, Entitlement, EntitlementPatch, MaxStage, NewEntitlement},
    ops,
};
use crate::{
    decision::live::Policies,
    preview::{ops as preview, rpc as foreseen},
};

/// `provost.entitlement.v1.EntitlementService`.
pub struct EntitlementRpc(pub Arc<Kernel>, pub Arc<Policies>);

#[async_trait]
impl EntitlementService for EntitlementRpc {
    async fn create_entitlement(
        &self,
        request: Request<pb::CreateEntitlementRequest>,
    ) -> Result<Response<pb::Entitlement>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::entitlement_create(&ctx, &r.parent, new(r.entitlement_id, r.entitlement)?).await
            })
            .await
    }

    async fn get_entitlement(
        &self,
        request: Request<pb::GetEntitlementRequest>,
    ) -> Result<Response<pb::Entitlement>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::entitlement_get(&ctx, &r.name).await }).await
    }

    async fn list_entitlements(
        &self,
        request: Request<pb::ListEntitlementsRequest>,
    ) -> Result<Response<pb::ListEntitlementsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::entitlement_list(&ctx, &r.parent, &list_query!(r)).await?;
                let entitlements = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListEntitlementsResponse { entitlements, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_entitlement(
        &self,
        request: Request<pb::UpdateEntitlementRequest>,
    ) -> Result<Response<pb::Entitlement>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let entitlement = r.entitlement.unwrap_or_default();
                let (name, etag) = (entitlement.name.clone(), entitlement.etag.clone());
                let patch = patch(entitlement, r.update_mask.as_ref())?;
                ops::entitlement_update(&ctx, &name, &etag, patch).await
            })
            .await
    }

    async fn delete_entitlement(
        &self,
        request: Request<pb::DeleteEntitlementRequest>,
    ) -> Result<Response<pb::Entitlement>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::entitlement_delete(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn preview_change(
        &self,
        request: Request<pb::PreviewChangeRequest>,
    ) -> Result<Response<pb::PreviewChangeResponse>, Status> {
        let policies = &self.1;
        self.0
            .serve(request, |ctx, r| async move {
                let at = foreseen::at(r.at_time)?;
                let terms = preview::Terms { at, names: r.max_principals, token: &r.revision_token };
                let changes = foreseen::proposals(r.changes)?;
                preview::change_preview(&ctx, policies, &r.parent, &changes, terms).await
            })
            .await
    }

    async fn diff_policies(
        &self,
        request: Request<pb::DiffPoliciesRequest>,
    ) -> Result<Response<pb::DiffPoliciesResponse>, Status> {
        let policies = &self.1;
        self.0
            .serve(request, |ctx, r| async move {
                let at = foreseen::at(r.at_time)?;
                let terms = preview::Terms { at, names: r.max_principals, token: &r.revision_token };
                let other = foreseen::rules(r.entitlements)?;
                preview::policies_diff(&ctx, policies, &r.parent, other, terms).await
            })
            .await
    }
}

pub(crate) fn new(id: String, entitlement: Option<pb::Entitlement>) -> Result<NewEntitlement> {
    let entitlement = entitlement.unwrap_or_default();
    Ok(NewEntitlement {
        id,
        effect: effect(entitlement.effect)?,
        max_stage: max_stage(entitlement.max_stage)?,
        not_before: time("entitlement.not_before", entitlement.not_before)?,
        not_after: time("entitlement.not_after", entitlement.not_after)?,
        role: entitlement.role,
        target: entitlement.target,
        reason: entitlement.reason,
        floor: entitlement.floor,
        seat_pool: entitlement.seat_pool,
    })
}

fn patch(entitlement: pb::Entitlement, mask: Option<&prost_types::FieldMask>) -> Result<EntitlementPatch> {
    let mask = Mask::new(mask, &["max_stage", "seat_pool", "not_before", "not_after", "reason"])?;
    let max_stage = mask.pick("max_stage", entitlement.max_stage).map(max_stage).transpose()?;
    let bound = |field: &str, value| {
        mask.pick(field, value).map(|t| time(&format!("entitlement.{field}"), t)).transpose()
    };
    Ok(EntitlementPatch {
        max_stage,
        seat_pool: mask.pick("seat_pool", entitlement.seat_pool),
        not_before: bound("not_before", entitlement.not_before)?,
        not_after: bound("not_after", entitlement.not_after)?,
        reason: mask.pick("reason", entitlement.reason),
    })
}

fn effect(number: i32) -> Result<Effect> {
    match pb::Effect::try_from(number) {
        Ok(pb::Effect::Denied) => Ok(Effect::Denied),
        Ok(pb::Effect::Available) => Ok(Effect::Available),
        Ok(pb::Effect::Default) => Ok(Effect::Default),
        Ok(pb::Effect::Required) => Ok(Effect::Required),
        Ok(pb::Effect::Unspecified) | Err(_) => {
            Err(Error::invalid("entitlement.effect", "use one of DENIED, AVAILABLE, DEFAULT, REQUIRED"))
        }
    }
}

fn max_stage(number: i32) -> Result<MaxStage> {
    match Stage::try_from(number) {
        Ok(Stage::Alpha) => Ok(MaxStage::Alpha),
        Ok(Stage::Preview) => Ok(MaxStage::Preview),
        Ok(Stage::Live | Stage::Unspecified) => Ok(MaxStage::Live),
        Ok(Stage::Deprecated | Stage::Withdrawn) | Err(_) => Err(Error::invalid(
            "entitlement.max_stage",
            "use one of ALPHA, PREVIEW, LIVE, or nothing for LIVE",
        )),
    }
}

pub(crate) fn time(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<Time>> {
    let outside = |_| Error::invalid(field, "is out of range: years 1970 to 9999 are accepted");
    time.map(|t| Time::try_from(t).map_err(outside)).transpose()
}

impl From<Effect> for pb::Effect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Denied => Self::Denied,
            Effect::Available => Self::Available,
            Effect::Default => Self::Default,
            Effect::Required => Self::Required,
        }
    }
}

impl From<MaxStage> for Stage {
    fn from(stage: MaxStage) -> Self {
        match stage {
            MaxStage::Alpha => Self::Alpha,
            MaxStage::Preview => Self::Preview,
            MaxStage::Live => Self::Live,
        }
    }
}

impl From<Entitlement> for pb::Entitlement {
    fn from(entitlement: Entitlement) -> Self {
        Self {
            name: entitlement.name(),
            role: entitlement.role(),
            effect: pb::Effect::from(entitlement.effect).into(),
            max_stage: Stage::from(entitlement.max_stage).into(),
            not_before: entitlement.not_before.map(Into::into),
            not_after: entitlement.not_after.map(Into::into),
            uid: entitlement.id.to_string(),
            create_time: Some(entitlement.create_time.into()),
            etag: entitlement.etag(),
            seat_pool: entitlement.seat_pool(),
            update_time: Some(entitlement.update_time.unwrap_or(entitlement.create_time).into()),
            target: entitlement.target,
            reason: entitlement.reason,
            floor: entitlement.floor,
        }
    }
}
