//! What a sink has delivered, said in a way that a receiver can compare with what it stored.
//!
//! The text of the note is [`HEADER`] and one line of JSON. Its digest is SHA-256 over one line for each delivered event, in
//! the order of the log: `<index> <event id> <leaf hash, base64>` and a line feed. Dead letters are not in it.

use audit::{Sequencer, event::store as events};
use kernel::{
    Ctx, Result,
    audit::Resource as _,
    authz::{Action, Class},
    clock::Time,
    error::Error,
    hash,
};
use proto::sink::v1 as pb;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{
    action,
    model::{View, parse},
    ops::found,
    store,
};

/// First line of the text.
pub const HEADER: &str = "provost.dev/delivery-certificate@v1";
/// What stands behind the log's origin in the name of the signatures.
pub const NAME: &str = "/deliveries";
/// Most events of one certificate.
const MAX_EVENTS: i64 = 250_000;
/// Events that are read at once.
const PAGE: i64 = 2_000;
/// Dead letters that a certificate names.
const NAMED: usize = 1_000;

const CERTIFY: Action = action("provost.sink.v1.SinkService/GetDeliveryCertificate", "certify", Class::Read);
/// What can be asked for.
pub const ACTIONS: &[Action] = &[CERTIFY];

/// What is signed.
#[derive(Serialize)]
struct Statement<'a> {
    /// The sink.
    sink: String,
    /// Its identity.
    sink_uid: String,
    /// Origin of the log.
    log: &'a str,
    /// First index.
    from_index: i64,
    /// First index that it does not speak of.
    to_index: i64,
    /// Events that were delivered.
    count: i64,
    /// Hex.
    sha256: String,
    /// Events that the receiver refused for good.
    failure_count: usize,
    /// The first of their indexes.
    failures: Vec<i64>,
    /// The log's newest checkpoint, which covers all of it.
    checkpoint: &'a str,
    /// When it was said.
    time: Time,
}

/// Says, signed, what a sink has delivered between two indexes.
pub async fn certificate_get(
    ctx: &Ctx,
    log: &Sequencer,
    request: &pb::GetDeliveryCertificateRequest,
) -> Result<pb::DeliveryCertificate> {
    let (parent, _) = parse("name", &request.name)?;
    let scope = ctx.scope("name", &parent).await?;
    let permit = ctx.authorize(CERTIFY, &scope).await?;
    let mut db = ctx.read().await?;
    let view = found(&mut db, ctx, &scope, &request.name).await?;
    let head = log.head(scope.id()).await?;
    let (from, to) = span(&view, head.minimum_index, request)?;
    let failures = store::letter_range(&mut db, &view.sink, from, to).await?;
    let (count, sha256) = digest(&mut db, &view, (from, to), &failures).await?;
    let statement = Statement {
        sink: view.sink.name(),
        sink_uid: view.sink.id.to_string(),
        log: &head.origin,
        from_index: from,
        to_index: to,
        count,
        sha256,
        failure_count: failures.len(),
        failures: failures.into_iter().take(NAMED).collect(),
        checkpoint: &head.checkpoint,
        time: ctx.now(),
    };
    let json = serde_json_canonicalizer::to_string(&statement).map_err(Error::internal)?;
    drop(db);
    // a proof that leaves is on the record, as every other
    let audit = permit.audit().target(&view.sink);
    let what = view.sink.name();
    log.reading().reads.record(ctx, (&CERTIFY, &permit), audit, &what).await?;
    let name = format!("{}{NAME}", head.origin);
    let note = log.sign_statement(&name, &format!("{HEADER}\n{json}\n"))?;
    Ok(pb::DeliveryCertificate { note: note.to_string(), verifier_keys: log.verifier_keys(&name) })
}

/// The indexes that a certificate speaks of.
fn span(view: &View, minimum: i64, request: &pb::GetDeliveryCertificateRequest) -> Result<(i64, i64)> {
    let progress = &view.progress;
    let lowest = progress.first_index.max(minimum);
    let from = if request.from_index == 0 { lowest } else { request.from_index };
    let to = if request.to_index == 0 { progress.next_index } else { request.to_index };
    if from < lowest || from > to || to > progress.next_index {
        let message = format!(
            "`{from}` to `{to}` was not delivered, or was pruned since; the sink can speak of {lowest} to {}",
            progress.next_index
        );
        let field = if from < lowest || from > to { "from_index" } else { "to_index" };
        return Err(Error::out_of_range(field, message));
    }
    if to - from > MAX_EVENTS {
        let message =
            format!("{} events are too many for one certificate; ask for {MAX_EVENTS} at a time", to - from);
        return Err(Error::Limit { limit: "delivery certificate".to_owned(), message });
    }
    Ok((from, to))
}

async fn digest(
    db: &mut impl kernel::db::Executor,
    view: &View,
    (from, to): (i64, i64),
    failures: &[i64],
) -> Result<(i64, String)> {
    let (mut sha, mut count, mut next) = (Sha256::new(), 0, from);
    while next < to {
        let rows = events::event_range(db, view.sink.scope_id, next, to, PAGE).await?;
        if rows.first().is_none_or(|row| row.idx != next) {
            let message = format!("event `{next}` was pruned by retention just now; ask again");
            return Err(Error::out_of_range("from_index", message));
        }
        for row in rows {
            next = row.idx.saturating_add(1);
            if failures.binary_search(&row.idx).is_err() {
                count += 1;
                sha.update(line(
                    row.idx,
                    &row.id.to_string(),
                    &tlog::leaf_hash(row.entry.as_bytes()).to_string(),
                ));
            }
        }
    }
    let bytes: [u8; 32] = sha.finalize().into();
    Ok((count, hash::hex(&bytes)))
}

fn line(index: i64, id: &str, leaf_hash: &str) -> String {
    format!("{index} {id} {leaf_hash}\n")
}
