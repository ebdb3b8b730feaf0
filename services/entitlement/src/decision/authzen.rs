//! OpenID AuthZEN at the control plane: the routes are the crate `authzen`'s, who may ask is said here, and it is decided by
//! the same snapshots as [`super::ops::check`].

#![allow(clippy::result_large_err, reason = "an answer is made once and sent")]

use std::sync::Arc;

use ::authzen::{About, Endpoint, Policy, Source};
use axum::{
    Router,
    response::{IntoResponse as _, Response},
};
use http::{header::AUTHORIZATION, request::Parts};
use kernel::{
    Ctx, Error, Kernel, Result,
    authz::{Action, Class},
    ctx::CallInfo,
    error::http::Refusal,
    ids::Slug,
    scope::{Scope, ScopeKind},
};

use super::{live::Policies, ops};

const fn action(rpc: &'static str, verb: &'static str) -> Action {
    Action { rpc, noun: "decision", verb, class: Class::Decide, scopes: &[ScopeKind::Tenant] }
}
const EVALUATE: Action = action("POST /access/v1/evaluation", "evaluate");
const EVALUATE_BATCH: Action = action("POST /access/v1/evaluations", "evaluate_batch");
const SUBJECTS: Action = action("POST /access/v1/search/subject", "search_subjects");
const RESOURCES: Action = action("POST /access/v1/search/resource", "search_resources");
const ACTIONS_OF: Action = action("POST /access/v1/search/action", "search_actions");
/// What can be asked for by AuthZEN.
pub const ACTIONS: &[Action] = &[EVALUATE, EVALUATE_BATCH, SUBJECTS, RESOURCES, ACTIONS_OF];

/// The routes.
pub fn http_routes(kernel: Arc<Kernel>, policies: Arc<Policies>) -> Router {
    ::authzen::routes(Arc::new(ControlPlane { kernel, policies }))
}

struct ControlPlane {
    kernel: Arc<Kernel>,
    policies: Arc<Policies>,
}

impl Source for ControlPlane {
    type Caller = Ctx;

    async fn enter(&self, request: &Parts) -> Result<Ctx, Response> {
        let kernel = &self.kernel;
        let fresh = || CallInfo { id: kernel.ids.new_id(kernel.clock.now()), ..CallInfo::default() };
        let info = request.extensions.get::<CallInfo>().cloned().unwrap_or_else(fresh);
        let incident = info.id.to_string();
        let authorization = request.headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
        kernel.enter(authorization, info).await.map_err(|error| refusal(error, &incident))
    }

    async fn open(&self, ctx: &Ctx, endpoint: Endpoint, about: Vec<About>) -> Result<Vec<Policy>, Response> {
        let mut policies = Vec::with_capacity(about.len());
        for about in &about {
            let policy = self.by(ctx, action_of(endpoint), about).await;
            policies.push(policy.map_err(|error| refusal(error, &ctx.call().id.to_string()))?);
        }
        Ok(policies)
    }

    fn url(&self) -> Option<&str> {
        Some(self.kernel.config.decision.public_url.as_str()).filter(|url| !url.is_empty())
    }

    fn is_tls(&self) -> bool {
        !self.kernel.config.server.tls_cert_file.as_os_str().is_empty()
    }
}

impl ControlPlane {
    /// Authorizes the caller to ask about a tenant's people, and gets what to decide by.
    async fn by(&self, ctx: &Ctx, action: Action, about: &About) -> Result<Policy> {
        let tenant = match (&about.tenant, &ctx.caller().home) {
            (Some(tenant), _) => format!("tenants/{tenant}"),
            (None, Scope::Tenant(home)) => format!("tenants/{}", home.slug),
            (None, _) => {
                let message = "is not named, and the token is of no tenant; name it in `subject.properties.tenant` or `context.tenant`";
                return Err(Error::invalid("tenant", message));
            }
        };
        // whoever has no name that a principal can have is not the caller
        let whom: Option<Vec<_>> = about.whom.iter().map(|id| Slug::parse("subject.id", id).ok()).collect();
        let whom = whom.unwrap_or_default();
        let asked =
            ops::enter(ctx, &self.policies, action, &tenant, &whom.iter().collect::<Vec<_>>(), "").await?;
        Ok(Policy {
            tenant: asked.tenant()?.slug.to_string(),
            snapshot: asked.loaded.ok().map(|loaded| Arc::clone(&loaded.snapshot)),
            now: ctx.now().micros(),
        })
    }
}

fn action_of(endpoint: Endpoint) -> Action {
    match endpoint {
        Endpoint::Evaluation => EVALUATE,
        Endpoint::Evaluations => EVALUATE_BATCH,
        Endpoint::SubjectSearch => SUBJECTS,
        Endpoint::ResourceSearch => RESOURCES,
        Endpoint::ActionSearch => ACTIONS_OF,
    }
}

fn refusal(error: Error, incident: &str) -> Response {
    Refusal::from(error).answer(incident).into_response()
}
