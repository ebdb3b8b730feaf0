//! Logs as files over HTTP (C2SP tlog-tiles): what a mirror downloads, and what a verifier needs of us.
//!
//! `GET /audit/v1/platform/…`, `/audit/v1/partners/{partner}/…` and `/audit/v1/tenants/{tenant}/…` ask for a bearer token, and
//! so does `/audit/v1/meta/…`, the deployment's meta log, which whoever may mirror the platform's may mirror too;
//! `/audit/v1/link/{secret}/…` is for tools that cannot send one: whoever knows the path reads that log, until the link
//! ends or is revoked. Below each lie `checkpoint`, `vkey`, `tile/<level>/<index>` and `tile/entries/<index>`.
//!
//! A request passes through `http` (path, caller, headers), `file` (the bytes) and `store`; the links themselves are
//! made and revoked in `ops`.

use kernel::{
    authz::{Action, Class},
    scope::ScopeKind,
};

pub mod file;
pub mod http;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;

pub use http::http_routes;
pub use ops::{link_create, link_list, link_revoke};

const EVERYWHERE: &[ScopeKind] = &[ScopeKind::Platform, ScopeKind::Partner, ScopeKind::Tenant];

const fn action(rpc: &'static str, noun: &'static str, verb: &'static str, class: Class) -> Action {
    Action { rpc, noun, verb, class, scopes: EVERYWHERE }
}
const MIRROR: Action = action("GET /audit/v1/{*path}", "audit", "mirror", Class::Read);
const CREATE: Action =
    action("provost.audit.v1.AuditService/CreateMirrorLink", "mirror_link", "create", Class::Write);
const LIST: Action =
    action("provost.audit.v1.AuditService/ListMirrorLinks", "mirror_link", "list", Class::Read);
const REVOKE: Action =
    action("provost.audit.v1.AuditService/RevokeMirrorLink", "mirror_link", "revoke", Class::Write);
/// What can be asked for.
pub const ACTIONS: &[Action] = &[MIRROR, CREATE, LIST, REVOKE];
