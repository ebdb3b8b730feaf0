//! Partners on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::partner::v1::{self as pb, partner_service_server::PartnerService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    activity::Activity,
    model::{NewPartner, Partner, PartnerPatch, Portfolio},
    ops,
};

/// `provost.partner.v1.PartnerService`.
pub struct PartnerRpc(pub Arc<Kernel>, pub Arc<dyn Activity>);

#[async_trait]
impl PartnerService for PartnerRpc {
    async fn create_partner(
        &self,
        request: Request<pb::CreatePartnerRequest>,
    ) -> Result<Response<pb::Partner>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { ops::partner_create(&ctx, new(r.partner_id, r.partner)).await },
            )
            .await
    }

    async fn get_partner(
        &self,
        request: Request<pb::GetPartnerRequest>,
    ) -> Result<Response<pb::Partner>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::partner_get(&ctx, &r.name).await }).await
    }

    async fn list_partners(
        &self,
        request: Request<pb::ListPartnersRequest>,
    ) -> Result<Response<pb::ListPartnersResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::partner_list(&ctx, &list_query!(r, show_deleted)).await?;
                let partners = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListPartnersResponse { partners, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_partner(
        &self,
        request: Request<pb::UpdatePartnerRequest>,
    ) -> Result<Response<pb::Partner>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let partner = r.partner.unwrap_or_default();
                let (name, etag) = (partner.name.clone(), partner.etag.clone());
                ops::partner_update(&ctx, &name, &etag, patch(partner, r.update_mask.as_ref())?).await
            })
            .await
    }

    async fn delete_partner(
        &self,
        request: Request<pb::DeletePartnerRequest>,
    ) -> Result<Response<pb::Partner>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::partner_delete(&ctx, &r.name, &r.etag).await }).await
    }

    async fn undelete_partner(
        &self,
        request: Request<pb::UndeletePartnerRequest>,
    ) -> Result<Response<pb::Partner>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::partner_undelete(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn get_portfolio(
        &self,
        request: Request<pb::GetPortfolioRequest>,
    ) -> Result<Response<pb::Portfolio>, Status> {
        let activity = Arc::clone(&self.1);
        self.0
            .serve(request, |ctx, r| {
                let activity = Arc::clone(&activity);
                async move { ops::partner_portfolio(&ctx, activity.as_ref(), &r.name).await }
            })
            .await
    }
}

fn new(id: String, partner: Option<pb::Partner>) -> NewPartner {
    NewPartner { id, display_name: partner.unwrap_or_default().display_name }
}

fn patch(partner: pb::Partner, mask: Option<&prost_types::FieldMask>) -> Result<PartnerPatch> {
    let mask = Mask::new(mask, &["display_name"])?;
    Ok(PartnerPatch { display_name: mask.pick("display_name", partner.display_name) })
}

impl From<Partner> for pb::Partner {
    fn from(partner: Partner) -> Self {
        Self {
            name: partner.name(),
            uid: partner.id.to_string(),
            create_time: Some(partner.stamp.create_time.into()),
            update_time: Some(partner.stamp.update_time.into()),
            delete_time: partner.stamp.delete_time.map(Into::into),
            etag: partner.stamp.etag(),
            display_name: partner.display_name,
        }
    }
}

impl From<Portfolio> for pb::Portfolio {
    fn from(portfolio: Portfolio) -> Self {
        let stages = portfolio.stages.into_iter().map(|row| pb::PortfolioStage {
            stage: row.stage.as_str().to_ascii_uppercase(),
            tenants: row.tenants,
            seats_contracted: row.seats_contracted,
            weekly_active_principals: row.weekly_active,
        });
        Self { name: portfolio.partner, stages: stages.collect() }
    }
}
