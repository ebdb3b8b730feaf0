//! Units on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::unit::v1::{self as pb, unit_service_server::UnitService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{NewUnit, Unit, UnitPatch},
    ops,
};

/// `provost.unit.v1.UnitService`.
pub struct UnitRpc(pub Arc<Kernel>);

#[async_trait]
impl UnitService for UnitRpc {
    async fn create_unit(
        &self,
        request: Request<pb::CreateUnitRequest>,
    ) -> Result<Response<pb::Unit>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::unit_create(&ctx, &r.parent, new(r.unit_id, r.unit)).await
            })
            .await
    }

    async fn get_unit(&self, request: Request<pb::GetUnitRequest>) -> Result<Response<pb::Unit>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::unit_get(&ctx, &r.name).await }).await
    }

    async fn list_units(
        &self,
        request: Request<pb::ListUnitsRequest>,
    ) -> Result<Response<pb::ListUnitsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::unit_list(&ctx, &r.parent, &list_query!(r, show_deleted)).await?;
                let units = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListUnitsResponse { units, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_unit(
        &self,
        request: Request<pb::UpdateUnitRequest>,
    ) -> Result<Response<pb::Unit>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let unit = r.unit.unwrap_or_default();
                let (name, etag) = (unit.name.clone(), unit.etag.clone());
                ops::unit_update(&ctx, &name, &etag, patch(unit, r.update_mask.as_ref())?).await
            })
            .await
    }

    async fn delete_unit(
        &self,
        request: Request<pb::DeleteUnitRequest>,
    ) -> Result<Response<pb::Unit>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::unit_delete(&ctx, &r.name, &r.etag).await }).await
    }

    async fn undelete_unit(
        &self,
        request: Request<pb::UndeleteUnitRequest>,
    ) -> Result<Response<pb::Unit>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::unit_undelete(&ctx, &r.name, &r.etag).await }).await
    }
}

fn new(id: String, unit: Option<pb::Unit>) -> NewUnit {
    let unit = unit.unwrap_or_default();
    NewUnit {
        id,
        display_name: unit.display_name,
        parent_unit: unit.parent_unit,
        cost_center: unit.cost_center,
    }
}

fn patch(unit: pb::Unit, mask: Option<&prost_types::FieldMask>) -> Result<UnitPatch> {
    let mask = Mask::new(mask, &["display_name", "parent_unit", "cost_center"])?;
    Ok(UnitPatch {
        display_name: mask.pick("display_name", unit.display_name),
        parent_unit: mask.pick("parent_unit", unit.parent_unit),
        cost_center: mask.pick("cost_center", unit.cost_center),
    })
}

impl From<Unit> for pb::Unit {
    fn from(unit: Unit) -> Self {
        Self {
            name: unit.name(),
            parent_unit: unit.parent_unit(),
            uid: unit.id.to_string(),
            create_time: Some(unit.stamp.create_time.into()),
            update_time: Some(unit.stamp.update_time.into()),
            delete_time: unit.stamp.delete_time.map(Into::into),
            etag: unit.stamp.etag(),
            display_name: unit.display_name,
            cost_center: unit.cost_center,
        }
    }
}
