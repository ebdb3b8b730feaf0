//! `provost audit`: what was done, the proof of it, and how long it is kept.

use clap::Subcommand;
use proto::audit::v1::audit_service_client::AuditServiceClient;

use crate::{
    app::App,
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
};

mod evidence;
mod export;
pub(super) mod keys;
mod link;
mod mirror;
mod receipt;
mod retention;
mod saved;
mod search;
mod tail;
mod verify;

/// Verbs of the audit log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Search what was done, newest first
    ///
    /// Filter by `actor`, `action`, `outcome`, `class`, `target`, `ip`, `partner`, `delegation`, `request_id`, `trace_id`,
    /// `time`, and with `text("words")`, `cidr(ip, "10.0.0.0/8")`, `actor("NAME")` (also what others did for her); order by `index`.
    #[command(visible_alias = "list")]
    Search(search::Search),
    /// Show one event
    Get {
        /// Which one: `TENANT/ID`, a full name, or `ID` with --tenant, --partner or --platform
        event: String,
    },
    /// Follow what is being done, until Ctrl-C
    Tail(tail::Tail),
    /// Filters kept under a name
    #[command(subcommand)]
    Saved(saved::Command),
    /// Write events into a file
    Export(export::Export),
    /// Fetch what a framework's controls ask for of a period, as one zip file that anyone can verify
    Evidence(evidence::Evidence),
    /// Who could use what at a moment
    AsOf(search::AsOf),
    /// Show a log's size, newest checkpoint and keys
    Log {
        /// Whose: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
    },
    /// Fetch the proof that an event is in the log
    Receipt(receipt::Receipt),
    /// Check such a proof, offline
    VerifyReceipt(receipt::VerifyReceipt),
    /// Copy a log into a directory, or bring the copy up to date
    Mirror(mirror::Mirror),
    /// Check a copy of a log, offline: every event, every hash, the signature
    Verify(verify::Verify),
    /// Paths by which others mirror a log without a token
    #[command(subcommand)]
    Link(link::Command),
    /// How long events are kept
    #[command(subcommand)]
    Retention(retention::RetentionCommand),
    /// What keeps events past their time, and people from being erased
    #[command(subcommand)]
    Hold(retention::HoldCommand),
    /// Destroy the key that a deleted person's data in the record is sealed with; it cannot be undone
    Erase(retention::Erase),
}

impl Command {
    /// Whether it talks to no server.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Verify(_) | Self::VerifyReceipt(_))
    }
}

fn client(link: Link) -> AuditServiceClient<Link> {
    AuditServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Search(args) => search::search(args, app).await,
        Command::Get { event } => search::get(&event, app).await,
        Command::Tail(args) => tail::run(args, app).await,
        Command::Saved(command) => saved::run(command, app).await,
        Command::Export(args) => export::run(args, app).await,
        Command::Evidence(args) => evidence::run(args, app).await,
        Command::AsOf(args) => search::as_of(args, app).await,
        Command::Log { parent } => search::log(parent.as_deref(), app).await,
        Command::Receipt(args) => receipt::fetch(args, app).await,
        Command::VerifyReceipt(args) => receipt::verify(&args, app),
        Command::Mirror(args) => mirror::run(args, app).await,
        Command::Verify(args) => verify::run(&args, app),
        Command::Link(command) => link::run(command, app).await,
        Command::Retention(command) => retention::run(command, app).await,
        Command::Hold(command) => retention::hold(command, app).await,
        Command::Erase(args) => retention::erase(args, app).await,
    }
}
