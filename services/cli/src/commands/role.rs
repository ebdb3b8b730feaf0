//! `provost role`.

use clap::{Args, Subcommand};
use proto::role::v1::{
    AddRoleMemberRequest, CreateRoleRequest, DeleteRoleRequest, ExcludeRoleRequest, GetRoleRequest,
    IncludeRoleRequest, ListRoleMembersRequest, ListRolesRequest, RemoveRoleMemberRequest, Role,
    UndeleteRoleRequest, UpdateRoleRequest, role_service_client::RoleServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, YesArgs, choice, mask},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names::{Name, beside, member},
};

/// Verbs of roles.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a role
    Create {
        /// `TENANT/ID` or `ID`
        name: String,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a role, deleted or not
    Get {
        /// Which one
        name: String,
    },
    /// List the roles of a tenant
    ///
    /// Filter by `role_id`, `display_name`, `description`, `family`, `create_time`, `update_time`; order by `role_id`,
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
    /// Change a role
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        fields: Fields,
    },
    /// Delete a role; undelete brings it back
    Delete(DangerArgs),
    /// Bring a deleted role back
    Undelete(VerbArgs),
    /// Give a role to a principal or a group
    AddMember(MemberArgs),
    /// Take a role from a principal or a group
    RemoveMember {
        #[command(flatten)]
        member: MemberArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// List who holds a role
    Members {
        /// Which role
        name: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Let a role have everything that another role has
    Include(IncludeArgs),
    /// End an inclusion
    Exclude {
        #[command(flatten)]
        include: IncludeArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// What a role says.
#[derive(Args, Debug)]
pub struct Fields {
    /// For people; required to create one
    #[arg(long)]
    display_name: Option<String>,
    /// What the job is
    #[arg(long)]
    description: Option<String>,
    /// Whether its people write software for a living; adoption is told apart by it
    #[arg(long, value_parser = choice("provost.role.v1.RoleFamily"))]
    family: Option<i32>,
}

impl Fields {
    fn role(self) -> Role {
        Role {
            display_name: self.display_name.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            family: self.family.unwrap_or_default(),
            ..Role::default()
        }
    }
}

/// A role and one of its holders.
#[derive(Args, Debug)]
pub struct MemberArgs {
    /// Which role
    name: String,
    /// `principal:ID`, `group:ID` or a full name
    #[arg(long)]
    member: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl MemberArgs {
    fn names(&self, app: &App<'_, '_>) -> Result<(String, String)> {
        let role = app.names.in_tenant("roles", &self.name)?;
        Ok((role.to_string(), member(&role.parent, &self.member)?))
    }
}

/// A role and one that it takes in.
#[derive(Args, Debug)]
pub struct IncludeArgs {
    /// Which role
    name: String,
    /// The other role, of the same tenant
    #[arg(long)]
    role: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl IncludeArgs {
    fn names(&self, app: &App<'_, '_>) -> Result<(String, String)> {
        let role = app.names.in_tenant("roles", &self.name)?;
        Ok((role.to_string(), beside(&role.parent, "roles", &self.role)?))
    }
}

fn client(link: Link) -> RoleServiceClient<Link> {
    RoleServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, fields, change } => {
            let Name { parent, id: role_id, .. } = app.names.in_tenant("roles", &name)?;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let role = Some(fields.role());
            let request = CreateRoleRequest { parent, role_id, role, request_id, validate_only };
            app.change(request, async |l, r| client(l).create_role(r).await).await
        }
        Command::Get { name } => {
            let request = GetRoleRequest { name: app.names.in_tenant("roles", &name)?.to_string() };
            app.read(false, request, async |l, r| client(l).get_role(r).await).await
        }
        Command::List { parent, show_deleted, list } => {
            let parent = app.names.tenant(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListRolesRequest { parent, page_size, page_token, filter, order_by, show_deleted }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_roles(r).await).await
        }
        Command::Update { verb, fields } => {
            let (display_name, description) = (fields.display_name.is_some(), fields.description.is_some());
            let family = ("family", fields.family.is_some());
            let update_mask = mask(&[("display_name", display_name), ("description", description), family])?;
            let full = app.names.in_tenant("roles", &verb.name)?;
            let Verb { name, etag, request_id, validate_only } = verb.on(full);
            let role = Some(Role { name, etag, ..fields.role() });
            let request = UpdateRoleRequest { role, update_mask, request_id, validate_only };
            app.change(request, async |l, r| client(l).update_role(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.in_tenant("roles", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, full)?;
            let request = DeleteRoleRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_role(r).await).await
        }
        Command::Undelete(args) => {
            let full = app.names.in_tenant("roles", &args.name)?;
            let Verb { name, etag, request_id, validate_only } = args.on(full);
            let request = UndeleteRoleRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).undelete_role(r).await).await
        }
        Command::AddMember(args) => add_member(&args, app).await,
        Command::RemoveMember { member, yes } => remove_member(&member, yes, app).await,
        Command::Members { name, list } => {
            let parent = app.names.in_tenant("roles", &name)?.to_string();
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListRoleMembersRequest { parent, page_size, page_token, filter, order_by }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_role_members(r).await).await
        }
        Command::Include(args) => include(&args, app).await,
        Command::Exclude { include, yes } => exclude(&include, yes, app).await,
    }
}

async fn add_member(args: &MemberArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, member) = args.names(app)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = AddRoleMemberRequest { name, member, request_id, validate_only };
    app.change(request, async |l, r| client(l).add_role_member(r).await).await
}

async fn remove_member(args: &MemberArgs, yes: YesArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, member) = args.names(app)?;
    app.confirm(&format!("remove {member} from"), &name, &args.change, yes)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = RemoveRoleMemberRequest { name, member, request_id, validate_only };
    app.change(request, async |l, r| client(l).remove_role_member(r).await).await
}

async fn include(args: &IncludeArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, included_role) = args.names(app)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = IncludeRoleRequest { name, included_role, request_id, validate_only };
    app.change(request, async |l, r| client(l).include_role(r).await).await
}

async fn exclude(args: &IncludeArgs, yes: YesArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let (name, included_role) = args.names(app)?;
    app.confirm(&format!("exclude {included_role} from"), &name, &args.change, yes)?;
    let (request_id, validate_only) = (args.change.request_id(), args.change.validate_only);
    let request = ExcludeRoleRequest { name, included_role, request_id, validate_only };
    app.change(request, async |l, r| client(l).exclude_role(r).await).await
}
