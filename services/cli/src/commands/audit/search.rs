//! Reading: events, the head of a log, access at a moment.

use clap::Args;
use prost_types::Timestamp;
use proto::audit::v1::{
    GetAuditEventRequest, GetAuditLogRequest, ListAccessAsOfRequest, ListAuditEventsRequest,
};

use super::{client, saved};
use crate::{
    app::{App, Page},
    args::{ListArgs, PageArgs, WatchArgs, time},
    error::{Exit, Result},
    names::{beside, plugin},
};

/// A search.
#[derive(Args, Debug)]
pub struct Search {
    /// Where: `TENANT` or `partners/PARTNER`; --platform for the platform
    parent: Option<String>,
    /// The filter that is saved under this name, instead of --filter
    #[arg(long, value_name = "NAME", conflicts_with = "filter")]
    saved: Option<String>,
    /// Only events with an index below this; with the size of a checkpoint, a report can be repeated
    #[arg(long, value_name = "SIZE", default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(i64).range(0..))]
    as_of_size: i64,
    #[command(flatten)]
    list: ListArgs,
    #[command(flatten)]
    watch: WatchArgs,
}

/// A moment.
#[derive(Args, Debug)]
pub struct AsOf {
    /// Of which tenant; the context's by default
    #[arg(value_name = "TENANT")]
    parent: Option<String>,
    /// The moment: `2026-03-03T12:00:00Z`, or a day's beginning
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: Timestamp,
    /// Only this principal
    #[arg(long)]
    principal: Option<String>,
    /// Only this plugin: `MARKETPLACE/PLUGIN`
    #[arg(long)]
    plugin: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Searches.
pub async fn search(args: Search, app: &mut App<'_, '_>) -> Result<Exit> {
    let Search { parent, saved, as_of_size, mut list, watch } = args;
    let parent = app.names.scope(parent.as_deref())?;
    if let Some(name) = saved {
        list.filter = saved::filter(&parent, &name, app).await?;
    }
    let ask = |Page { filter, order_by, page_size, page_token }| ListAuditEventsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
        as_of_size,
    };
    app.list(watch.watch, &list, ask, async |l, r| client(l).list_audit_events(r).await).await
}

/// Shows an event.
pub async fn get(event: &str, app: &mut App<'_, '_>) -> Result<Exit> {
    let name = app.names.in_scope("auditEvents", event)?.to_string();
    let request = GetAuditEventRequest { name };
    app.read(false, request, async |l, r| client(l).get_audit_event(r).await).await
}

/// Shows the head of a log.
pub async fn log(parent: Option<&str>, app: &mut App<'_, '_>) -> Result<Exit> {
    let name = match app.names.scope(parent)?.as_str() {
        "" => "auditLog".to_owned(),
        parent => format!("{parent}/auditLog"),
    };
    app.read(false, GetAuditLogRequest { name }, async |l, r| client(l).get_audit_log(r).await).await
}

/// Shows who could use what.
pub async fn as_of(args: AsOf, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(args.parent.as_deref())?;
    let principal =
        args.principal.map(|p| beside(&parent, "principals", &p)).transpose()?.unwrap_or_default();
    let plugin = args.plugin.map(|p| plugin(&p)).transpose()?.unwrap_or_default();
    let ask = |Page { page_size, page_token, .. }| ListAccessAsOfRequest {
        parent: parent.clone(),
        time: Some(args.time),
        principal: principal.clone(),
        plugin: plugin.clone(),
        page_size,
        page_token,
    };
    app.list_plain(&args.page, ask, async |l, r| client(l).list_access_as_of(r).await).await
}
