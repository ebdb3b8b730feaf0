//! Duties on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, authz::Duty, list_query};
use proto::duty::v1::{self as pb, duty_service_server::DutyService};
use tonic::{Request, Response, Status, async_trait};

use super::{model::DutyGrant, ops};

/// `provost.duty.v1.DutyService`.
pub struct DutyRpc(pub Arc<Kernel>);

#[async_trait]
impl DutyService for DutyRpc {
    async fn grant_duty(
        &self,
        request: Request<pb::GrantDutyRequest>,
    ) -> Result<Response<pb::DutyGrant>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::duty_grant(&ctx, &r.parent, &r.principal, duty_in(r.duty())).await
            })
            .await
    }

    async fn revoke_duty(
        &self,
        request: Request<pb::RevokeDutyRequest>,
    ) -> Result<Response<pb::DutyGrant>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::duty_revoke(&ctx, &r.name).await }).await
    }

    async fn list_duty_grants(
        &self,
        request: Request<pb::ListDutyGrantsRequest>,
    ) -> Result<Response<pb::ListDutyGrantsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::duty_list(&ctx, &r.parent, &list_query!(r)).await?;
                let duty_grants = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListDutyGrantsResponse { duty_grants, next_page_token: page.next_page_token })
            })
            .await
    }
}

impl From<DutyGrant> for pb::DutyGrant {
    fn from(grant: DutyGrant) -> Self {
        Self {
            name: grant.name,
            principal: grant.principal,
            duty: duty_out(grant.duty).into(),
            create_time: Some(grant.create_time.into()),
        }
    }
}

fn duty_in(duty: pb::Duty) -> Option<Duty> {
    match duty {
        pb::Duty::Unspecified => None,
        pb::Duty::PlatformAdmin => Some(Duty::PlatformAdmin),
        pb::Duty::PlatformAuditor => Some(Duty::PlatformAuditor),
        pb::Duty::PartnerAdmin => Some(Duty::PartnerAdmin),
        pb::Duty::Consultant => Some(Duty::Consultant),
        pb::Duty::Owner => Some(Duty::Owner),
        pb::Duty::Admin => Some(Duty::Admin),
        pb::Duty::Compliance => Some(Duty::Compliance),
        pb::Duty::Finance => Some(Duty::Finance),
        pb::Duty::Approver => Some(Duty::Approver),
        pb::Duty::Member => Some(Duty::Member),
    }
}

fn duty_out(duty: Duty) -> pb::Duty {
    match duty {
        Duty::PlatformAdmin => pb::Duty::PlatformAdmin,
        Duty::PlatformAuditor => pb::Duty::PlatformAuditor,
        Duty::PartnerAdmin => pb::Duty::PartnerAdmin,
        Duty::Consultant => pb::Duty::Consultant,
        Duty::Owner => pb::Duty::Owner,
        Duty::Admin => pb::Duty::Admin,
        Duty::Compliance => pb::Duty::Compliance,
        Duty::Finance => pb::Duty::Finance,
        Duty::Approver => pb::Duty::Approver,
        Duty::Member => pb::Duty::Member,
    }
}
