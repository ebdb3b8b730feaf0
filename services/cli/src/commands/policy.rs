//! `provost policy`: a tenant's rules as a whole.

mod live;
mod preview;
mod rules;
mod test;

use clap::Subcommand;
use proto::entitlement::v1::entitlement_service_client::EntitlementServiceClient;

pub use preview::{Terms, foresee};

use crate::{
    app::App,
    cli::Global,
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
};

/// Verbs of policies.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run tests of rules from files, without a server, or of a tenant's rules with --tenant; a test that fails exits with 12
    Test(test::Run),
    /// Tell who would gain and who would lose what by some changes, and change nothing
    Preview(Box<preview::Preview>),
    /// Compare the tenant's rules with those of a file, and tell what those would do
    Diff(rules::Diff),
    /// Print the tenant's rules as a file for `policy diff`
    Export,
}

impl Command {
    /// Whether it talks to no server.
    pub fn is_local(&self, global: &Global) -> bool {
        matches!(self, Self::Test(_)) && global.tenant.is_none()
    }
}

fn client(link: Link) -> EntitlementServiceClient<Link> {
    EntitlementServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Test(args) => test::run(&args, app).await,
        Command::Preview(args) => preview::run(*args, app).await,
        Command::Diff(args) => rules::diff(args, app).await,
        Command::Export => rules::export(app).await,
    }
}
