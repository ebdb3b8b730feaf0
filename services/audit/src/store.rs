//! SQL of the audit log.

use kernel::{
    Result,
    db::{
        Executor,
        list::{ListQuery, ListSpec, Page, list},
    },
    filter::{Field, Value},
    page::PageKey,
};
use uuid::Uuid;

use super::model::AuditEvent;

const CLASSES: &[&str] = &["admin_write", "admin_read", "decision", "auth", "audit_read", "system"];

const LIST: ListSpec = ListSpec {
    name: "audit events",
    columns: "id, time, action, outcome, event_class, actor, partner, request_id, trace_id, entry",
    from: "audit_pending",
    id: "id",
    fields: &[
        Field::text("actor", "actor").unsorted(),
        Field::text("action", "action").unsorted(),
        Field::words("outcome", "outcome", &["ok", "denied", "failed"]),
        Field::words("event_class", "event_class", CLASSES),
        Field::text("target", "target").unsorted(),
        Field::text("partner", "partner").unsorted(),
        Field::text("request_id", "request_id").unsorted(),
        Field::text("trace_id", "trace_id").unsorted(),
        Field::time("time", "time"),
    ],
    order: "time desc",
    deleted: "",
};

/// Events of one log.
pub async fn event_list(
    db: &mut impl Executor,
    log: Uuid,
    query: &ListQuery,
    key: &PageKey,
) -> Result<Page<AuditEvent>> {
    list(db, &LIST, &[("scope_id", Value::Id(log))], query, key).await
}
