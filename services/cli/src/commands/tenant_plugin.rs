//! `provost tenant-plugin`.

use clap::Subcommand;
use proto::tenant_plugin::v1::{
    GetTenantPluginRequest, ListTenantPluginsRequest, tenant_plugin_service_client::TenantPluginServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ListArgs, WatchArgs, choice},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names,
};

/// Verbs of plugins as a tenant has them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a plugin as the tenant has it: the stage that counts, and the connectors that are missing
    Get {
        /// `MARKETPLACE/PLUGIN`, of the tenant of --tenant or the context
        plugin: String,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// List the plugins as a tenant has them
    ///
    /// Filter by `plugin`, `marketplace_id`, `plugin_id`, `platform_stage`, `create_time`; order by `plugin`, `plugin_id`,
    /// `create_time`.
    List {
        /// Of which tenant; the context's by default
        #[arg(value_name = "TENANT")]
        parent: Option<String>,
        /// Only those of this marketplace
        #[arg(long, value_name = "ID")]
        marketplace: Option<String>,
        /// Only those that are ready, or that wait for connectors
        #[arg(long, value_parser = choice("provost.tenant_plugin.v1.Readiness"))]
        readiness: Option<i32>,
        #[command(flatten)]
        list: ListArgs,
    },
}

fn client(link: Link) -> TenantPluginServiceClient<Link> {
    TenantPluginServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Get { plugin, watch } => {
            let name = format!("{}/{}", app.names.tenant(None)?, names::plugin(&plugin)?);
            let request = GetTenantPluginRequest { name };
            app.read(watch.watch, request, async |l, r| client(l).get_tenant_plugin(r).await).await
        }
        Command::List { parent, marketplace, readiness, list } => {
            let parent = app.names.tenant(parent.as_deref())?;
            let marketplace = marketplace.as_deref().map(names::marketplace).transpose()?.unwrap_or_default();
            let ask = |Page { filter, order_by, page_size, page_token }| ListTenantPluginsRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
                marketplace: marketplace.clone(),
                readiness: readiness.unwrap_or_default(),
            };
            app.list(false, &list, ask, async |l, r| client(l).list_tenant_plugins(r).await).await
        }
    }
}
