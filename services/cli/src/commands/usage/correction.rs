//! `provost usage void`, `amend`, `backfill`, `revert`: corrections, each with what it would change before it is made.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prost_types::Timestamp;
use proto::usage::v1::{
    AbandonUsageBackfillRequest, AmendUsageEventsRequest, CommitUsageBackfillRequest,
    CreateUsageBackfillRequest, Dim, GetUsageCorrectionRequest, ListUsageCorrectionsRequest, Quantity,
    RevertUsageCorrectionRequest, StageUsageEventsRequest, StageUsageEventsResponse, UsageAmendment,
    UsageCorrection, UsageEventRef, VoidUsageEventsRequest,
    usage_correction_service_client::UsageCorrectionServiceClient,
};
use tonic::{Request, Response, Status};

use super::{
    seen::Seen,
    send::{BATCH, read, summary},
};
use crate::{
    app::{App, Page},
    args::{ChangeArgs, VerbArgs, YesArgs, time},
    client::{Link, MAX_ANSWER_BYTES, Repeat},
    error::{Exit, Result},
    output::{Answer, Format, reflect, rows},
};

/// What to take back.
#[derive(Args, Debug)]
pub struct Void {
    /// Places of the events, as `provost usage events` shows them
    #[arg(value_name = "SEQ", required_unless_present = "ids", conflicts_with = "ids")]
    seqs: Vec<i64>,
    /// Who said so; with --id, instead of places
    #[arg(long, requires = "ids")]
    source: Option<String>,
    /// Ids of the source's events; repeatable
    #[arg(long = "id", value_name = "ID", requires = "source")]
    ids: Vec<String>,
    /// Why
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    yes: YesArgs,
}

/// What an event should have said.
#[derive(Args, Debug)]
pub struct Amend {
    /// Place of the event, as `provost usage events` shows it
    #[arg(value_name = "SEQ")]
    seq: i64,
    /// All of its quantities: `tokens.output=12`; repeatable
    #[arg(long = "value", value_name = "NAME=NUMBER", required = true, value_parser = pair)]
    values: Vec<(String, String)>,
    /// All of its dimensions: `model=m`; repeatable; without any, they stay
    #[arg(long = "dim", value_name = "NAME=VALUE", value_parser = pair)]
    dims: Vec<(String, String)>,
    /// When it happened
    #[arg(long, value_name = "TIME", value_parser = time)]
    time: Option<Timestamp>,
    /// Why
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    yes: YesArgs,
}

/// Verbs of backfills.
#[derive(Debug, Subcommand)]
pub enum Backfill {
    /// Open a backfill
    Open(Open),
    /// Send usage events from a file into a backfill; nobody sees them before it is committed
    Send {
        /// Which backfill
        name: String,
        /// File with one event a line, in JSON as the contract has it (`provost.usage.v1.UsageEvent`); `-` reads standard input
        file: PathBuf,
    },
    /// Let a backfill count, at one moment; says what would change before it asks
    Commit {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Give a backfill up
    Abandon(Revert),
}

/// What to open.
#[derive(Args, Debug)]
pub struct Open {
    /// Of which tenant; the context's by default
    #[arg(value_name = "TENANT")]
    parent: Option<String>,
    /// From when: `2026-11-01` or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Timestamp,
    /// Until when, exclusive
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Timestamp,
    /// Only events of this assistant
    #[arg(long, default_value = "", hide_default_value = true)]
    client: String,
    /// Only events of this source
    #[arg(long, default_value = "", hide_default_value = true)]
    source: String,
    /// Take back what stands in the interval when it is committed
    #[arg(long)]
    replace: bool,
    /// Why
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What to end, and why.
#[derive(Args, Debug)]
pub struct Revert {
    #[command(flatten)]
    verb: VerbArgs,
    /// Why
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    yes: YesArgs,
}

/// Which correction.
#[derive(Args, Debug)]
pub struct Named {
    /// Which one
    name: String,
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "write `NAME=VALUE`".to_owned())
}

fn client(link: Link) -> UsageCorrectionServiceClient<Link> {
    UsageCorrectionServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

fn full(app: &App<'_, '_>, name: &str) -> Result<String> {
    app.names.in_tenant("usageCorrections", name).map(|name| name.to_string())
}

/// Shows what `ask(true)`, a dry run, would change, asks, and makes the change.
async fn previewed<Q: proto::RpcRequest + Clone>(
    act: &str,
    app: &mut App<'_, '_>,
    (change, yes): (&ChangeArgs, YesArgs),
    ask: impl Fn(bool) -> Q,
    rpc: impl AsyncFn(Link, Request<Q>) -> std::result::Result<Response<UsageCorrection>, Status>,
) -> Result<Exit> {
    if change.validate_only || !yes.yes {
        let request = ask(true);
        let would = app.client()?.call(Repeat::Safe, &request, &rpc).await?;
        if change.validate_only && app.format() != Format::Table {
            return app.changed(true, &would);
        }
        let text = preview(&would);
        if change.validate_only {
            app.console.print(&text)?;
            return Ok(Exit::OK);
        }
        text.lines().for_each(|line| app.console.note(line));
        app.confirm(act, "usage", change, yes)?;
    }
    app.change(ask(false), rpc).await
}

/// What a correction comes to, for people.
fn preview(would: &UsageCorrection) -> String {
    let mut text = format!(
        "takes back {} events, adds {}, leaves out {} that are counted already\n",
        would.taken_count, would.added_count, would.skipped_count
    );
    let row = |e: &proto::usage::v1::UsageEffect| {
        let figures = [&e.value_taken, &e.value_added, &e.value_change].map(Clone::clone);
        [vec![e.meter.clone(), e.unit.clone()], figures.to_vec()].concat()
    };
    if !would.effects.is_empty() {
        let effects = would.effects.iter().map(row).collect();
        text += &rows(&["meter", "unit", "value_taken", "value_added", "value_change"], effects);
    }
    text
}

/// Takes events back.
pub(super) async fn void(args: Void, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(None)?;
    let source = args.source.unwrap_or_default();
    let by_seq = args.seqs.iter().map(|seq| UsageEventRef { seq: *seq, ..UsageEventRef::default() });
    let by_id = args.ids.iter().map(|id| UsageEventRef { seq: 0, source: source.clone(), id: id.clone() });
    let events: Vec<_> = by_seq.chain(by_id).collect();
    let request_id = args.change.request_id();
    let ask = |validate_only| VoidUsageEventsRequest {
        parent: parent.clone(),
        events: events.clone(),
        reason: args.reason.clone(),
        request_id: if validate_only { String::new() } else { request_id.clone() },
        validate_only,
    };
    previewed("take back", app, (&args.change, args.yes), ask, async |l, r| {
        client(l).void_usage_events(r).await
    })
    .await
}

/// Puts another event in the place of one.
pub(super) async fn amend(args: Amend, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(None)?;
    let amendment = UsageAmendment {
        event: Some(UsageEventRef { seq: args.seq, ..UsageEventRef::default() }),
        values: args.values.into_iter().map(|(key, value)| Quantity { key, value }).collect(),
        set_dims: !args.dims.is_empty(),
        dims: args.dims.into_iter().map(|(key, value)| Dim { key, value }).collect(),
        time: args.time,
    };
    let request_id = args.change.request_id();
    let ask = |validate_only| AmendUsageEventsRequest {
        parent: parent.clone(),
        amendments: vec![amendment.clone()],
        reason: args.reason.clone(),
        request_id: if validate_only { String::new() } else { request_id.clone() },
        validate_only,
    };
    previewed("amend", app, (&args.change, args.yes), ask, async |l, r| client(l).amend_usage_events(r).await)
        .await
}

/// Runs a verb of backfills.
pub(super) async fn backfill(verb: Backfill, app: &mut App<'_, '_>) -> Result<Exit> {
    match verb {
        Backfill::Open(args) => open(args, app).await,
        Backfill::Send { name, file } => send(&full(app, &name)?, &file, app).await,
        Backfill::Commit { verb, yes } => commit(&verb, yes, app).await,
        Backfill::Abandon(args) => {
            let verb = args.verb.on(full(app, &args.verb.name)?);
            app.confirm("abandon", &verb.name, &args.verb.change, args.yes)?;
            let request = AbandonUsageBackfillRequest {
                name: verb.name,
                etag: verb.etag,
                reason: args.reason,
                request_id: verb.request_id,
                validate_only: verb.validate_only,
            };
            app.change(request, async |l, r| client(l).abandon_usage_backfill(r).await).await
        }
    }
}

async fn open(args: Open, app: &mut App<'_, '_>) -> Result<Exit> {
    let backfill = UsageCorrection {
        reason: args.reason,
        range_start_time: Some(args.from),
        range_end_time: Some(args.to),
        client: args.client,
        source: args.source,
        replace: args.replace,
        ..UsageCorrection::default()
    };
    let request = CreateUsageBackfillRequest {
        parent: app.names.tenant(args.parent.as_deref())?,
        backfill: Some(backfill),
        request_id: args.change.request_id(),
        validate_only: args.change.validate_only,
    };
    app.change(request, async |l, r| client(l).create_usage_backfill(r).await).await
}

/// Sends a file into a backfill; what was refused is named. Sent again, it is staged once.
async fn send(name: &str, file: &std::path::Path, app: &mut App<'_, '_>) -> Result<Exit> {
    let events = read(file)?;
    let (server, mut statuses) = (app.client()?, Vec::with_capacity(events.len()));
    for events in events.chunks(BATCH) {
        let request =
            StageUsageEventsRequest { name: name.to_owned(), events: events.to_vec(), validate_only: false };
        // what is staged already is a duplicate
        let answer =
            server.call(Repeat::Safe, &request, async |l, r| client(l).stage_usage_events(r).await).await?;
        statuses.extend(answer.statuses);
    }
    if app.format() == Format::Table {
        app.console.print(&summary(&events, &statuses))?;
        return Ok(Exit::OK);
    }
    app.changed(false, &StageUsageEventsResponse { statuses })
}

async fn commit(verb: &VerbArgs, yes: YesArgs, app: &mut App<'_, '_>) -> Result<Exit> {
    let name = full(app, &verb.name)?;
    let mut etag = verb.etag.clone();
    if etag.is_empty() && !yes.yes {
        // what is committed is what was looked at
        let request = GetUsageCorrectionRequest { name: name.clone() };
        let server = app.client()?;
        let get = async |l, r| client(l).get_usage_correction(r).await;
        etag = server.call(Repeat::Safe, &request, get).await?.etag;
    }
    let request_id = verb.change.request_id();
    let ask = |validate_only| CommitUsageBackfillRequest {
        name: name.clone(),
        etag: etag.clone(),
        request_id: if validate_only { String::new() } else { request_id.clone() },
        validate_only,
    };
    previewed("commit the backfill of", app, (&verb.change, yes), ask, async |l, r| {
        client(l).commit_usage_backfill(r).await
    })
    .await
}

/// Undoes a correction.
pub(super) async fn revert(args: Revert, app: &mut App<'_, '_>) -> Result<Exit> {
    let verb = args.verb.on(full(app, &args.verb.name)?);
    app.confirm("revert", &verb.name, &args.verb.change, args.yes)?;
    let request = RevertUsageCorrectionRequest {
        name: verb.name,
        etag: verb.etag,
        reason: args.reason,
        request_id: verb.request_id,
        validate_only: verb.validate_only,
    };
    app.change(request, async |l, r| client(l).revert_usage_correction(r).await).await
}

/// Shows a correction, and what it does to figures.
pub(super) async fn get(of: &Named, app: &mut App<'_, '_>) -> Result<Exit> {
    let request = GetUsageCorrectionRequest { name: full(app, &of.name)? };
    if app.format() != Format::Table {
        return app.read(false, request, async |l, r| client(l).get_usage_correction(r).await).await;
    }
    let found = app
        .client()?
        .call(Repeat::Safe, &request, async |l, r| client(l).get_usage_correction(r).await)
        .await?;
    let card = UsageCorrection { effects: Vec::new(), ..found.clone() };
    app.print(&Answer::One(reflect(&card)?))?;
    app.console.print(&preview(&found))?;
    Ok(Exit::OK)
}

/// Lists corrections.
pub(super) async fn list(of: &Seen, app: &mut App<'_, '_>) -> Result<Exit> {
    let parent = app.names.tenant(of.parent.as_deref())?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListUsageCorrectionsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(false, &of.list, ask, async |l, r| client(l).list_usage_corrections(r).await).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_a_name_and_may_have_anything_as_its_value() {
        assert_eq!(pair("tokens.output=12").unwrap(), ("tokens.output".to_owned(), "12".to_owned()));
        assert_eq!(pair("a=b=c").unwrap().1, "b=c");
        assert!(pair("=1").is_err() && pair("a").is_err());
    }
}
