//! `provost audit saved`: filters kept under a name.

use clap::Subcommand;
use proto::audit::v1::{
    CreateSavedSearchRequest, DeleteSavedSearchRequest, ListSavedSearchesRequest, SavedSearch,
};

use super::client;
use crate::{
    app::{App, Page},
    args::{ChangeArgs, ListArgs},
    client::Repeat,
    error::{Error, Exit, Result},
};

/// Verbs of saved searches.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep a filter under a name
    Create {
        /// `TENANT/ID`, a full name, or `ID` with --tenant, --partner or --platform
        name: String,
        /// For people
        #[arg(long)]
        display_name: String,
        /// The filter, as in `audit search`
        #[arg(long, value_name = "EXPRESSION")]
        filter: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List saved searches
    ///
    /// Filter by `saved_search_id`, `display_name`, `create_time`; order by `saved_search_id`, `create_time`.
    List {
        /// Where: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Forget a saved search
    Delete {
        /// Which one
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create { name, display_name, filter, change } => {
            let name = app.names.in_scope("savedSearches", &name)?;
            let request = CreateSavedSearchRequest {
                parent: name.parent,
                saved_search_id: name.id,
                saved_search: Some(SavedSearch { display_name, filter, ..SavedSearch::default() }),
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).create_saved_search(r).await).await
        }
        Command::List { parent, list } => {
            let parent = app.names.scope(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListSavedSearchesRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_saved_searches(r).await).await
        }
        Command::Delete { name, change } => {
            let request = DeleteSavedSearchRequest {
                name: app.names.in_scope("savedSearches", &name)?.to_string(),
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).delete_saved_search(r).await).await
        }
    }
}

/// The filter that is saved under an id of `parent`.
pub async fn filter(parent: &str, id: &str, app: &mut App<'_, '_>) -> Result<String> {
    let missing = || {
        Error::Usage(format!("there is no saved search `{id}` there; `provost audit saved list` shows them"))
    };
    if !id.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
        return Err(missing());
    }
    let request = ListSavedSearchesRequest {
        parent: parent.to_owned(),
        page_size: 1,
        filter: format!("saved_search_id = \"{id}\""),
        ..ListSavedSearchesRequest::default()
    };
    let rpc = async |l, r| client(l).list_saved_searches(r).await;
    let found = app.client()?.call(Repeat::Safe, &request, rpc).await?.saved_searches;
    found.into_iter().next().map(|search| search.filter).ok_or_else(missing)
}
