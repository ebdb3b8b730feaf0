//! `provost sink`: where a log's events are delivered, and the proof that they were.

use clap::Subcommand;
use proto::sink::v1::{
    DeleteSinkRequest, GetSinkRequest, ListDeadLettersRequest, ListSinksRequest, PauseSinkRequest,
    RedeliverDeadLettersRequest, ReplaySinkRequest, ResumeSinkRequest, TestSinkRequest,
    sink_service_client::SinkServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, DangerArgs, ListArgs, Verb, VerbArgs, WatchArgs},
    client::{Link, MAX_ANSWER_BYTES, Repeat},
    error::{Exit, Result},
    output::{Answer, reflect},
};

mod certificate;
mod target;

/// Verbs of sinks.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deliver a log's events somewhere; secrets that are made for it are shown this once
    Create(Box<target::Create>),
    /// List the sinks of a log
    ///
    /// Filter by `sink_id`, `kind`, `create_time`; order by `sink_id`, `create_time`.
    List {
        /// Of whose log: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a sink, how far it is and what it waits for
    Get {
        /// `TENANT/ID`, a full name, or `ID` with --tenant, --partner or --platform
        name: String,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Change where and how a sink delivers; its place in the log stays
    Update(Box<target::Update>),
    /// Delete a sink with its dead letters
    Delete(DangerArgs),
    /// Stop delivering; the place in the log stays
    Pause {
        #[command(flatten)]
        verb: VerbArgs,
        /// Why
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Go on delivering, at once
    Resume(VerbArgs),
    /// Deliver again from an index on
    Replay {
        #[command(flatten)]
        verb: VerbArgs,
        /// The first index
        #[arg(long, value_name = "INDEX")]
        from: i64,
    },
    /// List the dead letters: events that the receiver refused for good
    ///
    /// Filter by `sequence`, `create_time`; order by `sequence`, `create_time`.
    Deliveries {
        /// Which sink
        name: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Deliver dead letters again
    Redeliver {
        /// Which sink
        name: String,
        /// Only the events at these indexes; repeatable
        #[arg(long = "sequence", value_name = "INDEX")]
        sequences: Vec<i64>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Send one message that is no event, and say what came of it
    Test {
        /// Which sink
        name: String,
    },
    /// Print what a sink has delivered, signed with the log's key
    Certificate(certificate::Certificate),
    /// Compare such a certificate with the events that a receiver stored, offline
    VerifyCertificate(certificate::Verify),
}

impl Command {
    /// Whether it talks to no server.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::VerifyCertificate(_))
    }
}

fn client(link: Link) -> SinkServiceClient<Link> {
    SinkServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// The full name of a sink.
fn full(app: &App<'_, '_>, name: &str) -> Result<String> {
    app.names.in_scope("sinks", name).map(|name| name.to_string())
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Create(args) => target::create(*args, app).await,
        Command::List { parent, list } => {
            let parent = app.names.scope(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListSinksRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_sinks(r).await).await
        }
        Command::Get { name, watch } => {
            let request = GetSinkRequest { name: full(app, &name)? };
            app.read(watch.watch, request, async |l, r| client(l).get_sink(r).await).await
        }
        Command::Update(args) => target::update(*args, app).await,
        Command::Delete(args) => {
            let name = full(app, &args.verb.name)?;
            let Verb { name, etag, request_id, validate_only } = app.danger("delete", &args, name)?;
            let request = DeleteSinkRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).delete_sink(r).await).await
        }
        Command::Pause { verb, reason } => {
            let Verb { name, etag, request_id, validate_only } = verb.on(full(app, &verb.name)?);
            let request = PauseSinkRequest { name, etag, request_id, validate_only, reason };
            app.change(request, async |l, r| client(l).pause_sink(r).await).await
        }
        Command::Resume(verb) => {
            let Verb { name, etag, request_id, validate_only } = verb.on(full(app, &verb.name)?);
            let request = ResumeSinkRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).resume_sink(r).await).await
        }
        Command::Replay { verb, from } => {
            let Verb { name, etag, request_id, validate_only } = verb.on(full(app, &verb.name)?);
            let request = ReplaySinkRequest { name, etag, request_id, validate_only, from_index: from };
            app.change(request, async |l, r| client(l).replay_sink(r).await).await
        }
        Command::Deliveries { name, list } => {
            let parent = full(app, &name)?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListDeadLettersRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_dead_letters(r).await).await
        }
        Command::Redeliver { name, sequences, change } => {
            let request = RedeliverDeadLettersRequest {
                name: full(app, &name)?,
                sequences,
                request_id: change.request_id(),
                validate_only: change.validate_only,
            };
            app.change(request, async |l, r| client(l).redeliver_dead_letters(r).await).await
        }
        Command::Test { name } => test(full(app, &name)?, app).await,
        Command::Certificate(args) => certificate::fetch(args, app).await,
        Command::VerifyCertificate(args) => certificate::verify(&args, app),
    }
}

async fn test(name: String, app: &mut App<'_, '_>) -> Result<Exit> {
    let request = TestSinkRequest { name };
    let rpc = async |l, r| client(l).test_sink(r).await;
    let outcome = app.client()?.call(Repeat::of_change(&request), &request, rpc).await?;
    app.print(&Answer::One(reflect(&outcome)?))?;
    Ok(if outcome.delivered { Exit::OK } else { Exit::OTHER })
}
