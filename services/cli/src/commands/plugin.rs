//! `provost plugin`.

use clap::Subcommand;
use proto::catalog::v1::{GetPluginRequest, ListPluginsRequest, SetPluginStageRequest, Stage};

use super::marketplace::client;
use crate::{
    app::{App, Page},
    args::{ChangeArgs, ListArgs, WatchArgs, YesArgs, choice},
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
    /// Filter by `plugin_id`, `display_name`, `description`, `category`, `stage`, `create_time`, `update_time`; order by
    /// `plugin_id`, `display_name`, `create_time`, `update_time`.
    List {
        /// Of which marketplace
        marketplace: String,
        /// Those too that the marketplace no longer lists
        #[arg(long)]
        show_deleted: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Move the current version to another stage, for every tenant at once; to withdraw it is the kill switch
    SetStage {
        /// `MARKETPLACE/PLUGIN`
        name: String,
        /// The new stage
        #[arg(value_parser = choice("provost.catalog.v1.Stage"))]
        stage: i32,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        yes: YesArgs,
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
        Command::SetStage { name, stage, change, yes } => {
            let name = names::plugin(&name)?;
            if stage == i32::from(Stage::Withdrawn) {
                app.confirm("withdraw from every tenant", &name, &change, yes)?;
            }
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let request = SetPluginStageRequest { name, stage, request_id, validate_only };
            app.change(request, async |l, r| client(l).set_plugin_stage(r).await).await
        }
    }
}
