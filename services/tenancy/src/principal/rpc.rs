//! Principals on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::principal::v1::{self as pb, principal_service_server::PrincipalService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{NewPrincipal, Principal, PrincipalKind, PrincipalPatch, PrincipalState},
    ops,
};

/// `provost.principal.v1.PrincipalService`.
pub struct PrincipalRpc(pub Arc<Kernel>);

#[async_trait]
impl PrincipalService for PrincipalRpc {
    async fn create_principal(
        &self,
        request: Request<pb::CreatePrincipalRequest>,
    ) -> Result<Response<pb::Principal>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::principal_create(&ctx, &r.parent, new(r.principal_id, r.principal)).await
            })
            .await
    }

    async fn get_principal(
        &self,
        request: Request<pb::GetPrincipalRequest>,
    ) -> Result<Response<pb::Principal>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::principal_get(&ctx, &r.name).await }).await
    }

    async fn list_principals(
        &self,
        request: Request<pb::ListPrincipalsRequest>,
    ) -> Result<Response<pb::ListPrincipalsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::principal_list(&ctx, &r.parent, &list_query!(r, show_deleted)).await?;
                let principals = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListPrincipalsResponse { principals, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_principal(
        &self,
        request: Request<pb::UpdatePrincipalRequest>,
    ) -> Result<Response<pb::Principal>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let principal = r.principal.unwrap_or_default();
                let (name, etag) = (principal.name.clone(), principal.etag.clone());
                ops::principal_update(&ctx, &name, &etag, patch(principal, r.update_mask.as_ref())?).await
            })
            .await
    }

    async fn delete_principal(
        &self,
        request: Request<pb::DeletePrincipalRequest>,
    ) -> Result<Response<pb::Principal>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::principal_delete(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn undelete_principal(
        &self,
        request: Request<pb::UndeletePrincipalRequest>,
    ) -> Result<Response<pb::Principal>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::principal_undelete(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn suspend_principal(
        &self,
        request: Request<pb::SuspendPrincipalRequest>,
    ) -> Result<Response<pb::Principal>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::principal_suspend(&ctx, &r.name, &r.etag).await })
            .await
    }

    async fn resume_principal(
        &self,
        request: Request<pb::ResumePrincipalRequest>,
    ) -> Result<Response<pb::Principal>, Status> {
        self.0
            .serve(request, |ctx, r| async move { ops::principal_resume(&ctx, &r.name, &r.etag).await })
            .await
    }
}

fn new(id: String, principal: Option<pb::Principal>) -> NewPrincipal {
    let principal = principal.unwrap_or_default();
    NewPrincipal {
        id,
        kind: kind(principal.kind()),
        display_name: principal.display_name,
        email: principal.email,
        unit: principal.unit,
        owner: principal.owner,
    }
}

fn kind(kind: pb::PrincipalKind) -> Option<PrincipalKind> {
    match kind {
        pb::PrincipalKind::Unspecified => None,
        pb::PrincipalKind::User => Some(PrincipalKind::User),
        pb::PrincipalKind::Service => Some(PrincipalKind::Service),
        pb::PrincipalKind::Agent => Some(PrincipalKind::Agent),
    }
}

fn patch(principal: pb::Principal, mask: Option<&prost_types::FieldMask>) -> Result<PrincipalPatch> {
    let mask = Mask::new(mask, &["display_name", "email", "unit"])?;
    Ok(PrincipalPatch {
        display_name: mask.pick("display_name", principal.display_name),
        email: mask.pick("email", principal.email),
        unit: mask.pick("unit", principal.unit),
    })
}

impl From<PrincipalKind> for pb::PrincipalKind {
    fn from(kind: PrincipalKind) -> Self {
        match kind {
            PrincipalKind::User => Self::User,
            PrincipalKind::Service => Self::Service,
            PrincipalKind::Agent => Self::Agent,
        }
    }
}

impl From<PrincipalState> for pb::PrincipalState {
    fn from(state: PrincipalState) -> Self {
        match state {
            PrincipalState::Active => Self::Active,
            PrincipalState::Suspended => Self::Suspended,
        }
    }
}

impl From<Principal> for pb::Principal {
    fn from(principal: Principal) -> Self {
        Self {
            name: principal.name(),
            kind: pb::PrincipalKind::from(principal.kind).into(),
            unit: principal.unit(),
            owner: principal.owner(),
            state: pb::PrincipalState::from(principal.state).into(),
            uid: principal.id.to_string(),
            create_time: Some(principal.stamp.create_time.into()),
            update_time: Some(principal.stamp.update_time.into()),
            delete_time: principal.stamp.delete_time.map(Into::into),
            etag: principal.stamp.etag(),
            display_name: principal.display_name,
            email: principal.email,
        }
    }
}
