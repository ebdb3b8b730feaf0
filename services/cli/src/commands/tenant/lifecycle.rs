//! The verbs that move a tenant: `PIPELINE -> CONTRACTED -> PILOT -> LIVE -> SUSPENDED -> LIVE | CLOSED`.

use clap::Subcommand;
use proto::tenant::v1::{
    CloseTenantRequest, ContractTenantRequest, GoLiveRequest, ResumeTenantRequest, StartPilotRequest,
    SuspendTenantRequest,
};

use super::{client, contract::ContractArgs};
use crate::{
    app::App,
    args::{DangerArgs, Verb, VerbArgs},
    error::{Exit, Result},
};

/// One verb a move.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record the signed contract: PIPELINE -> CONTRACTED
    Contract {
        #[command(flatten)]
        verb: VerbArgs,
        #[command(flatten)]
        contract: ContractArgs,
    },
    /// Start with a first group: CONTRACTED -> PILOT
    StartPilot(VerbArgs),
    /// Roll out: PILOT -> LIVE; needs a role with a member
    GoLive(VerbArgs),
    /// Freeze: LIVE -> SUSPENDED; every decision is then a no
    Suspend(DangerArgs),
    /// Go on: SUSPENDED -> LIVE
    Resume(VerbArgs),
    /// End for good: SUSPENDED -> CLOSED; all data but the audit log is erased at the `erase_time` that is shown
    Close(DangerArgs),
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Contract { verb, contract } => {
            let full = app.names.tenant(Some(&verb.name))?;
            let contract = Some(contract.read(app)?);
            let Verb { name, etag, request_id, validate_only } = verb.on(full);
            let request = ContractTenantRequest { name, etag, request_id, validate_only, contract };
            app.change(request, async |l, r| client(l).contract_tenant(r).await).await
        }
        Command::StartPilot(args) => {
            let Verb { name, etag, request_id, validate_only } =
                args.on(app.names.tenant(Some(&args.name))?);
            let request = StartPilotRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).start_pilot(r).await).await
        }
        Command::GoLive(args) => {
            let Verb { name, etag, request_id, validate_only } =
                args.on(app.names.tenant(Some(&args.name))?);
            let request = GoLiveRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).go_live(r).await).await
        }
        Command::Suspend(args) => {
            let full = app.names.tenant(Some(&args.verb.name))?;
            let Verb { name, etag, request_id, validate_only } = app.danger("suspend", &args, full)?;
            let request = SuspendTenantRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).suspend_tenant(r).await).await
        }
        Command::Resume(args) => {
            let Verb { name, etag, request_id, validate_only } =
                args.on(app.names.tenant(Some(&args.name))?);
            let request = ResumeTenantRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).resume_tenant(r).await).await
        }
        Command::Close(args) => {
            let full = app.names.tenant(Some(&args.verb.name))?;
            let Verb { name, etag, request_id, validate_only } = app.danger("close for good", &args, full)?;
            let request = CloseTenantRequest { name, etag, request_id, validate_only };
            app.change(request, async |l, r| client(l).close_tenant(r).await).await
        }
    }
}
