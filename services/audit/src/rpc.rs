//! The audit log on the wire.

use std::sync::Arc;

use kernel::{Kernel, list_query, scope::Scope};
use proto::audit::v1::{self as pb, audit_service_server::AuditService};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{AuditEvent, Change},
    ops,
};

/// `provost.audit.v1.AuditService`.
pub struct AuditRpc(pub Arc<Kernel>);

#[async_trait]
impl AuditService for AuditRpc {
    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        self.0
            .serve(request, |ctx, r| async move {
                let (scope, page) = ops::event_list(&ctx, &r.parent, &list_query!(r)).await?;
                let audit_events = page.items.into_iter().map(|e| event(e, &scope)).collect();
                Ok(pb::ListAuditEventsResponse { audit_events, next_page_token: page.next_page_token })
            })
            .await
    }
}

fn event(event: AuditEvent, scope: &Scope) -> pb::AuditEvent {
    let entry = event.parsed();
    pb::AuditEvent {
        name: scope.child("auditEvents", event.id),
        time: Some(event.time.into()),
        action: event.action,
        outcome: outcome(&event.outcome).into(),
        event_class: event.event_class,
        actor: event.actor,
        partner: event.partner,
        targets: entry.tgt.into_iter().map(|t| t.id).collect(),
        request_id: event.request_id,
        trace_id: event.trace_id,
        changes: entry.chg.into_iter().map(change).collect(),
        entry: event.entry,
    }
}

fn change(change: Change) -> pb::FieldChange {
    let text = |v: serde_json::Value| if v.is_null() { String::new() } else { v.to_string() };
    pb::FieldChange { field: change.f, old_value: text(change.o), new_value: text(change.n) }
}

fn outcome(text: &str) -> pb::Outcome {
    match text {
        "ok" => pb::Outcome::Ok,
        "denied" => pb::Outcome::Denied,
        "failed" => pb::Outcome::Failed,
        _ => pb::Outcome::Unspecified,
    }
}
