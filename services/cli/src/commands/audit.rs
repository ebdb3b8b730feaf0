//! `provost audit`.

use clap::Subcommand;
use proto::audit::v1::{ListAuditEventsRequest, audit_service_client::AuditServiceClient};

use crate::{
    app::{App, Page},
    args::{ListArgs, WatchArgs},
    client::{Link, MAX_ANSWER_BYTES},
    error::{Exit, Result},
};

/// Verbs of the audit log.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what was done, newest first
    ///
    /// Filter by `actor`, `action`, `outcome`, `event_class`, `target`, `partner`, `request_id`, `trace_id`, `time`; order
    /// by `time`.
    List {
        /// Where: `TENANT` or `partners/PARTNER`; --platform for the platform
        parent: Option<String>,
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        watch: WatchArgs,
    },
}

fn client(link: Link) -> AuditServiceClient<Link> {
    AuditServiceClient::new(link).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Runs a verb.
pub async fn run(command: Command, app: &mut App<'_, '_>) -> Result<Exit> {
    let Command::List { parent, list, watch } = command;
    let parent = app.names.scope(parent.as_deref())?;
    let ask = |Page { filter, order_by, page_size, page_token }| ListAuditEventsRequest {
        parent: parent.clone(),
        page_size,
        page_token,
        filter,
        order_by,
    };
    app.list(watch.watch, &list, ask, async |l, r| client(l).list_audit_events(r).await).await
}
