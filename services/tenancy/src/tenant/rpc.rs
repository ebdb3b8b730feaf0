//! Tenants on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::tenant::v1::{self as pb, tenant_service_server::TenantService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    contract::{Contract, NewContract, NewSeats, Renewal},
    model::{NewTenant, Tenant, TenantErasure, TenantPatch, TenantState},
    ops,
};

/// `provost.tenant.v1.TenantService`.
pub struct TenantRpc(pub Arc<Kernel>);

#[async_trait]
impl TenantService for TenantRpc {
    async fn create_tenant(
        &self,
        request: Request<pb::CreateTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { ops::tenant_create(&ctx, new(r.tenant_id, r.tenant)).await },
            )
            .await
    }

    async fn get_tenant(
        &self,
        request: Request<pb::GetTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::tenant_get(&ctx, &r.name).await }).await
    }

    async fn list_tenants(
        &self,
        request: Request<pb::ListTenantsRequest>,
    ) -> Result<Response<pb::ListTenantsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::tenant_list(&ctx, &list_query!(r, show_deleted)).await?;
                let tenants = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListTenantsResponse { tenants, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_tenant(
        &self,
        request: Request<pb::UpdateTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let tenant = r.tenant.unwrap_or_default();
                let (name, etag) = (tenant.name.clone(), tenant.etag.clone());
                ops::tenant_update(&ctx, &name, &etag, patch(tenant, r.update_mask.as_ref())?).await
            })
            .await
    }

    async fn delete_tenant(
        &self,
        request: Request<pb::DeleteTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::tenant_delete(&ctx, &r.name, &r.etag).await }).await
    }

    async fn undelete_tenant(
        &self,
        request: Request<pb::UndeleteTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::tenant_undelete(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn contract_tenant(
        &self,
        request: Request<pb::ContractTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::tenant_contract(&ctx, &r.name, &r.etag, contract(r.contract)).await
            })
            .await
    }

    async fn start_pilot(
        &self,
        request: Request<pb::StartPilotRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::tenant_start_pilot(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn go_live(&self, request: Request<pb::GoLiveRequest>) -> Result<Response<pb::Tenant>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::tenant_go_live(&ctx, &r.name, &r.etag).await }).await
    }

    async fn suspend_tenant(
        &self,
        request: Request<pb::SuspendTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::tenant_suspend(&ctx, &r.name, &r.etag).await }).await
    }

    async fn resume_tenant(
        &self,
        request: Request<pb::ResumeTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::tenant_resume(&ctx, &r.name, &r.etag).await }).await
    }

    async fn close_tenant(
        &self,
        request: Request<pb::CloseTenantRequest>,
    ) -> Result<Response<pb::Tenant>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::tenant_close(&ctx, &r.name, &r.etag).await }).await
    }
}

fn new(id: String, tenant: Option<pb::Tenant>) -> NewTenant {
    let tenant = tenant.unwrap_or_default();
    NewTenant { id, partner: tenant.partner, display_name: tenant.display_name }
}

fn patch(tenant: pb::Tenant, mask: Option<&prost_types::FieldMask>) -> Result<TenantPatch> {
    let mask = Mask::new(mask, &["display_name"])?;
    Ok(TenantPatch { display_name: mask.pick("display_name", tenant.display_name) })
}

fn contract(contract: Option<pb::Contract>) -> NewContract {
    let contract = contract.unwrap_or_default();
    let renewal = match contract.renewal() {
        pb::Renewal::Unspecified => None,
        pb::Renewal::Manual => Some(Renewal::Manual),
        pb::Renewal::Automatic => Some(Renewal::Automatic),
    };
    let seats = contract.seats.into_iter().map(|s| NewSeats {
        pool: s.pool,
        count: s.count,
        monthly_price_minor: s.monthly_price_minor,
    });
    NewContract {
        signed_date: contract.signed_date,
        start_date: contract.start_date,
        end_date: contract.end_date,
        currency: contract.currency,
        seats: seats.collect(),
        renewal,
    }
}

impl From<Contract> for pb::Contract {
    fn from(contract: Contract) -> Self {
        let renewal = match contract.renewal {
            Renewal::Manual => pb::Renewal::Manual,
            Renewal::Automatic => pb::Renewal::Automatic,
        };
        let seats = contract.seats.into_iter().map(|s| pb::ContractSeats {
            pool: s.pool.to_string(),
            count: s.count,
            monthly_price_minor: s.monthly_price_minor,
        });
        Self {
            signed_date: contract.signed_date.to_string(),
            start_date: contract.start_date.to_string(),
            end_date: contract.end_date.to_string(),
            currency: contract.currency,
            seats: seats.collect(),
            renewal: renewal.into(),
        }
    }
}

impl From<TenantState> for pb::TenantState {
    fn from(state: TenantState) -> Self {
        match state {
            TenantState::Pipeline => Self::Pipeline,
            TenantState::Contracted => Self::Contracted,
            TenantState::Pilot => Self::Pilot,
            TenantState::Live => Self::Live,
            TenantState::Suspended => Self::Suspended,
            TenantState::Closed => Self::Closed,
        }
    }
}

impl From<TenantErasure> for pb::TenantErasure {
    fn from(erasure: TenantErasure) -> Self {
        match erasure {
            TenantErasure::Scheduled => Self::Scheduled,
            TenantErasure::Held => Self::Held,
            TenantErasure::Running => Self::Running,
            TenantErasure::Stopped => Self::Stopped,
            TenantErasure::Done => Self::Done,
        }
    }
}

impl From<Tenant> for pb::Tenant {
    fn from(tenant: Tenant) -> Self {
        Self {
            name: tenant.name(),
            partner: format!("partners/{}", tenant.partner.slug),
            state: pb::TenantState::from(tenant.state).into(),
            contract: tenant.contract.map(Into::into),
            uid: tenant.id.to_string(),
            create_time: Some(tenant.stamp.create_time.into()),
            update_time: Some(tenant.stamp.update_time.into()),
            delete_time: tenant.stamp.delete_time.map(Into::into),
            etag: tenant.stamp.etag(),
            erase_time: tenant.erase_time.map(Into::into),
            erasure: tenant.erasure.map_or(pb::TenantErasure::Unspecified, Into::into).into(),
            display_name: tenant.display_name,
        }
    }
}
