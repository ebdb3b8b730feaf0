//! `provost usage` and `provost meter`.

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use proto::usage::v1::{ListMetersRequest, QueryUsageRequest, usage_service_client::UsageServiceClient};

use crate::{
    app::{App, Page},
    args::{PageArgs, WatchArgs, choice, time},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
    names::beside,
};

/// Verbs of usage.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sum what was used
    Query(Query),
}

/// Verbs of meters.
#[derive(Debug, Subcommand)]
pub enum MeterCommand {
    /// List the meters
    List(PageArgs),
}

/// What to sum.
#[derive(Args, Debug)]
pub struct Query {
    /// Of which tenant; the context's by default
    #[arg(value_name = "TENANT")]
    parent: Option<String>,
    /// What to count; repeatable, every meter by default
    #[arg(long = "meter", value_name = "METER", value_delimiter = ',')]
    meters: Vec<String>,
    /// One figure for each of these; repeatable
    #[arg(long, value_delimiter = ',', value_parser = choice("provost.usage.v1.UsageDimension"))]
    group_by: Vec<i32>,
    /// Only what this principal used
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,
    /// From when: `2026-11-01` or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Until when, exclusive
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    #[command(flatten)]
    watch: WatchArgs,
}

fn client(link: Link) -> UsageServiceClient<Link> {
    UsageServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    let Command::Query(args) = command;
    let parent = app.names.tenant(args.parent.as_deref())?;
    let Query { meters, group_by, principal, from: start_time, to: end_time, watch, .. } = args;
    let principal = principal.map_or_else(|| Ok(String::new()), |id| beside(&parent, "principals", &id))?;
    let request = QueryUsageRequest { parent, meters, start_time, end_time, group_by, principal };
    app.read(watch.watch, request, async |l, r| client(l).query_usage(r).await).await
}

/// Lists the meters.
pub async fn meters(page: &PageArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let ask = |Page { page_size, page_token, .. }| ListMetersRequest { page_size, page_token };
    app.list_plain(page, ask, async |l, r| client(l).list_meters(r).await).await
}
