//! `provost principal`.

use clap::{Args, Subcommand};
use proto::principal::v1::{
    CreatePrincipalRequest, DeletePrincipalRequest, GetPrincipalRequest, ListPrincipalsRequest, Principal,
    ResumePrincipalRequest, SuspendPrincipalRequest, UndeletePrincipalRequest, UpdatePrincipalRequest,
    principal_service_client::PrincipalServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, WatchArgs, choice, mask},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names::{Name, beside},
};

/// Verbs of principals.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a principal
    Create {
        /// `TENANT/ID`, a full name, or `ID` with --tenant, --partner or --platform
        name: String,
        /// What it is
        #[arg(long, default_value = "user", value_parser = choice("provost.principal.v1.PrincipalKind"))]
        kind: i32,
        /// Agents only: the user that it acts for
        #[arg(long, value_name = "PRINCIPAL")]
        owner: Option<String>,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a principal, deleted or not
    Get {
        /// Which one
        name: String,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// List the principals of a tenant, of a partner or of the platform
    ///
    /// Filter by `principal_id`, `display_name`, `email`, `kind`, `state`, `create_time`, `update_time`; order by
    /// `principal_id`, `display_name`, `create_time`, `update_time`.
    List {
        /// Of what: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
        /// Deleted ones too
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Change a principal
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        fields: Fields,
    },
    /// Delete a principal; undelete brings it back
    Delete(DangerArgs),
    /// Bring a deleted principal back
    Undelete(VerbArgs),
    /// Stop a principal at once: no call, no decision
    Suspend(DangerArgs),
    /// Let a suspended principal act again
    Resume(VerbArgs),
}

/// What a principal says.
#[derive(Args, Debug)]
pub struct Fields {
    /// For people; required to create one
    #[arg(long)]
    display_name: Option<String>,
    /// Mail address, unique in its parent
    #[arg(long)]
    email: Option<String>,
    /// The unit that it belongs to; empty for none
    #[arg(long)]
    unit: Option<String>,
}

impl Fields {
    fn principal(self, parent: &str) -> Result<Principal> {
        let unit = match self.unit.as_deref() {
            None | Some("") => String::new(),
            Some(unit) => beside(parent, "units", unit)?,
        };
        Ok(Principal {
            display_name: self.display_name.unwrap_or_default(),
            email: self.email.unwrap_or_default(),
            unit,
            ..Principal::default()
        })
    }
}

fn client(link: Link) -> PrincipalServiceClient<Link> {
    PrincipalServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, kind, owner, fields, change } => {
            let Name { parent, id: principal_id, .. } = app.names.in_scope("principals", &name)?;
            let owner =
                owner.map(|owner| beside(&parent, "principals", &owner)).transpose()?.unwrap_or_default();
            let principal = Some(Principal { kind, owner, ..fields.principal(&parent)? });
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let request =
                CreatePrincipalRequest { parent, principal_id, principal, request_id, validate_only };
            app.change(request, async |l, r| client(l).create_principal(r).await).await
        }
        Command::Get { name, watch } => {
            let request = GetPrincipalRequest { name: app.names.in_scope("principals", &name)?.to_string() };
            app.read(watch.watch, request, async |l, r| client(l).get_principal(r).await).await
        }
        Command::List { parent, show_deleted, list, watch } => {
            let parent = app.names.scope(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListPrincipalsRequest { parent, page_size, page_token, filter, order_by, show_deleted }
            };
            app.list(watch.watch, &list, ask, async |l, r| client(l).list_principals(r).await).await
        }
        Command::Update { verb, fields } => update(&verb, fields, app).await,
        Command::Delete(args) => {
            let full = app.names.in_scope("principals", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, full)?;
            let request = DeletePrincipalRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_principal(r).await).await
        }
        Command::Undelete(args) => {
            let full = app.names.in_scope("principals", &args.name)?;
            let Verb { name, etag, request_id, validate_only } = args.on(full);
            let request = UndeletePrincipalRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).undelete_principal(r).await).await
        }
        Command::Suspend(args) => {
            let full = app.names.in_scope("principals", &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("suspend", &args, full)?;
            let request = SuspendPrincipalRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).suspend_principal(r).await).await
        }
        Command::Resume(args) => {
            let full = app.names.in_scope("principals", &args.name)?;
            let Verb { name, etag, request_id, validate_only } = args.on(full);
            let request = ResumePrincipalRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).resume_principal(r).await).await
        }
    }
}

async fn update(verb: &VerbArgs, fields: Fields, app: &mut App<'_, '_>) -> Result<Exit> {
    let full = app.names.in_scope("principals", &verb.name)?;
    let update_mask = mask(&[
        ("display_name", fields.display_name.is_some()),
        ("email", fields.email.is_some()),
        ("unit", fields.unit.is_some()),
    ])?;
    let changed = fields.principal(&full.parent)?;
    let Verb { name, etag, request_id, validate_only } = verb.on(full);
    let principal = Some(Principal { name, etag, ..changed });
    let request = UpdatePrincipalRequest { principal, update_mask, request_id, validate_only };
    app.change(request, async |l, r| client(l).update_principal(r).await).await
}
