//! Lists: the events behind figures, refused ones, and what assistants told besides what is counted.

use clap::Args;
use proto::usage::v1::{
    ListPluginSightingsRequest, ListSettingsObservationsRequest, ListUnapprovedPluginsRequest,
    ListUsageEventsRequest, ListUsageRejectsRequest,
};

use super::client;
use crate::{
    app::{App, Page},
    args::ListArgs,
    error::{Exit, Result},
    names::beside,
};

/// Of whom, and which page.
#[derive(Args, Debug)]
pub struct Seen {
    /// Of which tenant; the context's by default
    #[arg(value_name = "TENANT")]
    pub(super) parent: Option<String>,
    #[command(flatten)]
    pub(super) list: ListArgs,
}

/// Of which events.
#[derive(Args, Debug)]
pub struct Events {
    #[command(flatten)]
    of: Seen,
    /// Only those that this correction took back, also when it was reverted since
    #[arg(long, value_name = "CORRECTION", conflicts_with = "added_by")]
    taken_by: Option<String>,
    /// Only those that this correction added
    #[arg(long, value_name = "CORRECTION")]
    added_by: Option<String>,
}

/// Lists the events behind figures.
pub(super) async fn events(args: &Events, app: &mut App<'_, '_>) -> Result<Exit> {
    let of = &args.of;
    let parent = app.names.tenant(of.parent.as_deref())?;
    let by = |name: &Option<String>| match name {
        Some(name) => beside(&parent, "usageCorrections", name),
        None => Ok(String::new()),
    };
    let (taken_by, added_by) = (by(&args.taken_by)?, by(&args.added_by)?);
    let ask = |Page { filter, order_by, page_size, page_token }| ListUsageEventsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
        taken_by: taken_by.clone(),
        added_by: added_by.clone(),
    };
    app.list(false, &of.list, ask, async |l, r| client(l).list_usage_events(r).await).await
}

/// Lists refused events.
pub(super) async fn rejects(of: &Seen, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(of.parent.as_deref())?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListUsageRejectsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(false, &of.list, ask, async |l, r| client(l).list_usage_rejects(r).await).await
}

/// Lists plugins that the catalogue does not list.
pub(super) async fn unapproved(of: &Seen, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(of.parent.as_deref())?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListUnapprovedPluginsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(false, &of.list, ask, async |l, r| client(l).list_unapproved_plugins(r).await).await
}

/// Lists who has which plugins.
pub(super) async fn plugins(of: &Seen, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(of.parent.as_deref())?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListPluginSightingsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(false, &of.list, ask, async |l, r| client(l).list_plugin_sightings(r).await).await
}

/// Lists which settings assistants follow.
pub(super) async fn settings(of: &Seen, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(of.parent.as_deref())?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListSettingsObservationsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(false, &of.list, ask, async |l, r| client(l).list_settings_observations(r).await).await
}
