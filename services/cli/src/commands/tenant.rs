//! `provost tenant`.

mod contract;
mod lifecycle;

use clap::Subcommand;
use proto::tenant::v1::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest, Tenant,
    UndeleteTenantRequest, UpdateTenantRequest, tenant_service_client::TenantServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, WatchArgs, mask},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
};

/// Verbs of tenants.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a tenant of the partner in --partner or in the context; it starts in PIPELINE
    Create {
        /// Its id: 1 to 63 of `a-z 0-9 -`
        id: String,
        /// For people
        #[arg(long)]
        display_name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a tenant, deleted or not
    Get {
        /// Which one; the context's by default
        name: Option<String>,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// List the tenants that you may see
    ///
    /// Filter by `tenant_id`, `display_name`, `state`, `partner_id`, `create_time`, `update_time`; order by `tenant_id`,
    /// `display_name`, `create_time`, `update_time`.
    List {
        /// Deleted ones too
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Change a tenant
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        /// For people
        #[arg(long)]
        display_name: Option<String>,
    },
    /// Delete a tenant that never had a pilot; undelete brings it back
    Delete(DangerArgs),
    /// Bring a deleted tenant back
    Undelete(VerbArgs),
    /// The lifecycle.
    #[command(flatten)]
    Lifecycle(lifecycle::Command),
}

fn client(link: Link) -> TenantServiceClient<Link> {
    TenantServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { id, display_name, change } => {
            let partner = app.names.partner(None)?;
            let request = CreateTenantRequest {
                tenant_id: id,
                tenant: Some(Tenant { partner, display_name, ..Tenant::default() }),
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).create_tenant(r).await).await
        }
        Command::Get { name, watch } => {
            let request = GetTenantRequest { name: app.names.tenant(name.as_deref())? };
            app.read(watch.watch, request, async |l, r| client(l).get_tenant(r).await).await
        }
        Command::List { show_deleted, list, watch } => {
            let ask = |Page { filter, order_by, page_size, page_token }| ListTenantsRequest {
                page_size,
                page_token,
                filter,
                order_by,
                show_deleted,
            };
            app.list(watch.watch, &list, ask, async |l, r| client(l).list_tenants(r).await).await
        }
        Command::Update { verb, display_name } => {
            let update_mask = mask(&[("display_name", display_name.is_some())])?;
            let Verb { name, etag, request_id, validate_only } =
                verb.on(app.names.tenant(Some(&verb.name))?);
            let display_name = display_name.unwrap_or_default();
            let tenant = Some(Tenant { name, display_name, etag, ..Tenant::default() });
            let request = UpdateTenantRequest { tenant, update_mask, request_id, validate_only };
            app.change(request, async |l, r| client(l).update_tenant(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.tenant(Some(&args.verb.name))?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, full)?;
            let request = DeleteTenantRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_tenant(r).await).await
        }
        Command::Undelete(args) => {
            let Verb { name, etag, request_id, validate_only } =
                args.on(app.names.tenant(Some(&args.name))?);
            let request = UndeleteTenantRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).undelete_tenant(r).await).await
        }
        Command::Lifecycle(command) => lifecycle::run(command, app).await,
    }
}
