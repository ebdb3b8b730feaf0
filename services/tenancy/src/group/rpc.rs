//! Groups on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::group::v1::{self as pb, group_service_server::GroupService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    member,
    model::{Group, GroupMember, GroupPatch, NewGroup},
    ops,
};

/// `provost.group.v1.GroupService`.
pub struct GroupRpc(pub Arc<Kernel>);

#[async_trait]
impl GroupService for GroupRpc {
    async fn create_group(
        &self,
        request: Request<pb::CreateGroupRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::group_create(&ctx, &r.parent, new(r.group_id, r.group)).await
            })
            .await
    }

    async fn get_group(&self, request: Request<pb::GetGroupRequest>) -> Result<Response<pb::Group>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::group_get(&ctx, &r.name).await }).await
    }

    async fn list_groups(
        &self,
        request: Request<pb::ListGroupsRequest>,
    ) -> Result<Response<pb::ListGroupsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = ops::group_list(&ctx, &r.parent, &list_query!(r, show_deleted)).await?;
                let groups = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListGroupsResponse { groups, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_group(
        &self,
        request: Request<pb::UpdateGroupRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let group = r.group.unwrap_or_default();
                let (name, etag) = (group.name.clone(), group.etag.clone());
                ops::group_update(&ctx, &name, &etag, patch(group, r.update_mask.as_ref())?).await
            })
            .await
    }

    async fn delete_group(
        &self,
        request: Request<pb::DeleteGroupRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::group_delete(&ctx, &r.name, &r.etag).await }).await
    }

    async fn undelete_group(
        &self,
        request: Request<pb::UndeleteGroupRequest>,
    ) -> Result<Response<pb::Group>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::group_undelete(&ctx, &r.name, &r.etag).await }).await
    }

    async fn add_group_member(
        &self,
        request: Request<pb::AddGroupMemberRequest>,
    ) -> Result<Response<pb::GroupMember>, Status> {
        self.0
            .serve(request, |ctx, r| async move { member::group_member_add(&ctx, &r.name, &r.member).await })
            .await
    }

    async fn remove_group_member(
        &self,
        request: Request<pb::RemoveGroupMemberRequest>,
    ) -> Result<Response<pb::GroupMember>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { member::group_member_remove(&ctx, &r.name, &r.member).await },
            )
            .await
    }

    async fn list_group_members(
        &self,
        request: Request<pb::ListGroupMembersRequest>,
    ) -> Result<Response<pb::ListGroupMembersResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = member::group_member_list(&ctx, &r.parent, &list_query!(r)).await?;
                let members = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListGroupMembersResponse { members, next_page_token: page.next_page_token })
            })
            .await
    }
}

fn new(id: String, group: Option<pb::Group>) -> NewGroup {
    let group = group.unwrap_or_default();
    NewGroup { id, display_name: group.display_name, external_id: group.external_id }
}

fn patch(group: pb::Group, mask: Option<&prost_types::FieldMask>) -> Result<GroupPatch> {
    let mask = Mask::new(mask, &["display_name", "external_id"])?;
    Ok(GroupPatch {
        display_name: mask.pick("display_name", group.display_name),
        external_id: mask.pick("external_id", group.external_id),
    })
}

impl From<Group> for pb::Group {
    fn from(group: Group) -> Self {
        Self {
            name: group.name(),
            uid: group.id.to_string(),
            create_time: Some(group.stamp.create_time.into()),
            update_time: Some(group.stamp.update_time.into()),
            delete_time: group.stamp.delete_time.map(Into::into),
            etag: group.stamp.etag(),
            display_name: group.display_name,
            external_id: group.external_id,
        }
    }
}

impl From<GroupMember> for pb::GroupMember {
    fn from(member: GroupMember) -> Self {
        Self { member: member.member(), create_time: Some(member.create_time.into()) }
    }
}
