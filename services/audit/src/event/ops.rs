//! The use cases of reading the log.

use std::time::Duration;

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::list::ListQuery,
    error::Error,
    hash,
    ids::{EventId, clip},
    name,
    page::{self, Cursor},
    scope::{Scope, ScopeKind},
};
use proto::audit::v1 as pb;
use tlog::{Note, TileSet};

use super::{
    filter::Filter,
    index::Layout,
    model::{Opened, Row},
    open,
    search::{Searcher, Window},
    store,
};
use crate::{
    Sequencer,
    sequencer::{LogHead, store::tile_get_all},
};

const ALL: &[ScopeKind] = &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant];

pub(super) const LIST: Action = reading("provost.audit.v1.AuditService/ListAuditEvents", "list");
pub(super) const GET: Action = reading("provost.audit.v1.AuditService/GetAuditEvent", "get");
pub(super) const GET_LOG: Action = reading("provost.audit.v1.AuditService/GetAuditLog", "get_log");
pub(super) const RECEIPT: Action = reading("provost.audit.v1.AuditService/GetReceipt", "receipt");

/// Longest wait for a checkpoint over an event.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(2);
/// A page ends with the event that brings it over this many bytes of entries.
pub(super) const PAGE_BYTES: usize = 1_000_000;

/// An action that reads the log.
pub(super) const fn reading(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "audit", verb, class: Class::Read, scopes: ALL }
}

/// Lists events of the log that `parent` names, below `as_of_size` if that is not 0.
pub async fn event_list(
    ctx: &Ctx,
    log: &Sequencer,
    parent: &str,
    query: &ListQuery,
    as_of_size: i64,
) -> Result<pb::ListAuditEventsResponse> {
    let scope = ctx.scope("parent", parent).await?;
    let permit = ctx.authorize(LIST, &scope).await?;
    let filter = Filter::parse(&query.filter)?;
    let ascending = is_ascending(&query.order_by)?;
    let limit = usize::try_from(page::size(query.page_size)?).map_err(Error::internal)?;
    let question = question(&scope, query, as_of_size);
    let head = log.catch_up(scope.id()).await?;
    let (bound, window) = match query.page_token.as_str() {
        "" => {
            let bound = bound(&head, as_of_size)?;
            (bound, Window { from: head.minimum_index, below: bound, ascending })
        }
        token => {
            let (bound, last) = continued(ctx, &question, token)?;
            (bound, Window { from: head.minimum_index, below: bound, ascending }.behind(last))
        }
    };
    let window = Window { from: window.from.max(head.minimum_index), ..window };
    let searcher = searcher(ctx, log);
    let mut found = searcher.search(scope.id(), &filter, window, limit.saturating_add(1)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let cut = cut(&mut found);
    let next_page_token = match found.last() {
        Some(last) if more || cut => {
            let cursor = Cursor { text: bound.to_string(), int: last.row.idx, id: scope.id() };
            ctx.kernel().page_key.seal(&question, cursor)?
        }
        _ => String::new(),
    };
    let audit = permit.audit().query(&query.filter);
    log.reading().reads.record(ctx, (&LIST, &permit), audit, &query.filter).await?;
    Ok(pb::ListAuditEventsResponse {
        audit_events: found.into_iter().map(|event| event.into_message(&scope)).collect(),
        next_page_token,
        searched_size: bound,
    })
}

/// What is searched with.
fn searcher<'s>(ctx: &'s Ctx, log: &'s Sequencer) -> Searcher<'s> {
    Searcher { kernel: ctx.kernel(), tails: &log.reading().tails, layout: Layout::LIVE }
}

/// Keeps a page below the size of a message; returns whether something was left for the next one.
fn cut(found: &mut Vec<Opened>) -> bool {
    let mut bytes = 0;
    let fits = found.iter().take_while(|event| {
        let before = bytes;
        bytes += event.row.entry.len();
        before < PAGE_BYTES
    });
    let fits = fits.count();
    let cut = fits < found.len();
    found.truncate(fits);
    cut
}

/// The size that a search is bounded by.
fn bound(head: &LogHead, as_of_size: i64) -> Result<i64> {
    match as_of_size {
        0 => Ok(head.size),
        size if (1..=head.size).contains(&size) => Ok(size),
        size => {
            let message = format!("`{size}` is not a size that the log has had; it has {} events", head.size);
            Err(Error::invalid("as_of_size", message))
        }
    }
}

/// What a page token is bound to.
fn question(scope: &Scope, query: &ListQuery, as_of_size: i64) -> String {
    let parts = format!("audit events|{}|{}|{}|{as_of_size}", scope.id(), query.filter, query.order_by);
    hash::short_hex(parts.as_bytes())
}

/// Upper bound and last index of the page that a token continues.
fn continued(ctx: &Ctx, question: &str, token: &str) -> Result<(i64, i64)> {
    let cursor = ctx.kernel().page_key.open(question, token)?;
    let bound = cursor.text.parse().map_err(|_| Error::PageToken)?;
    Ok((bound, cursor.int))
}

fn is_ascending(order_by: &str) -> Result<bool> {
    let words: Vec<_> = order_by.split_whitespace().collect();
    match words.as_slice() {
        [] | ["index" | "time", "desc"] => Ok(false),
        ["index" | "time"] | ["index" | "time", "asc"] => Ok(true),
        _ => {
            let text = clip(order_by);
            Err(Error::invalid(
                "order_by",
                format!("`{text}` is not an order; use `index` or `time`, with or without ` desc`"),
            ))
        }
    }
}

/// Returns one event.
pub async fn event_get(ctx: &Ctx, log: &Sequencer, name: &str) -> Result<pb::AuditEvent> {
    let (parent, id) = name::parse_uuid("name", "auditEvents", name)?;
    let scope = ctx.scope("name", parent).await?;
    let permit = ctx.authorize(GET, &scope).await?;
    let row = event_find(ctx, log, &scope, EventId(id)).await?;
    let (_, entry) = open::opened(ctx.kernel(), &mut ctx.read().await?, &row.entry).await?;
    let event = Opened { row, entry }.into_message(&scope);
    let audit = permit.audit().also("audit_event", event.name.clone());
    log.reading().reads.record(ctx, (&GET, &permit), audit, &event.name).await?;
    Ok(event)
}

/// The event with that id, which may still wait for its index, or `NOT_FOUND`.
async fn event_find(ctx: &Ctx, log: &Sequencer, scope: &Scope, id: EventId) -> Result<Row> {
    let find = || async { store::event_get(&mut ctx.read().await?, scope.id(), id).await };
    let (mut found, mut head) = (find().await?, log.head(scope.id()).await?);
    if found.is_none() {
        head = log.catch_up(scope.id()).await?;
        found = find().await?;
    }
    let found = found.filter(|row| row.idx >= head.minimum_index);
    found.ok_or_else(|| Error::not_found("audit event", scope.child("auditEvents", id)))
}

/// Returns a log's size, newest checkpoint and keys.
pub async fn log_get(ctx: &Ctx, log: &Sequencer, name: &str) -> Result<pb::AuditLog> {
    let scope = ctx.scope("name", log_parent(name)?).await?;
    ctx.authorize(GET_LOG, &scope).await?;
    let head = log.catch_up(scope.id()).await?;
    Ok(pb::AuditLog {
        name: name.to_owned(),
        verifier_keys: log.verifier_keys(&head.origin),
        sign_time: (!head.checkpoint.is_empty()).then(|| head.sign_time.into()),
        origin: head.origin,
        size: head.size,
        minimum_index: head.minimum_index,
        checkpoint: head.checkpoint,
    })
}

/// The scope's name in `…/auditLog`.
fn log_parent(name: &str) -> Result<&str> {
    let parent = match name {
        "auditLog" => Some(""),
        _ => name.strip_suffix("/auditLog"),
    };
    parent.ok_or_else(|| {
        let message = format!("`{}` is not a name of the form `[parent/]auditLog`", clip(name));
        Error::invalid("name", message)
    })
}

/// Proves that an event is in the log.
pub async fn receipt_get(ctx: &Ctx, log: &Sequencer, name: &str) -> Result<pb::Receipt> {
    let (parent, id) = name::parse_uuid("name", "auditEvents", name)?;
    let scope = ctx.scope("name", parent).await?;
    let permit = ctx.authorize(RECEIPT, &scope).await?;
    let row = event_find(ctx, log, &scope, EventId(id)).await?;
    let head = log.covering(scope.id(), row.idx, CHECKPOINT_WAIT).await?;
    let proof = proof(ctx, &head, row.idx).await?;
    let name = scope.child("auditEvents", row.id);
    let audit = permit.audit().also("audit_event", name.clone());
    log.reading().reads.record(ctx, (&RECEIPT, &permit), audit, &name).await?;
    Ok(pb::Receipt { name, entry: row.entry, proof, verifier_keys: log.verifier_keys(&head.origin) })
}

async fn proof(ctx: &Ctx, head: &LogHead, index: i64) -> Result<String> {
    let [index, size] = [index, head.signed_size].map(|n| u64::try_from(n).unwrap_or(0));
    let needed = tlog::tiles_for_inclusion(index, size).map_err(Error::internal)?;
    let tiles = tile_get_all(&mut ctx.read().await?, head.scope_id, &needed).await?;
    let tiles: TileSet = tiles.into_iter().collect();
    let hashes = tlog::inclusion_proof(&tiles, index, size).map_err(Error::internal)?;
    let note = Note::parse(head.checkpoint.as_bytes()).map_err(Error::internal)?;
    Ok(tlog::Receipt::new(index, hashes, note).map_err(Error::internal)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_names_are_read_and_nothing_else() {
        for (order, ascending) in
            [("", false), ("index", true), ("time asc", true), (" index  desc ", false), ("time desc", false)]
        {
            assert_eq!(is_ascending(order).unwrap(), ascending, "{order}");
        }
        for order in ["actor", "index up", "index desc desc", "desc"] {
            assert!(is_ascending(order).is_err(), "{order}");
        }
        assert_eq!(log_parent("auditLog").unwrap(), "");
        assert_eq!(log_parent("tenants/acme/auditLog").unwrap(), "tenants/acme");
        assert!(log_parent("tenants/acme").is_err() && log_parent("").is_err());
    }
}
