//! Events as files.
//!
//! A file holds what the log's hashes cover and nothing more: a person's data stays sealed in it, so that an erasure reaches
//! the files that were written before it. NDJSON carries the recorded bytes; the other formats, which are for reading, say
//! `(sealed)` in the place of a person's data.
//!
//! The events of one call are read page by page, each with a connection of its own, and written as the caller takes them:
//! nothing is held over the stream, and nothing goes on once the caller has hung up.

use std::{sync::Arc, time::Duration};

use futures::{Stream, stream};
use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    error::Error,
    scope::{Scope, ScopeKind},
};
use proto::audit::v1::{self as pb, ExportFormat};

use crate::{Sequencer, event::Filter, log_name, sequencer::LogHead};

mod columns;
pub(crate) mod csv;
pub(crate) mod ndjson;
pub mod ocsf;
mod parquet;
pub(crate) mod row;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod writer;

use row::Row;
use writer::{Export, Span};

/// Longest wait for the checkpoint that covers the export.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(2);

const EXPORT: Action = Action {
    rpc: "provost.audit.v1.AuditService/ExportAuditEvents",
    noun: "audit",
    verb: "export",
    class: Class::Read,
    scopes: &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant],
};
/// What can be asked for.
pub const ACTIONS: &[Action] = &[EXPORT];

/// Adds events to a file, in the order of their indexes.
pub(crate) trait Encoder: Send {
    /// Writes an event to `out`, now or later.
    fn event(&mut self, row: &Row, out: &mut Vec<u8>) -> Result<()>;

    /// Whether every event so far has been written.
    fn is_flush(&self) -> bool {
        true
    }

    /// Writes what is left.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let _ = out;
        Ok(())
    }
}

/// Writes events of the log of `request.parent` as a file.
pub async fn export(
    ctx: Arc<Ctx>,
    log: Arc<Sequencer>,
    request: pb::ExportAuditEventsRequest,
) -> Result<impl Stream<Item = Result<pb::ExportAuditEventsResponse>> + Send + 'static> {
    let scope = ctx.scope("parent", &request.parent).await?;
    let permit = ctx.authorize(EXPORT, &scope).await?;
    ctx.kernel().storage.admits(&EXPORT)?;
    let filter = match request.filter.trim() {
        "" => None,
        text => Some(Filter::parse(text)?),
    };
    let encoder = encoder(request.format(), &scope)?;
    ctx.record(permit.audit().also("audit_log", log_name(&scope)).query(&request.filter)).await?;
    let head = log.catch_up(scope.id()).await?;
    let span = Span::choose(&head, request.from_index, request.as_of_size)?;
    let checkpoint = checkpoint(&log, head, span).await?;
    let manifest = pb::ExportManifest {
        as_of_size: span.below,
        checkpoint,
        filter: request.filter,
        format: request.format,
        ..pb::ExportManifest::default()
    };
    let export = Export::new(ctx, scope.id(), span, filter, encoder, manifest);
    Ok(stream::try_unfold(export, |mut export| async move {
        Ok(export.next_message().await?.map(|message| (message, export)))
    }))
}

/// The checkpoint that covers the export; an empty log has none.
async fn checkpoint(log: &Sequencer, head: LogHead, span: Span) -> Result<String> {
    if span.below <= head.signed_size {
        return Ok(head.checkpoint);
    }
    Ok(log.covering(head.scope_id, span.below.saturating_sub(1), CHECKPOINT_WAIT).await?.checkpoint)
}

fn encoder(format: ExportFormat, scope: &Scope) -> Result<Box<dyn Encoder>> {
    Ok(match format {
        ExportFormat::Ndjson => Box::new(ndjson::Ndjson),
        ExportFormat::Csv => Box::new(csv::Csv::default()),
        ExportFormat::Parquet => Box::new(parquet::Parquet::new()?),
        ExportFormat::Ocsf => Box::new(ocsf::Ocsf::new(scope.id())),
        ExportFormat::Unspecified => {
            return Err(Error::invalid("format", "is required: NDJSON, CSV, PARQUET or OCSF"));
        }
    })
}
