//! Seat pools on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::seat_pool::v1::{self as pb, seat_pool_service_server::SeatPoolService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    holder,
    model::{SeatHolder, SeatPool, SeatPools},
};
use crate::set::{
    model::{NewSet, SetPatch},
    ops,
};

/// `provost.seat_pool.v1.SeatPoolService`.
pub struct SeatPoolRpc(pub Arc<Kernel>);

#[async_trait]
impl SeatPoolService for SeatPoolRpc {
    async fn create_seat_pool(
        &self,
        request: Request<pb::CreateSeatPoolRequest>,
    ) -> Result<Response<pb::SeatPool>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::set_create::<SeatPools>(&ctx, &r.parent, new(r.seat_pool_id, r.seat_pool)).await
            })
            .await
    }

    async fn get_seat_pool(
        &self,
        request: Request<pb::GetSeatPoolRequest>,
    ) -> Result<Response<pb::SeatPool>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::set_get::<SeatPools>(&ctx, &r.name).await }).await
    }

    async fn list_seat_pools(
        &self,
        request: Request<pb::ListSeatPoolsRequest>,
    ) -> Result<Response<pb::ListSeatPoolsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::set_list::<SeatPools>(&ctx, &r.parent, &list_query!(r, show_deleted)).await?;
                let seat_pools = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListSeatPoolsResponse { seat_pools, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_seat_pool(
        &self,
        request: Request<pb::UpdateSeatPoolRequest>,
    ) -> Result<Response<pb::SeatPool>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let pool = r.seat_pool.unwrap_or_default();
                let (name, etag) = (pool.name.clone(), pool.etag.clone());
                ops::set_update::<SeatPools>(&ctx, &name, &etag, patch(pool, r.update_mask.as_ref())?).await
            })
            .await
    }

    async fn delete_seat_pool(
        &self,
        request: Request<pb::DeleteSeatPoolRequest>,
    ) -> Result<Response<pb::SeatPool>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { ops::set_delete::<SeatPools>(&ctx, &r.name, &r.etag).await },
            )
            .await
    }

    async fn undelete_seat_pool(
        &self,
        request: Request<pb::UndeleteSeatPoolRequest>,
    ) -> Result<Response<pb::SeatPool>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { ops::set_undelete::<SeatPools>(&ctx, &r.name, &r.etag).await },
            )
            .await
    }

    async fn add_seat_holder(
        &self,
        request: Request<pb::AddSeatHolderRequest>,
    ) -> Result<Response<pb::SeatHolder>, Status> {
        self.0
            .serve(request, |ctx, r| async move { holder::seat_holder_add(&ctx, &r.name, &r.holder).await })
            .await
    }

    async fn remove_seat_holder(
        &self,
        request: Request<pb::RemoveSeatHolderRequest>,
    ) -> Result<Response<pb::SeatHolder>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { holder::seat_holder_remove(&ctx, &r.name, &r.holder).await },
            )
            .await
    }

    async fn list_seat_holders(
        &self,
        request: Request<pb::ListSeatHoldersRequest>,
    ) -> Result<Response<pb::ListSeatHoldersResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = holder::seat_holder_list(&ctx, &r.parent, &list_query!(r)).await?;
                let holders = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListSeatHoldersResponse { holders, next_page_token: page.next_page_token })
            })
            .await
    }
}

fn new(id: String, pool: Option<pb::SeatPool>) -> NewSet {
    let pool = pool.unwrap_or_default();
    NewSet { id, display_name: pool.display_name, description: pool.description }
}

fn patch(pool: pb::SeatPool, mask: Option<&prost_types::FieldMask>) -> Result<SetPatch> {
    let mask = Mask::new(mask, &["display_name", "description"])?;
    Ok(SetPatch {
        display_name: mask.pick("display_name", pool.display_name),
        description: mask.pick("description", pool.description),
    })
}

impl From<SeatPool> for pb::SeatPool {
    fn from(pool: SeatPool) -> Self {
        Self {
            name: pool.name(),
            uid: pool.id.to_string(),
            create_time: Some(pool.stamp.create_time.into()),
            update_time: Some(pool.stamp.update_time.into()),
            delete_time: pool.stamp.delete_time.map(Into::into),
            etag: pool.stamp.etag(),
            display_name: pool.display_name,
            description: pool.description,
        }
    }
}

impl From<SeatHolder> for pb::SeatHolder {
    fn from(holder: SeatHolder) -> Self {
        Self { holder: holder.holder(), create_time: Some(holder.create_time.into()) }
    }
}
