//! Roles on the wire.

use std::sync::Arc;

use kernel::{Error, Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::role::v1::{self as pb, role_service_server::RoleService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    inclusion,
    member::{self, RoleMember},
    model::{NewRole, Role, RoleFamily, RolePatch},
    ops,
};

/// `provost.role.v1.RoleService`.
pub struct RoleRpc(pub Arc<Kernel>);

#[async_trait]
impl RoleService for RoleRpc {
    async fn create_role(
        &self,
        request: Request<pb::CreateRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::role_create(&ctx, &r.parent, new(r.role_id, r.role)?).await
            })
            .await
    }

    async fn get_role(&self, request: Request<pb::GetRoleRequest>) -> Result<Response<pb::Role>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::role_get(&ctx, &r.name).await }).await
    }

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<pb::ListRolesResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::role_list(&ctx, &r.parent, &list_query!(r, show_deleted)).await?;
                let roles = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListRolesResponse { roles, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_role(
        &self,
        request: Request<pb::UpdateRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let role = r.role.unwrap_or_default();
                let (name, etag) = (role.name.clone(), role.etag.clone());
                ops::role_update(&ctx, &name, &etag, patch(role, r.update_mask.as_ref())?).await
            })
            .await
    }

    async fn delete_role(
        &self,
        request: Request<pb::DeleteRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::role_delete(&ctx, &r.name, &r.etag).await }).await
    }

    async fn undelete_role(
        &self,
        request: Request<pb::UndeleteRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::role_undelete(&ctx, &r.name, &r.etag).await }).await
    }

    async fn add_role_member(
        &self,
        request: Request<pb::AddRoleMemberRequest>,
    ) -> Result<Response<pb::RoleMember>, Status> {
        self.0
            .serve(request, |ctx, r| async move { member::role_member_add(&ctx, &r.name, &r.member).await })
            .await
    }

    async fn remove_role_member(
        &self,
        request: Request<pb::RemoveRoleMemberRequest>,
    ) -> Result<Response<pb::RoleMember>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { member::role_member_remove(&ctx, &r.name, &r.member).await },
            )
            .await
    }

    async fn list_role_members(
        &self,
        request: Request<pb::ListRoleMembersRequest>,
    ) -> Result<Response<pb::ListRoleMembersResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = member::role_member_list(&ctx, &r.parent, &list_query!(r)).await?;
                let members = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListRoleMembersResponse { members, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn include_role(
        &self,
        request: Request<pb::IncludeRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { inclusion::role_include(&ctx, &r.name, &r.included_role).await },
            )
            .await
    }

    async fn exclude_role(
        &self,
        request: Request<pb::ExcludeRoleRequest>,
    ) -> Result<Response<pb::Role>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { inclusion::role_exclude(&ctx, &r.name, &r.included_role).await },
            )
            .await
    }
}

fn new(id: String, role: Option<pb::Role>) -> Result<NewRole> {
    let role = role.unwrap_or_default();
    let family = family(role.family)?;
    Ok(NewRole { id, display_name: role.display_name, description: role.description, family })
}

fn family(number: i32) -> Result<RoleFamily> {
    match pb::RoleFamily::try_from(number) {
        Ok(pb::RoleFamily::Unspecified) => Ok(RoleFamily::Unspecified),
        Ok(pb::RoleFamily::Developer) => Ok(RoleFamily::Developer),
        Ok(pb::RoleFamily::NonDeveloper) => Ok(RoleFamily::NonDeveloper),
        Err(_) => {
            let message = format!("`{number}` is no family; use DEVELOPER or NON_DEVELOPER");
            Err(Error::invalid("role.family", message))
        }
    }
}

impl From<RoleFamily> for pb::RoleFamily {
    fn from(family: RoleFamily) -> Self {
        match family {
            RoleFamily::Unspecified => Self::Unspecified,
            RoleFamily::Developer => Self::Developer,
            RoleFamily::NonDeveloper => Self::NonDeveloper,
        }
    }
}

fn patch(role: pb::Role, mask: Option<&prost_types::FieldMask>) -> Result<RolePatch> {
    let mask = Mask::new(mask, &["display_name", "description", "family"])?;
    let family = family(role.family)?;
    Ok(RolePatch {
        display_name: mask.pick("display_name", role.display_name),
        description: mask.pick("description", role.description),
        family: mask.pick("family", family),
    })
}

impl From<Role> for pb::Role {
    fn from(role: Role) -> Self {
        Self {
            name: role.name(),
            included_roles: role.included_roles(),
            uid: role.id.to_string(),
            create_time: Some(role.stamp.create_time.into()),
            update_time: Some(role.stamp.update_time.into()),
            delete_time: role.stamp.delete_time.map(Into::into),
            etag: role.stamp.etag(),
            display_name: role.display_name,
            description: role.description,
            family: pb::RoleFamily::from(role.family).into(),
        }
    }
}

impl From<RoleMember> for pb::RoleMember {
    fn from(member: RoleMember) -> Self {
        Self { member: member.member(), create_time: Some(member.create_time.into()) }
    }
}
