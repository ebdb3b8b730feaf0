//! Follows a log as it grows, across broken connections.

use std::{pin::pin, time::Duration};

use clap::Args;
use proto::audit::v1::{
    AuditEvent, ListAuditEventsResponse, TailAuditEventsRequest, TailAuditEventsResponse,
};
use tonic::{Request, Streaming};

use super::client;
use crate::{
    app::App,
    client::{Client, Repeat, is_cut},
    error::{Error, Exit, Result},
    output::{Format, compact, items, line, reflect},
};

/// Pause before the connection is made anew.
const PAUSE: Duration = Duration::from_millis(500);
/// A stream that shows no sign of life for so long is broken; the server sends one every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);

/// What to follow.
#[derive(Args, Debug)]
pub struct Tail {
    /// Where: `TENANT` or `partners/PARTNER`; --platform for the platform
    parent: Option<String>,
    /// Only what matches, as in `audit search`
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    filter: String,
    /// Begin with this index instead of now
    #[arg(long, value_name = "INDEX", value_parser = clap::value_parser!(i64).range(0..))]
    from_index: Option<i64>,
}

/// Shows events, one a line, until Ctrl-C; `-o json` is one object a line.
pub async fn run(args: Tail, app: &mut App<'_, '_>) -> Result<Exit> {
    let mut request = TailAuditEventsRequest {
        parent: app.names.scope(args.parent.as_deref())?,
        filter: args.filter,
        from_index: args.from_index.unwrap_or(-1),
    };
    let connection = app.client()?;
    let mut stop = pin!(tokio::signal::ctrl_c());
    let mut stream = tokio::select! {
        _ = &mut stop => return Ok(Exit::OK),
        stream = begin(&connection, &request) => stream?,
    };
    loop {
        let next = async { tokio::time::timeout(SILENCE, stream.message()).await };
        let next = tokio::select! {
            _ = &mut stop => return Ok(Exit::OK),
            next = next => next,
        };
        match next {
            Ok(Ok(Some(batch))) => {
                request.from_index = batch.next_index;
                show(batch.audit_events, app)?;
            }
            Ok(Err(status)) if !is_cut(&status) => return Err(Error::Api(Box::new(status))),
            // cut off, or ended by a server that stops: go on where it ended
            Ok(Ok(None) | Err(_)) | Err(_) => {
                app.console.note("the connection broke; going on where it ended");
                stream = tokio::select! {
                    _ = &mut stop => return Ok(Exit::OK),
                    again = anew(&connection, &request) => again?,
                };
            }
        }
    }
}

async fn begin(
    connection: &Client,
    request: &TailAuditEventsRequest,
) -> Result<Streaming<TailAuditEventsResponse>> {
    connection
        .repeated(Repeat::Safe, async |link| {
            let request = Request::new(request.clone());
            Ok(client(link).tail_audit_events(request).await?.into_inner())
        })
        .await
}

/// A new stream as soon as there is a server again.
async fn anew(
    connection: &Client,
    request: &TailAuditEventsRequest,
) -> Result<Streaming<TailAuditEventsResponse>> {
    loop {
        tokio::time::sleep(PAUSE).await;
        match begin(connection, request).await {
            Err(error) if error.exit() == Exit::UNAVAILABLE => {}
            outcome => return outcome,
        }
    }
}

fn show(events: Vec<AuditEvent>, app: &mut App<'_, '_>) -> Result<()> {
    let batch = ListAuditEventsResponse { audit_events: events, ..ListAuditEventsResponse::default() };
    for event in items(&reflect(&batch)?) {
        let text = match app.format() {
            Format::Table => line(&event),
            _ => compact(&event)?,
        };
        app.console.print(&text)?;
    }
    Ok(())
}
