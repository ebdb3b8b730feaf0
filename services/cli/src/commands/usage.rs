//! `provost usage`.

mod adoption;
mod seen;
mod send;
mod trend;

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use proto::usage::v1::{QueryUsageRequest, usage_service_client::UsageServiceClient};

use crate::{
    app::App,
    args::{WatchArgs, choice, time},
    client::{Link, MAX_ANSWER_BYTES, Repeat},
    error::{Exit, Result},
    names::beside,
    output::{Answer, Format, reflect},
};
use adoption::{Adoption, Portfolio};
use seen::Seen;
use send::Send;

/// Verbs of usage.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sum what was used
    Query(Query),
    /// Show who is active, period by period, and how far those came who may use plugins
    ///
    /// What is behind a figure: `provost usage events --filter 'time >= "2026-11-02T00:00:00Z" AND time < "2026-11-09T00:00:00Z" AND
    /// role_family = developer'`, and likewise with `role`, `unit`, `plugin`, `client`; behind the funnel: `provost usage dormant` and
    /// `provost usage plugins`.
    Adoption(Adoption),
    /// List who may use which plugin and did not for 28 days
    ///
    /// Filter by `principal`, `plugin`; order by the same. What somebody used: `provost usage events --filter 'principal = maria AND
    /// plugin = kit'`.
    Dormant(Seen),
    /// List how the clients of a partner stand
    ///
    /// Filter by `tenant_id`, `display_name`, `state`, `create_time`, `update_time`; order by all of them but `state`. What is behind a
    /// figure: `provost usage adoption TENANT`.
    Portfolio(Portfolio),
    /// Send usage events from a file, with an ingest token; sent again, they count once
    Send(Send),
    /// List the events behind figures
    ///
    /// Filter by `seq`, `time`, `type`, `source`, `id`, `client`, `principal`, `role`, `role_family`, `unit`, `plugin`;
    /// order by `seq`. What is behind a figure: `time >= "2026-11-02T00:00:00Z" AND time < "2026-11-09T00:00:00Z" AND role_family = developer`.
    Events(Seen),
    /// List events that were sent to be counted and are not
    ///
    /// Filter by `ingest_time`, `code`, `field`, `type`, `source`, `id`, `principal`; order by `ingest_time`.
    Rejects(Seen),
    /// List plugins that people have and that the catalogue does not list
    ///
    /// Filter and order by `plugin`, `plugin_hash`, `client`, `first_time`, `last_time`.
    Unapproved(Seen),
    /// List who has which plugins, by what assistants tell
    ///
    /// Filter by `principal`, `plugin`, `plugin_hash`, `catalog_plugin`, `client`, `version`, `first_time`, `last_time`; order by
    /// all of them but `version`.
    Plugins(Seen),
    /// List which managed settings people's assistants follow
    ///
    /// Filter by `principal`, `client`, `resolved_sha256`, `sources`, `helper_state`, `first_time`, `last_time`; order by
    /// `principal`, `client`, `resolved_sha256`, `first_time`, `last_time`.
    Settings(Seen),
}

/// What to sum.
#[derive(Args, Debug)]
pub struct Query {
    /// Of which tenant; the context's by default
    #[arg(value_name = "TENANT")]
    parent: Option<String>,
    /// What to count: `KEY`, or `KEY@VERSION` for one version of a meter of the tenant's own; repeatable, every built-in meter by default
    #[arg(long = "meter", value_name = "METER", value_delimiter = ',')]
    meters: Vec<String>,
    /// One figure for each of these; repeatable
    #[arg(long, value_delimiter = ',', value_parser = choice("provost.usage.v1.UsageDimension"))]
    group_by: Vec<i32>,
    /// One figure for each value of these dimensions of the meters (`plugin`, `skill`, `model`, `tool`, `app`, or those of the tenant's own); repeatable
    #[arg(long = "by", value_name = "DIMENSION", value_delimiter = ',')]
    group_by_dims: Vec<String>,
    /// Cut the interval: one figure an hour, day, week or month
    #[arg(long, value_parser = choice("provost.usage.v1.UsageWindow"))]
    window: Option<i32>,
    /// Time zone of the windows: an IANA name such as `Europe/Berlin`; UTC by default
    #[arg(long, value_name = "ZONE", default_value = "")]
    time_zone: String,
    /// Only what matches: `client = codex AND unit = research`
    #[arg(long, default_value = "", hide_default_value = true)]
    filter: String,
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

pub(super) fn client(link: Link) -> UsageServiceClient<Link> {
    UsageServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    let args = match command {
        Command::Query(args) => args,
        Command::Adoption(args) => return adoption::adoption(args, app).await,
        Command::Dormant(of) => return adoption::dormant(&of, app).await,
        Command::Portfolio(of) => return adoption::portfolio(&of, app).await,
        Command::Send(args) => return send::run(&args, app).await,
        Command::Events(of) => return seen::events(&of, app).await,
        Command::Rejects(of) => return seen::rejects(&of, app).await,
        Command::Unapproved(of) => return seen::unapproved(&of, app).await,
        Command::Plugins(of) => return seen::plugins(&of, app).await,
        Command::Settings(of) => return seen::settings(&of, app).await,
    };
    let parent = app.names.tenant(args.parent.as_deref())?;
    let principal =
        args.principal.map_or_else(|| Ok(String::new()), |id| beside(&parent, "principals", &id))?;
    let request = QueryUsageRequest {
        parent,
        principal,
        meters: args.meters,
        start_time: args.from,
        end_time: args.to,
        group_by: args.group_by,
        window: args.window.unwrap_or_default(),
        time_zone: args.time_zone,
        group_by_dims: args.group_by_dims,
        filter: args.filter,
    };
    let rpc = async |l, r| client(l).query_usage(r).await;
    if args.watch.watch || app.format() != Format::Table {
        return app.read(args.watch.watch, request, rpc).await;
    }
    let answer = app.client()?.call(Repeat::Safe, &request, rpc).await?;
    app.print(&Answer::One(reflect(&answer)?))?;
    app.console.print(&trend::text(&answer.rows, request.window(), &request.time_zone))?;
    Ok(Exit::OK)
}
