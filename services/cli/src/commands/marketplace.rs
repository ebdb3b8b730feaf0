//! `provost marketplace`.

mod import;
mod walk;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proto::catalog::v1::{
    GetMarketplaceRequest, ListMarketplacesRequest, catalog_service_client::CatalogServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, ListArgs, choice},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names,
};

/// Verbs of marketplaces.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import a marketplace directory in the format of Codex or Claude Code; the same content again changes nothing
    Import(Import),
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

/// What to import.
#[derive(Args, Debug)]
pub struct Import {
    /// The directory; whatever is called `.git` in it is left out, and symbolic links are refused by the server
    dir: PathBuf,
    /// Stage of plugin versions not seen before; LIVE by default, because the vendor published them
    #[arg(long, value_name = "STAGE", value_parser = choice("provost.catalog.v1.Stage"))]
    initial_stage: Option<i32>,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn client(link: Link) -> CatalogServiceClient<Link> {
    CatalogServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Import(args) => import::run(&args, app).await,
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
