//! The use cases of the audit log.

use kernel::{
    Ctx, Result,
    authz::{Action, Class},
    db::list::{ListQuery, Page},
    scope::{Scope, ScopeKind},
};

use super::{model::AuditEvent, store};

const LIST: Action = Action {
    rpc: "provost.audit.v1.AuditService/ListAuditEvents",
    noun: "audit",
    verb: "list",
    class: Class::Read,
    scopes: &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant],
};
/// What the audit log can be asked for.
pub const ACTIONS: &[Action] = &[LIST];

/// Lists events of the log that `parent` names; returns the scope too, for the events' names.
pub async fn event_list(ctx: &Ctx, parent: &str, query: &ListQuery) -> Result<(Scope, Page<AuditEvent>)> {
    let scope = ctx.scope("parent", parent).await?;
    ctx.authorize(LIST, &scope).await?;
    let page = store::event_list(&mut ctx.read().await?, scope.id(), query, &ctx.kernel().page_key).await?;
    Ok((scope, page))
}
