//! Evidence packs: what a framework's controls ask for of a period, as one zip file that is verified without us.
//!
//! The life of a pack: the `framework`'s table says which events answer which control; `pack` writes file after file, the
//! events in one pass over the period's part of the log, then what each control has of them (`events`), who could use what
//! before and after (`access`), and what proves it (`proofs`); `archive` makes zip chunks of it and notes every file's
//! SHA-256 for the list that is signed at the end.
//!
//! A pack is a function of its arguments and the size of the log: no clock, no random number, no file times. Its events hold
//! what the log's hashes cover, so a person's data stays sealed, as in exports.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, channel::mpsc, future, stream};
use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    error::Error,
    scope::ScopeKind,
};
use proto::audit::v1 as pb;

use crate::{Sequencer, log_name, sequencer::LogHead};

mod access;
mod archive;
mod events;
pub mod framework;
mod guide;
mod pack;
mod period;
mod proofs;

use archive::Archive;
use framework::Framework;
use pack::Pack;
use period::Period;

/// Longest wait for the checkpoint that covers the pack.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(2);

const EVIDENCE: Action = Action {
    rpc: "provost.audit.v1.AuditService/ExportEvidence",
    noun: "audit",
    verb: "export_evidence",
    class: Class::Read,
    scopes: &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant],
};
/// What can be asked for.
pub const ACTIONS: &[Action] = &[EVIDENCE];

/// Writes the evidence pack of a framework and a period of the log of `request.parent`.
pub async fn evidence_export(
    ctx: Arc<Ctx>,
    log: Arc<Sequencer>,
    request: pb::ExportEvidenceRequest,
) -> Result<impl Stream<Item = Result<pb::ExportEvidenceResponse>> + Send + 'static> {
    let scope = ctx.scope("parent", &request.parent).await?;
    let permit = ctx.authorize(EVIDENCE, &scope).await?;
    ctx.kernel().storage.admits(&EVIDENCE)?;
    let framework = Framework::find(&request.framework)?;
    let period = Period::new(request.start_time, request.end_time, ctx.now())?;
    let asked = format!("framework = \"{}\" AND {}", framework.id, period.filter());
    ctx.record(permit.audit().also("audit_log", log_name(&scope)).query(&asked)).await?;
    let head = log.catch_up(scope.id()).await?;
    let size = size(&head, request.as_of_size)?;
    let head = log.covering(scope.id(), size.saturating_sub(1), CHECKPOINT_WAIT).await?;
    let pack = Pack::prepare(ctx, log, scope, framework, period, head, size).await?;
    let (chunks, sent) = mpsc::channel(1);
    let written = stream::once(pack.write(Archive::new(chunks)));
    // the pack is written as its chunks are taken; when the caller hangs up both are dropped
    let failed = written.filter_map(|outcome| future::ready(outcome.err().map(Err)));
    Ok(stream::select(sent.map(Ok), failed))
}

/// The size that everything is proved under.
fn size(head: &LogHead, as_of_size: i64) -> Result<i64> {
    match as_of_size {
        0 => Ok(head.size),
        size if (1..=head.size).contains(&size) && size > head.minimum_index => Ok(size),
        size => {
            let message = format!("`{size}` is not a size of this log; use 0 or 1 to {}", head.size);
            Err(Error::out_of_range("as_of_size", message))
        }
    }
}
