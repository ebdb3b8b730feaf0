//! OpenID AuthZEN Authorization API 1.0 over HTTP: the same routes at the control plane and at an edge.
//!
//! A request passes through `http` (content type, body, request id), `parse` (what is asked) and `answer` (decided by the
//! engine). Who may ask, and by which rules it is decided, is for a [`Source`] to say.
//!
//! # What the words mean here
//!
//! | AuthZEN | Provost |
//! |---|---|
//! | subject `{"type": "user" \| "service" \| "agent" \| "principal", "id": "maria"}` | `tenants/acme/principals/maria`; any type but `principal` must be its kind |
//! | resource `{"type": "plugin", "id": "codex/pitchbook"}` | `marketplaces/codex/plugins/pitchbook` |
//! | resource `{"type": "app" \| "skill", "id": "codex/pitchbook/KEY"}` | `marketplaces/codex/plugins/pitchbook/apps/KEY`, `…/skills/KEY` |
//! | action `{"name": "use"}` | the only one; of any other the answer is no |
//!
//! Ids may be written in full, as Provost's own API names them. The tenant is the one of a full subject id, or else of
//! `subject.properties.tenant`, or else of `context.tenant` (`acme` or `tenants/acme`), or else the caller's own.
//! With `context.explain` set to `true` an answer has a `context` with `reason`, `effect` and `entitlements`.

#![deny(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test may fail"
    )
)]

mod answer;
mod http;
mod parse;
#[cfg(test)]
mod tests;
mod witness;

use std::{future::Future, sync::Arc};

use axum::response::Response;
use decision::Snapshot;

pub use crate::{
    http::{MAX_BODY_BYTES, problem, routes},
    witness::{Answered, Because, Listed, Search, Witness},
};

/// Most questions of one request.
pub const MAX_EVALUATIONS: usize = 1_000;
/// Most results of one page.
pub const MAX_RESULTS: usize = 1_000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// One decision.
    Evaluation,
    /// Several.
    Evaluations,
    /// Who may use something.
    SubjectSearch,
    /// What somebody may use.
    ResourceSearch,
    /// What somebody may do with something.
    ActionSearch,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Evaluation, Self::Evaluations, Self::SubjectSearch, Self::ResourceSearch, Self::ActionSearch];

    /// Where it lies.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Evaluation => "/access/v1/evaluation",
            Self::Evaluations => "/access/v1/evaluations",
            Self::SubjectSearch => "/access/v1/search/subject",
            Self::ResourceSearch => "/access/v1/search/resource",
            Self::ActionSearch => "/access/v1/search/action",
        }
    }

    /// The key of its address in the metadata.
    const fn key(self) -> &'static str {
        match self {
            Self::Evaluation => "access_evaluation_endpoint",
            Self::Evaluations => "access_evaluations_endpoint",
            Self::SubjectSearch => "search_subject_endpoint",
            Self::ResourceSearch => "search_resource_endpoint",
            Self::ActionSearch => "search_action_endpoint",
        }
    }
}

/// About which tenant, and whom of it, something is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The tenant's id; none for the caller's own.
    pub tenant: Option<String>,
    /// Ids of the principals that are asked about; none where it is asked about everybody.
    pub whom: Vec<String>,
}

/// What is decided by.
#[derive(Clone)]
pub struct Policy {
    /// The tenant's id.
    pub tenant: String,
    /// Its rules; without them every answer is no.
    pub snapshot: Option<Arc<Snapshot>>,
    /// When, in microseconds since 1970.
    pub now: i64,
    /// Who is told what was answered.
    pub witness: Option<Arc<dyn Witness>>,
}

impl Policy {
    fn tell(&self, answered: &Answered<'_>) {
        if let Some(witness) = &self.witness {
            witness.answered(answered);
        }
    }

    fn tell_all(&self, listed: &Listed<'_>) {
        if let Some(witness) = &self.witness {
            witness.listed(listed);
        }
    }
}

/// Who may ask, and by what it is decided.
pub trait Source: Send + Sync + 'static {
    /// Who asks.
    type Caller: Send + Sync;

    /// Lets the caller in, before the body is read; or the answer to somebody unknown.
    fn enter(
        &self,
        request: &::http::request::Parts,
    ) -> impl Future<Output = Result<Self::Caller, Response>> + Send;

    /// What to decide by for each of `about`, in their order; or the answer to somebody who may not ask that.
    fn open(
        &self,
        caller: &Self::Caller,
        endpoint: Endpoint,
        about: Vec<About>,
    ) -> impl Future<Output = Result<Vec<Policy>, Response>> + Send;

    /// Where callers reach this; none for the host of each request.
    fn url(&self) -> Option<&str>;

    /// Whether a host is reached by TLS, where the url is not known.
    fn is_tls(&self) -> bool;
}
