//! `provost duty`.

use clap::Subcommand;
use proto::duty::v1::{
    GrantDutyRequest, ListDutyGrantsRequest, RevokeDutyRequest, duty_service_client::DutyServiceClient,
};

use crate::{
    app::{App, Page},
    args::{ChangeArgs, ListArgs, YesArgs, choice},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
};

/// Verbs of duties.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Give a principal a duty where it lives
    Grant {
        /// Who gets it
        #[arg(long)]
        principal: String,
        /// What it gets
        #[arg(long, value_parser = choice("provost.duty.v1.Duty"))]
        duty: i32,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// End a grant
    Revoke {
        /// Which one, as `duty list` names it
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// List who has which duty
    ///
    /// Filter by `duty`, `principal_id`, `create_time`; order by `create_time`.
    List {
        /// Where: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
}

fn client(link: Link) -> DutyServiceClient<Link> {
    DutyServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    match command {
        Command::Grant { principal, duty, change } => {
            let name = app.names.in_scope("principals", &principal)?;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let principal = name.to_string();
            let request =
                GrantDutyRequest { parent: name.parent, principal, duty, request_id, validate_only };
            app.change(request, async |l, r| client(l).grant_duty(r).await).await
        }
        Command::Revoke { name, change, yes } => {
            let name = app.names.in_scope("dutyGrants", &name)?.to_string();
            app.confirm("revoke", &name, &change, yes)?;
            let (request_id, validate_only) = (change.request_id(), change.validate_only);
            let request = RevokeDutyRequest { name, request_id, validate_only };
            app.change(request, async |l, r| client(l).revoke_duty(r).await).await
        }
        Command::List { parent, list } => {
            let parent = app.names.scope(parent.as_deref())?;
            let ask = |Page { filter, order_by, page_size, page_token }| ListDutyGrantsRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter,
                order_by,
            };
            app.list(false, &list, ask, async |l, r| client(l).list_duty_grants(r).await).await
        }
    }
}
