//! `provost marketplace`.

use clap::Subcommand;
use proto::catalog::v1::{GetMarketplaceRequest, ListMarketplacesRequest};

use super::catalog::client;
use crate::{
    app::{App, Page},
    args::ListArgs,
    error::{Exit, Result},
    names,
};

/// Verbs of marketplaces.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a marketplace
    Get {
        /// Which one
        name: String,
    },
    /// List marketplaces
    ///
    /// Filter by `marketplace_id`, `display_name`, `format`, `create_time`, `update_time`; order by `marketplace_id`,
    /// `create_time`, `update_time`.
    List {
        #[command(flatten)]
        list: ListArgs,
    },
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Get { name } => {
            let request = GetMarketplaceRequest { name: names::marketplace(&name)? };
            app.read(false, request, async |l, r| client(l).get_marketplace(r).await).await
        }
        Command::List { list } => {
            let ask = |Page { filter, order_by, page_size, page_token }| ListMarketplacesRequest {
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_marketplaces(r).await).await
        }
    }
}
