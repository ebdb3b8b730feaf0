//! `provost connector-binding`.

use clap::Subcommand;
use proto::connector_binding::v1::{
    ConnectorBinding, CreateConnectorBindingRequest, DeleteConnectorBindingRequest,
    GetConnectorBindingRequest, ListConnectorBindingsRequest, UpdateConnectorBindingRequest,
    connector_binding_service_client::ConnectorBindingServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, mask},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names,
};

const COLLECTION: &str = "connectorBindings";

/// Verbs of connector bindings.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bind a connector of the client's own to an app of a plugin
    Create {
        /// `TENANT/ID` or `ID`; without it the server chooses an id
        name: Option<String>,
        /// `MARKETPLACE/PLUGIN`
        #[arg(long)]
        plugin: String,
        /// The vendor's key of the app
        #[arg(long, value_name = "KEY")]
        app: String,
        /// The client's connector as the vendor's console shows it; an identifier, never a secret
        #[arg(long, value_name = "CONNECTOR")]
        connector_id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Show a binding
    Get {
        /// Which one
        name: String,
    },
    /// List the bindings of a tenant, orphaned ones too
    ///
    /// Filter by `connector_binding_id`, `plugin`, `app`, `connector_id`, `create_time`, `update_time`; order by
    /// `connector_binding_id`, `create_time`, `update_time`.
    List {
        /// Of which tenant; the context's by default
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Bind another connector in its place
    Update {
        #[command(flatten)]
        verb: VerbArgs,
        /// The client's connector
        #[arg(long, value_name = "CONNECTOR")]
        connector_id: String,
    },
    /// Delete a binding for good; a plugin that needs it can be used by nobody then
    Delete(DangerArgs),
}

pub(super) fn client(link: Link) -> ConnectorBindingServiceClient<Link> {
    ConnectorBindingServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Shows a page of the bindings of a tenant, or all of them.
pub(super) async fn list(parent: Option<&str>, list: &ListArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(parent)?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListConnectorBindingsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(false, list, ask, async |l, r| client(l).list_connector_bindings(r).await).await
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, plugin, app: key, connector_id, change } => {
            let (parent, connector_binding_id) = match name {
                Some(name) => {
                    let name = app.names.in_tenant(COLLECTION, &name)?;
                    (name.parent, name.id)
                }
                None => (app.names.tenant(None)?, String::new()),
            };
            let plugin = names::plugin(&plugin)?;
            let binding = ConnectorBinding { plugin, app: key, connector_id, ..Default::default() };
            let request = CreateConnectorBindingRequest {
                parent,
                connector_binding_id,
                connector_binding: Some(binding),
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).create_connector_binding(r).await).await
        }
        Command::Get { name } => {
            let request =
                GetConnectorBindingRequest { name: app.names.in_tenant(COLLECTION, &name)?.to_string() };
            app.read(false, request, async |l, r| client(l).get_connector_binding(r).await).await
        }
        Command::List { parent, list: args } => list(parent.as_deref(), &args, app).await,
        Command::Update { verb, connector_id } => {
            let full = app.names.in_tenant(COLLECTION, &verb.name)?;
            let Verb { name, etag, request_id, validate_only } = verb.on(full);
            let binding = ConnectorBinding { name, etag, connector_id, ..Default::default() };
            let request = UpdateConnectorBindingRequest {
                connector_binding: Some(binding),
                update_mask: mask(&[("connector_id", true)])?,
                request_id,
                validate_only,
            };
            app.change(request, async |l, r| client(l).update_connector_binding(r).await).await
        }
        Command::Delete(args) => {
            let full = app.names.in_tenant(COLLECTION, &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } =
                app.danger("delete for good", &args, full)?;
            let request = DeleteConnectorBindingRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_connector_binding(r).await).await
        }
    }
}
