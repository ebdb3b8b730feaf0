//! `provost decision`, and `provost check`.

use clap::{Args, Subcommand};
use proto::decision::v1::{CheckRequest, decision_service_client::DecisionServiceClient};

use crate::{
    app::App,
    client::{Link, MAX_ANSWER_BYTES, Repeat},
    error::{Exit, Result},
    names,
    output::{Answer, reflect},
};

/// Verbs of decisions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Decide, and say why; a no exits with 10
    Check(Check),
}

/// A question.
#[derive(Args, Debug)]
#[command(after_help = "Exit code: 0 for a yes, 10 for a no, others as in `provost --help`.")]
pub struct Check {
    /// Who: `TENANT/PRINCIPAL`
    principal: String,
    /// What: `MARKETPLACE/PLUGIN`
    plugin: String,
}

fn client(link: Link) -> DecisionServiceClient<Link> {
    DecisionServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Asks for a decision.
pub async fn check(args: Check, app: &mut App<'_, '_>) -> Result<Exit> {
    let principal = app.names.in_tenant("principals", &args.principal)?.to_string();
    let request = CheckRequest { principal, plugin: names::plugin(&args.plugin)? };
    let decision = app.client()?.call(Repeat::Safe, &request, async |l, r| client(l).check(r).await).await?;
    app.print(&Answer::One(reflect(&decision)?))?;
    Ok(if decision.allowed { Exit::OK } else { Exit::DECISION_NO })
}
