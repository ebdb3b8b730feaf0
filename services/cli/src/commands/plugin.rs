//! `provost plugin`.

use clap::Subcommand;
use proto::catalog::v1::{GetPluginRequest, ListPluginsRequest};

use super::catalog::client;
use crate::{
    app::{App, Page},
    args::{ListArgs, WatchArgs},
    error::{Exit, Result},
    names,
};

/// Verbs of plugins.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a plugin with its current version
    Get {
        /// `MARKETPLACE/PLUGIN`
        name: String,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// List the plugins of a marketplace
    ///
    /// Filter and order as in `provost catalog search`.
    List {
        /// Of which marketplace
        marketplace: String,
        /// Those too that the marketplace no longer lists
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        list: ListArgs,
    },
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Get { name, watch } => {
            let request = GetPluginRequest { name: names::plugin(&name)? };
            app.read(watch.watch, request, async |l, r| client(l).get_plugin(r).await).await
        }
        Command::List { marketplace, show_deleted, list } => {
            let parent = names::marketplace(&marketplace)?;
            let ask = |Page { filter, order_by, page_size, page_token }| {
                let parent = parent.clone();
                ListPluginsRequest { parent, page_size, page_token, filter, order_by, show_deleted }
            };
            app.list(false, &list, ask, async |l, r| client(l).list_plugins(r).await).await
        }
    }
}
