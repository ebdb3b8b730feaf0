//! `provost plugin-group`.

use clap::{Args, Subcommand};
use proto::plugin_group::v1::{
    AddPluginGroupMemberRequest, CreatePluginGroupRequest, DeletePluginGroupRequest, GetPluginGroupRequest,
    ListPluginGroupMembersRequest, ListPluginGroupsRequest, PluginGroup, RemovePluginGroupMemberRequest,
    UndeletePluginGroupRequest, UpdatePluginGroupRequest,
    plugin_group_service_client::PluginGroupServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, Words, YesArgs},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names::{Name, plugin},
};

/// Verbs of plugin groups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a plugin group
    Create {
        /// `TENANT/ID` or `ID`
        name: String,
        #[command(flatten)]
        words: Words,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a plugin group, deleted or not
    Get {
        /// Which one
        name: String,
    },
    /// List the plugin groups of a tenant
    ///
    /// Filter by `plugin_group_id`, `display_name`, `description`, `create_time`, `update_time`; order by `plugin_group_id`,
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
    /// Change a plugin group
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        words: Words,
    },
    /// Delete a plugin group that no rule names; undelete brings it back
    Delete(DangerArgs),
    /// Bring a deleted plugin group back
    Undelete(VerbArgs),
    /// Put a plugin into a group
    AddMember(MemberArgs),
    /// Take a plugin out of a group
    RemoveMember {
        #[command(flatten)]
        member: MemberArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// List what is in a group
    ///
    /// Filter and order by `marketplace_id`, `plugin_id`, `create_time`.
    Members {
        /// Which group
        name: String,
        #[command(flatten)]
        list: ListArgs,
    },
}

/// A plugin group and one of its plugins.
#[derive(Args, Debug)]
pub struct MemberArgs {
    /// Which group
    name: String,
    /// The plugin: `MARKETPLACE/PLUGIN` or a full name
    #[arg(long, value_name = "PLUGIN")]
    member: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl MemberArgs {
    fn names(&self, app: &App<'_, '_>) -> Result<(String, String)> {
        let group = app.names.in_tenant("pluginGroups", &self.name)?;
        Ok((group.to_string(), plugin(&self.member)?))
    }
}

fn client(link: Link) -> PluginGroupServiceClient<Link> {
    PluginGroupServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, words, change } => {
            let Name { parent, id: plugin_group_id, .. } = app.names.in_tenant("pluginGroups", &name)?;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let plugin_group = Some(said(words));
            let request =
                CreatePluginGroupRequest { parent, plugin_group_id, plugin_group, request_id, validate_only };
            app.change(request, async |l, r| client(l).create_plugin_group(r).await).await
        }
        Command::Get { name } => {
            let request =
                GetPluginGroupRequest { name: app.names.in_tenant("pluginGroups", &name)?.to_string() };
            app.read(false, request, async |l, r| client(l).get_plugin_group(r).await).await
        }
        Command::List { parent, show_deleted, list } => {
            let parent = app.names.tenant(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListPluginGroupsRequest { parent, page_size, page_token, filter, order_by, show_deleted }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_plugin_groups(r).await).await
        }
        Command::Update { verb, words } => {
            let update_mask = words.mask()?;
            let full = app.names.in_tenant("pluginGroups", &verb.name)?;
            let Verb { name, etag, request_id, validate_only } = verb.on(full);
            let plugin_group = Some(PluginGroup { name, etag, ..said(words) });
            let request = UpdatePluginGroupRequest { plugin_group, update_mask, request_id, validate_only };
            app.change(request, async |l, r| client(l).update_plugin_group(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.in_tenant("pluginGroups", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, full)?;
            let request = DeletePluginGroupRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_plugin_group(r).await).await
        }
        Command::Undelete(args) => {
            let full = app.names.in_tenant("pluginGroups", &args.name)?;
            let Verb { name, etag, request_id, validate_only } = args.on(full);
            let request = UndeletePluginGroupRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).undelete_plugin_group(r).await).await
        }
        Command::AddMember(args) => add_member(&args, app).await,
        Command::RemoveMember { member, yes } => remove_member(&member, yes, app).await,
        Command::Members { name, list } => {
            let parent = app.names.in_tenant("pluginGroups", &name)?.to_string();
            let ask = |Page { filter, order_by, page_size, page_token }| ListPluginGroupMembersRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_plugin_group_members(r).await).await
        }
    }
}

/// What is said of one.
fn said(words: Words) -> PluginGroup {
    PluginGroup {
        display_name: words.display_name.unwrap_or_default(),
        description: words.description.unwrap_or_default(),
        ..PluginGroup::default()
    }
}

async fn add_member(args: &MemberArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, member) = args.names(app)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = AddPluginGroupMemberRequest { name, member, request_id, validate_only };
    app.change(request, async |l, r| client(l).add_plugin_group_member(r).await).await
}

async fn remove_member(args: &MemberArgs, yes: YesArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, member) = args.names(app)?;
    app.confirm(&format!("remove {member} from"), &name, &args.change, yes)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = RemovePluginGroupMemberRequest { name, member, request_id, validate_only };
    app.change(request, async |l, r| client(l).remove_plugin_group_member(r).await).await
}
