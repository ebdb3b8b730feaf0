//! OpenID AuthZEN at the control plane: the routes are the crate `authzen`'s, who may ask is said here, and it is decided by
//! the same snapshots as [`super::ops::check`], on the same record.

#![allow(clippy::result_large_err, reason = "an answer is made once and sent")]

use std::sync::Arc;

use ::authzen::{About, Answered, Because, Endpoint, Listed, Policy, Search, Source, Witness};
use ::decision::{Reason, Snapshot, Target};
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

use super::{
    asked::{Asked, enter, one_of},
    live::Policies,
    log::{Answer, List, Why},
    model::Wanted,
};
use crate::entitlement::model as entitlement;

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
        let asked = enter(ctx, &self.policies, action, &tenant, &whom.iter().collect::<Vec<_>>(), "").await?;
        Ok(Policy {
            tenant: asked.tenant()?.slug.to_string(),
            snapshot: asked.loaded.as_ref().ok().map(|loaded| Arc::clone(&loaded.snapshot)),
            now: asked.now.micros(),
            witness: Some(Arc::new(Recorder(asked))),
        })
    }
}

/// Puts what is answered on the record. Ids are a caller's own words, which may be anything, somebody's address too: on the
/// record are those alone that can be names here.
struct Recorder(Asked);

impl Witness for Recorder {
    fn answered(&self, answered: &Answered<'_>) {
        self.told(self.answer(answered));
    }

    fn listed(&self, listed: &Listed<'_>) {
        self.told(self.list(listed));
    }
}

impl Recorder {
    fn told(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            tracing::error!(%error, "an answer is not on the record");
        }
    }

    fn answer(&self, answered: &Answered<'_>) -> Result<()> {
        let (who, wanted) = (named(answered.subject), answered.target.and_then(Wanted::of));
        let tenant = &self.0.tenant()?.slug;
        let rules = answered.rules.iter().map(|rule| entitlement::name(tenant, rule));
        let principal = who.as_ref().map_or("", Slug::as_str);
        let target = wanted.as_ref().map(Wanted::target);
        self.0.note(principal, target, Answer::Decision(why(answered.because)), rules)?;
        match (answered.because, who, wanted) {
            // of what the rules were not asked about, casbin has nothing to say either
            (Because::Rules(_), Some(who), Some(wanted)) => {
                self.0.compare(|_, _| Some((who, wanted, answered.allowed())))
            }
            _ => Ok(()),
        }
    }

    fn list(&self, listed: &Listed<'_>) -> Result<()> {
        let (who, wanted, list) = match listed.search {
            Search::Subjects { target, .. } => (None, target.and_then(Wanted::of), List::Principals),
            Search::Resources { subject, kind } => (named(subject), None, list_of(kind)),
        };
        let answer = Answer::List { list, found: listed.found.len(), why: listed.because.map(why) };
        let principal = who.as_ref().map_or("", Slug::as_str);
        self.0.note(principal, wanted.as_ref().map(Wanted::target), answer, None)?;
        if listed.because.is_some_and(|because| !matches!(because, Because::Rules(_))) {
            return Ok(());
        }
        self.0.compare(|snapshot, turn| one_listed(listed, snapshot, turn))
    }
}

/// One answer out of a list: somebody or something that is on it or could be.
fn one_listed(listed: &Listed<'_>, snapshot: &Snapshot, turn: usize) -> Option<(Slug, Wanted, bool)> {
    let on_it = |id: &str| listed.found.binary_search_by(|found| found.as_str().cmp(id)).is_ok();
    match listed.search {
        Search::Subjects { kind, target } => {
            let of_kind = |id: &&str| kind == "principal" || snapshot.kind(id) == Some(kind);
            let who = one_of(snapshot.principal_ids().filter(of_kind), turn)?;
            Some((named(who)?, Wanted::of(target?)?, on_it(who)))
        }
        Search::Resources { subject, kind } => {
            let (what, id) = match kind {
                "plugin" => {
                    let id = one_of(snapshot.plugin_ids(), turn)?;
                    (Target::Plugin(id), id.to_owned())
                }
                _ => part_of(snapshot, kind, turn)?,
            };
            Some((named(subject)?, Wanted::of(what)?, on_it(&id)))
        }
    }
}

/// An app or a skill, and the id that AuthZEN calls it by.
fn part_of<'s>(snapshot: &'s Snapshot, kind: &str, turn: usize) -> Option<(Target<&'s str>, String)> {
    let parts = snapshot.plugin_ids().flat_map(|plugin| snapshot.parts(plugin));
    let named = parts.filter_map(|part| match (kind, part) {
        ("app", Target::App { plugin, app: key }) | ("skill", Target::Skill { plugin, skill: key }) => {
            Some((part, format!("{plugin}/{key}")))
        }
        _ => None,
    });
    let mut named: Vec<_> = named.collect();
    let at = turn.checked_rem(named.len())?;
    Some(named.swap_remove(at))
}

/// An id that a principal can have.
fn named(id: &str) -> Option<Slug> {
    Slug::parse("subject.id", id).ok()
}

fn why(because: Because) -> Why {
    match because {
        Because::Rules(reason) => Why::Rules(reason),
        Because::OtherSubject => Why::Rules(Reason::UnknownPrincipal),
        Because::OtherResource => Why::Rules(Reason::UnknownPlugin),
        Because::UnknownAction => Why::UnknownAction,
        Because::Incomplete => Why::Incomplete,
    }
}

fn list_of(kind: &str) -> List {
    match kind {
        "plugin" => List::Plugins,
        "app" => List::Apps,
        "skill" => List::Skills,
        _ => List::Other,
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
