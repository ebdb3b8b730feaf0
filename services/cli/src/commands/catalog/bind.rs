//! `provost catalog bind`, `bindings` and `unbind`: connectors of a client's own, by plugin and app instead of by id.

use clap::Subcommand;
use proto::connector_binding::v1::{
    ConnectorBinding, CreateConnectorBindingRequest, DeleteConnectorBindingRequest,
    ListConnectorBindingsRequest, UpdateConnectorBindingRequest,
};

use crate::commands::binding::{self, client};
use crate::{
    app::App,
    args::{ChangeArgs, ListArgs, YesArgs, mask},
    client::Repeat,
    error::{Error, Exit, Result},
    names,
};

/// Verbs of connectors in the catalogue.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bind a connector of the client's own to an app of a plugin, in the place of the one that is bound
    Bind {
        /// `MARKETPLACE/PLUGIN`
        plugin: String,
        /// The vendor's key of the app
        app: String,
        /// The client's connector as the vendor's console shows it; an identifier, never a secret
        connector: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List the bindings of a tenant: the same as `connector-binding list`
    Bindings {
        /// Of which tenant; the context's by default
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Unbind an app of a plugin; a plugin that needs it can be used by nobody then
    Unbind {
        /// `MARKETPLACE/PLUGIN`
        plugin: String,
        /// The vendor's key of the app
        app: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// The binding of an app, if there is one.
async fn bound(
    app: &mut App<'_, '_>,
    parent: &str,
    plugin: &str,
    key: &str,
) -> Result<Option<ConnectorBinding>> {
    let (server, mut page_token) = (app.client()?, String::new());
    loop {
        // the name of a plugin has nothing that a filter could take for its own; keys of apps may
        let request = ListConnectorBindingsRequest {
            parent: parent.to_owned(),
            filter: format!("plugin = \"{plugin}\""),
            page_size: 1_000,
            page_token,
            ..Default::default()
        };
        let page = server
            .call(Repeat::Safe, &request, async |l, r| client(l).list_connector_bindings(r).await)
            .await?;
        let found = page.connector_bindings.into_iter().find(|binding| binding.app == key);
        if found.is_some() || page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Bind { plugin, app: key, connector, change } => {
            let (parent, plugin) = (app.names.tenant(None)?, names::plugin(&plugin)?);
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            if let Some(binding) = bound(app, &parent, &plugin, &key).await? {
                let request = UpdateConnectorBindingRequest {
                    connector_binding: Some(ConnectorBinding { connector_id: connector, ..binding }),
                    update_mask: mask(&[("connector_id", true)])?,
                    request_id,
                    validate_only,
                };
                return app.change(request, async |l, r| client(l).update_connector_binding(r).await).await;
            }
            let binding =
                ConnectorBinding { plugin, app: key, connector_id: connector, ..Default::default() };
            let request = CreateConnectorBindingRequest {
                parent,
                connector_binding_id: String::new(),
                connector_binding: Some(binding),
                request_id,
                validate_only,
            };
            app.change(request, async |l, r| client(l).create_connector_binding(r).await).await
        }
        Command::Bindings { parent, list } => binding::list(parent.as_deref(), &list, app).await,
        Command::Unbind { plugin, app: key, change, yes } => {
            let (parent, plugin) = (app.names.tenant(None)?, names::plugin(&plugin)?);
            let Some(binding) = bound(app, &parent, &plugin, &key).await? else {
                let message =
                    format!("app `{key}` of `{plugin}` is not bound; see `provost catalog bindings`");
                return Err(Error::Local(message));
            };
            app.confirm("unbind", &format!("{key} of {plugin}"), &change, yes)?;
            let ConnectorBinding { name, etag, .. } = binding;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let request = DeleteConnectorBindingRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_connector_binding(r).await).await
        }
    }
}
