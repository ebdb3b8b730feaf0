//! Decisions on the wire.

use std::sync::Arc;

use kernel::Kernel;
use proto::{
    decision::v1::{self as pb, decision_service_server::DecisionService},
    entitlement::v1::Effect,
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    model::{Decision, Reason},
    ops,
};

/// `provost.decision.v1.DecisionService`.
pub struct DecisionRpc(pub Arc<Kernel>);

#[async_trait]
impl DecisionService for DecisionRpc {
    async fn check(&self, request: Request<pb::CheckRequest>) -> Result<Response<pb::Decision>, Status> {
        self.0.serve(request, |ctx, r| async move { ops::check(&ctx, &r.principal, &r.plugin).await }).await
    }
}

impl From<Reason> for pb::DecisionReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Allowed => Self::Allowed,
            Reason::ExplicitDeny => Self::ExplicitDeny,
            Reason::NoMatchingRule => Self::NoMatchingRule,
            Reason::StageGate => Self::StageGate,
            Reason::SeatRequired => Self::SeatRequired,
            Reason::WindowNotOpen => Self::WindowNotOpen,
            Reason::WindowClosed => Self::WindowClosed,
            Reason::Withdrawn => Self::Withdrawn,
            Reason::UnknownPlugin => Self::UnknownPlugin,
            Reason::UnknownPrincipal => Self::UnknownPrincipal,
            Reason::PrincipalSuspended => Self::PrincipalSuspended,
            Reason::TenantSuspended => Self::TenantSuspended,
            Reason::OwnerNotEntitled => Self::OwnerNotEntitled,
            Reason::PolicyUnavailable => Self::PolicyUnavailable,
        }
    }
}

impl From<Decision> for pb::Decision {
    fn from(decision: Decision) -> Self {
        Self {
            allowed: decision.allowed,
            reason: pb::DecisionReason::from(decision.reason).into(),
            effect: decision.effect.map_or(Effect::Unspecified, Effect::from).into(),
            entitlements: decision.entitlements,
            decide_time: Some(decision.decide_time.into()),
        }
    }
}
