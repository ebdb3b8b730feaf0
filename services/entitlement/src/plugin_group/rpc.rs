//! Plugin groups on the wire.

use std::sync::Arc;

use kernel::{Kernel, Result, audit::Resource as _, list_query, mask::Mask};
use proto::plugin_group::v1::{self as pb, plugin_group_service_server::PluginGroupService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    member,
    model::{PluginGroup, PluginGroupMember, PluginGroups},
};
use crate::set::{
    model::{NewSet, SetPatch},
    ops,
};

/// `provost.plugin_group.v1.PluginGroupService`.
pub struct PluginGroupRpc(pub Arc<Kernel>);

#[async_trait]
impl PluginGroupService for PluginGroupRpc {
    async fn create_plugin_group(
        &self,
        request: Request<pb::CreatePluginGroupRequest>,
    ) -> Result<Response<pb::PluginGroup>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::set_create::<PluginGroups>(&ctx, &r.parent, new(r.plugin_group_id, r.plugin_group)).await
            })
            .await
    }

    async fn get_plugin_group(
        &self,
        request: Request<pb::GetPluginGroupRequest>,
    ) -> Result<Response<pb::PluginGroup>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::set_get::<PluginGroups>(&ctx, &r.name).await }).await
    }

    async fn list_plugin_groups(
        &self,
        request: Request<pb::ListPluginGroupsRequest>,
    ) -> Result<Response<pb::ListPluginGroupsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page =
                    ops::set_list::<PluginGroups>(&ctx, &r.parent, &list_query!(r, show_deleted)).await?;
                let plugin_groups = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListPluginGroupsResponse { plugin_groups, next_page_token: page.next_page_token })
            })
            .await
    }

    async fn update_plugin_group(
        &self,
        request: Request<pb::UpdatePluginGroupRequest>,
    ) -> Result<Response<pb::PluginGroup>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let group = r.plugin_group.unwrap_or_default();
                let (name, etag) = (group.name.clone(), group.etag.clone());
                ops::set_update::<PluginGroups>(&ctx, &name, &etag, patch(group, r.update_mask.as_ref())?)
                    .await
            })
            .await
    }

    async fn delete_plugin_group(
        &self,
        request: Request<pb::DeletePluginGroupRequest>,
    ) -> Result<Response<pb::PluginGroup>, Status> {
        self.0
            .serve(
                request,
                |ctx, r| async move { ops::set_delete::<PluginGroups>(&ctx, &r.name, &r.etag).await },
            )
            .await
    }

    async fn undelete_plugin_group(
        &self,
        request: Request<pb::UndeletePluginGroupRequest>,
    ) -> Result<Response<pb::PluginGroup>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                ops::set_undelete::<PluginGroups>(&ctx, &r.name, &r.etag).await
            })
            .await
    }

    async fn add_plugin_group_member(
        &self,
        request: Request<pb::AddPluginGroupMemberRequest>,
    ) -> Result<Response<pb::PluginGroupMember>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                member::plugin_group_member_add(&ctx, &r.name, &r.member).await
            })
            .await
    }

    async fn remove_plugin_group_member(
        &self,
        request: Request<pb::RemovePluginGroupMemberRequest>,
    ) -> Result<Response<pb::PluginGroupMember>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                member::plugin_group_member_remove(&ctx, &r.name, &r.member).await
            })
            .await
    }

    async fn list_plugin_group_members(
        &self,
        request: Request<pb::ListPluginGroupMembersRequest>,
    ) -> Result<Response<pb::ListPluginGroupMembersResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let page = member::plugin_group_member_list(&ctx, &r.parent, &list_query!(r)).await?;
                let members = page.items.into_iter().map(Into::into).collect();
                Ok(pb::ListPluginGroupMembersResponse { members, next_page_token: page.next_page_token })
            })
            .await
    }
}

fn new(id: String, group: Option<pb::PluginGroup>) -> NewSet {
    let group = group.unwrap_or_default();
    NewSet { id, display_name: group.display_name, description: group.description }
}

fn patch(group: pb::PluginGroup, mask: Option<&prost_types::FieldMask>) -> Result<SetPatch> {
    let mask = Mask::new(mask, &["display_name", "description"])?;
    Ok(SetPatch {
        display_name: mask.pick("display_name", group.display_name),
        description: mask.pick("description", group.description),
    })
}

impl From<PluginGroup> for pb::PluginGroup {
    fn from(group: PluginGroup) -> Self {
        Self {
            name: group.name(),
            uid: group.id.to_string(),
            create_time: Some(group.stamp.create_time.into()),
            update_time: Some(group.stamp.update_time.into()),
            delete_time: group.stamp.delete_time.map(Into::into),
            etag: group.stamp.etag(),
            display_name: group.display_name,
            description: group.description,
        }
    }
}

impl From<PluginGroupMember> for pb::PluginGroupMember {
    fn from(member: PluginGroupMember) -> Self {
        Self { member: member.member(), create_time: Some(member.create_time.into()) }
    }
}
