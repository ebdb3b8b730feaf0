//! `provost group`.

use clap::{Args, Subcommand};
use proto::group::v1::{
    AddGroupMemberRequest, CreateGroupRequest, DeleteGroupRequest, GetGroupRequest, Group,
    ListGroupMembersRequest, ListGroupsRequest, RemoveGroupMemberRequest, UndeleteGroupRequest,
    UpdateGroupRequest, group_service_client::GroupServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, YesArgs, mask},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names::{Name, beside},
};

/// Verbs of groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a group
    Create {
        /// `TENANT/ID` or `ID`
        name: String,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a group, deleted or not
    Get {
        /// Which one
        name: String,
    },
    /// List the groups of a tenant
    ///
    /// Filter by `group_id`, `display_name`, `external_id`, `create_time`, `update_time`; order by `group_id`,
    /// `display_name`, `create_time`, `update_time`.
    List {
        /// Of which tenant; the context's by default
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        /// Deleted ones too
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Change a group
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        fields: Fields,
    },
    /// Delete a group; undelete brings it back
    Delete(DangerArgs),
    /// Bring a deleted group back
    Undelete(VerbArgs),
    /// Put a principal into a group
    AddMember(MemberArgs),
    /// Take a principal out of a group
    RemoveMember {
        #[command(flatten)]
        member: MemberArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// List who is in a group
    Members {
        /// Which group
        name: String,
        #[command(flatten)]
        list: ListArgs,
    },
}

/// What a group says.
#[derive(Args, Debug)]
pub struct Fields {
    /// For people; required to create one
    #[arg(long)]
    display_name: Option<String>,
    /// The directory's own key
    #[arg(long, value_name = "KEY")]
    external_id: Option<String>,
}

/// A group and one of its members.
#[derive(Args, Debug)]
pub struct MemberArgs {
    /// Which group
    name: String,
    /// The principal: `ID` or a full name
    #[arg(long, value_name = "PRINCIPAL")]
    member: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl MemberArgs {
    fn names(&self, app: &App<'_, '_>) -> Result<(String, String)> {
        let group = app.names.in_tenant("groups", &self.name)?;
        let id = self.member.strip_prefix("principal:").unwrap_or(&self.member);
        Ok((group.to_string(), beside(&group.parent, "principals", id)?))
    }
}

fn client(link: Link) -> GroupServiceClient<Link> {
    GroupServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, fields, change } => {
            let Name { parent, id: group_id, .. } = app.names.in_tenant("groups", &name)?;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let group = Some(fields.group());
            let request = CreateGroupRequest { parent, group_id, group, request_id, validate_only };
            app.change(request, async |l, r| client(l).create_group(r).await).await
        }
        Command::Get { name } => {
            let request = GetGroupRequest { name: app.names.in_tenant("groups", &name)?.to_string() };
            app.read(false, request, async |l, r| client(l).get_group(r).await).await
        }
        Command::List { parent, show_deleted, list } => {
            let parent = app.names.tenant(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListGroupsRequest { parent, page_size, page_token, filter, order_by, show_deleted }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_groups(r).await).await
        }
        Command::Update { verb, fields } => {
            let (display_name, external_id) = (fields.display_name.is_some(), fields.external_id.is_some());
            let update_mask = mask(&[("display_name", display_name), ("external_id", external_id)])?;
            let full = app.names.in_tenant("groups", &verb.name)?;
            let Verb { name, etag, request_id, validate_only } = verb.on(full);
            let group = Some(Group { name, etag, ..fields.group() });
            let request = UpdateGroupRequest { group, update_mask, request_id, validate_only };
            app.change(request, async |l, r| client(l).update_group(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.in_tenant("groups", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, full)?;
            let request = DeleteGroupRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_group(r).await).await
        }
        Command::Undelete(args) => {
            let full = app.names.in_tenant("groups", &args.name)?;
            let Verb { name, etag, request_id, validate_only } = args.on(full);
            let request = UndeleteGroupRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).undelete_group(r).await).await
        }
        Command::AddMember(args) => add_member(&args, app).await,
        Command::RemoveMember { member, yes } => remove_member(&member, yes, app).await,
        Command::Members { name, list } => {
            let parent = app.names.in_tenant("groups", &name)?.to_string();
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListGroupMembersRequest { parent, page_size, page_token, filter, order_by }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_group_members(r).await).await
        }
    }
}

impl Fields {
    fn group(self) -> Group {
        Group {
            display_name: self.display_name.unwrap_or_default(),
            external_id: self.external_id.unwrap_or_default(),
            ..Group::default()
        }
    }
}

async fn add_member(args: &MemberArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, member) = args.names(app)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = AddGroupMemberRequest { name, member, request_id, validate_only };
    app.change(request, async |l, r| client(l).add_group_member(r).await).await
}

async fn remove_member(args: &MemberArgs, yes: YesArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, member) = args.names(app)?;
    app.confirm(&format!("remove {member} from"), &name, &args.change, yes)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = RemoveGroupMemberRequest { name, member, request_id, validate_only };
    app.change(request, async |l, r| client(l).remove_group_member(r).await).await
}
