//! Decisions on the wire.

use std::sync::Arc;

use ::decision::{Effect, MaxStage, Obstacle, Reason};
use futures::stream::BoxStream;
use kernel::Kernel;
use proto::{
    catalog::v1::Stage,
    decision::v1::{self as pb, decision_service_server::DecisionService},
    entitlement::v1 as entitlement,
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    account::{Account, Advice, AdviceKind, RuleAccount},
    live::Policies,
    model::{Decision, UsablePlugin},
    ops,
    watch::{self, Signing},
};

/// `provost.decision.v1.DecisionService`.
pub struct DecisionRpc {
    /// The process.
    pub kernel: Arc<Kernel>,
    /// What it decides by.
    pub policies: Arc<Policies>,
    /// Who signs it for edges.
    pub signing: Arc<Signing>,
}

#[async_trait]
impl DecisionService for DecisionRpc {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (policies, signing) = (Arc::clone(&self.policies), Arc::clone(&self.signing));
        self.kernel
            .serve_stream(request, |ctx, r| watch::watch(ctx, policies, signing, r.parent, r.from))
            .await
    }

    async fn get_decision_keys(
        &self,
        request: Request<pb::GetDecisionKeysRequest>,
    ) -> Result<Response<pb::DecisionKeys>, Status> {
        let signing = &self.signing;
        self.kernel
            .serve(request, |ctx, r| async move { watch::keys_get(&ctx, signing, &r.parent).await })
            .await
    }

    async fn check(&self, request: Request<pb::CheckRequest>) -> Result<Response<pb::Decision>, Status> {
        let policies = &self.policies;
        self.kernel
            .serve(request, |ctx, r| async move {
                ops::check(&ctx, policies, &r.principal, &r.plugin, &r.revision_token).await
            })
            .await
    }

    async fn batch_check(
        &self,
        request: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        let policies = &self.policies;
        self.kernel
            .serve(request, |ctx, r| async move {
                let items: Vec<_> = r.items.into_iter().map(|item| (item.principal, item.plugin)).collect();
                let decisions =
                    ops::check_batch(&ctx, policies, &r.parent, &items, &r.revision_token).await?;
                Ok(pb::BatchCheckResponse { decisions: decisions.into_iter().map(Into::into).collect() })
            })
            .await
    }

    async fn list_usable(
        &self,
        request: Request<pb::ListUsableRequest>,
    ) -> Result<Response<pb::ListUsableResponse>, Status> {
        let policies = &self.policies;
        self.kernel
            .serve(request, |ctx, r| async move {
                let (plugins, revision_token) =
                    ops::usable_list(&ctx, policies, &r.principal, &r.revision_token).await?;
                Ok(pb::ListUsableResponse {
                    plugins: plugins.into_iter().map(Into::into).collect(),
                    decide_time: Some(ctx.now().into()),
                    revision_token,
                })
            })
            .await
    }

    async fn list_principals(
        &self,
        request: Request<pb::ListPrincipalsRequest>,
    ) -> Result<Response<pb::ListPrincipalsResponse>, Status> {
        let policies = &self.policies;
        self.kernel
            .serve(request, |ctx, r| async move {
                let (page, token) = ((r.page_size, r.page_token.as_str()), &r.revision_token);
                let page = ops::principal_list(&ctx, policies, &r.parent, &r.plugin, page, token).await?;
                Ok(pb::ListPrincipalsResponse {
                    principals: page.names,
                    next_page_token: page.next_page_token,
                    decide_time: Some(ctx.now().into()),
                    revision_token: page.revision_token,
                })
            })
            .await
    }

    async fn explain(
        &self,
        request: Request<pb::ExplainRequest>,
    ) -> Result<Response<pb::Explanation>, Status> {
        let policies = &self.policies;
        self.kernel
            .serve(request, |ctx, r| async move {
                ops::explain(&ctx, policies, &r.principal, &r.plugin, &r.revision_token).await
            })
            .await
    }
}

pub(crate) fn reason(reason: Reason) -> pb::DecisionReason {
    match reason {
        Reason::Allowed => pb::DecisionReason::Allowed,
        Reason::ExplicitDeny => pb::DecisionReason::ExplicitDeny,
        Reason::NoMatchingRule => pb::DecisionReason::NoMatchingRule,
        Reason::StageGate => pb::DecisionReason::StageGate,
        Reason::SeatRequired => pb::DecisionReason::SeatRequired,
        Reason::WindowNotOpen => pb::DecisionReason::WindowNotOpen,
        Reason::WindowClosed => pb::DecisionReason::WindowClosed,
        Reason::Withdrawn => pb::DecisionReason::Withdrawn,
        Reason::NotReady => pb::DecisionReason::NotReady,
        Reason::UnknownPlugin => pb::DecisionReason::UnknownPlugin,
        Reason::UnknownPrincipal => pb::DecisionReason::UnknownPrincipal,
        Reason::PrincipalSuspended => pb::DecisionReason::PrincipalSuspended,
        Reason::TenantSuspended => pb::DecisionReason::TenantSuspended,
        Reason::OwnerNotEntitled => pb::DecisionReason::OwnerNotEntitled,
        Reason::PolicyUnavailable => pb::DecisionReason::PolicyUnavailable,
    }
}

pub(crate) fn effect(effect: Effect) -> entitlement::Effect {
    match effect {
        Effect::Denied => entitlement::Effect::Denied,
        Effect::Available => entitlement::Effect::Available,
        Effect::Default => entitlement::Effect::Default,
        Effect::Required => entitlement::Effect::Required,
    }
}

fn stage(stage: MaxStage) -> Stage {
    match stage {
        MaxStage::Live => Stage::Live,
        MaxStage::Preview => Stage::Preview,
        MaxStage::Alpha => Stage::Alpha,
    }
}

fn obstacle(obstacle: Obstacle) -> pb::DecisionReason {
    match obstacle {
        Obstacle::Stage => pb::DecisionReason::StageGate,
        Obstacle::Seat => pb::DecisionReason::SeatRequired,
        Obstacle::NotOpen => pb::DecisionReason::WindowNotOpen,
        Obstacle::Closed => pb::DecisionReason::WindowClosed,
    }
}

impl From<Decision> for pb::Decision {
    fn from(decision: Decision) -> Self {
        Self {
            allowed: decision.allowed,
            reason: reason(decision.reason).into(),
            effect: decision.effect.map_or(entitlement::Effect::Unspecified, effect).into(),
            entitlements: decision.entitlements,
            decide_time: Some(decision.decide_time.into()),
            revision_token: decision.revision_token,
        }
    }
}

impl From<UsablePlugin> for pb::UsablePlugin {
    fn from(usable: UsablePlugin) -> Self {
        let effect = effect(usable.effect).into();
        Self { plugin: usable.plugin, effect, apps: usable.apps, skills: usable.skills }
    }
}

impl From<Account> for pb::Explanation {
    fn from(account: Account) -> Self {
        Self {
            decision: Some(account.decision.into()),
            summary: account.summary,
            rules: account.rules.into_iter().map(Into::into).collect(),
            missing_apps: account.missing_apps,
            owner: account.owner.map(|owner| Box::new((*owner).into())),
            remedies: account.remedies.into_iter().map(Into::into).collect(),
            change_time: account.change_time.map(Into::into),
        }
    }
}

impl From<RuleAccount> for pb::RuleAccount {
    fn from(rule: RuleAccount) -> Self {
        Self {
            entitlement: rule.entitlement,
            effect: effect(rule.effect).into(),
            target: rule.target,
            path: rule.path,
            max_stage: rule.max_stage.map_or(Stage::Unspecified, stage).into(),
            not_before: rule.not_before.map(Into::into),
            not_after: rule.not_after.map(Into::into),
            obstacles: rule.obstacles.into_iter().map(|o| obstacle(o).into()).collect(),
            decided: rule.decided,
            reason: rule.reason,
        }
    }
}

impl From<Advice> for pb::Remedy {
    fn from(advice: Advice) -> Self {
        let kind = match advice.kind {
            AdviceKind::ResumeTenant => pb::RemedyKind::ResumeTenant,
            AdviceKind::AddPrincipal => pb::RemedyKind::AddPrincipal,
            AdviceKind::ResumePrincipal => pb::RemedyKind::ResumePrincipal,
            AdviceKind::AddPlugin => pb::RemedyKind::AddPlugin,
            AdviceKind::RestorePlugin => pb::RemedyKind::RestorePlugin,
            AdviceKind::LiftDeny => pb::RemedyKind::LiftDeny,
            AdviceKind::RaiseCeiling => pb::RemedyKind::RaiseCeiling,
            AdviceKind::GiveSeat => pb::RemedyKind::GiveSeat,
            AdviceKind::OpenWindow => pb::RemedyKind::OpenWindow,
            AdviceKind::ExtendWindow => pb::RemedyKind::ExtendWindow,
            AdviceKind::AllowByRule => pb::RemedyKind::AllowByRule,
            AdviceKind::BindConnectors => pb::RemedyKind::BindConnectors,
            AdviceKind::NameOwner => pb::RemedyKind::NameOwner,
        };
        Self { kind: kind.into(), resource: advice.resource, advice: advice.sentence }
    }
}
