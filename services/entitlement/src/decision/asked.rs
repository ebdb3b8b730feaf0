//! A call that was let in: by what it is answered, and that the answer is on the record and one of those that casbin may be
//! asked about again.

use std::sync::Arc;

use ::decision::{Snapshot, Target};
use kernel::{
    Ctx, Error, Kernel, Result,
    authz::Action,
    clock::Time,
    ids::Slug,
    revision::Revision,
    scope::{Scope, TenantRef},
};

use super::{
    live::{Loaded, Policies},
    log::{Answer, Book, Note, Why},
    model::{Decision, Wanted},
    shadow::{self, Again},
};

/// A call that was let in, and what it decides by.
pub struct Asked {
    scope: Scope,
    /// Without it every answer is no.
    pub loaded: Result<Arc<Loaded>>,
    kernel: Arc<Kernel>,
    policies: Arc<Policies>,
    /// When it is decided.
    pub now: Time,
}

/// Authorizes the caller to ask about `whom`, and gets what to decide by.
pub async fn enter(
    ctx: &Ctx,
    policies: &Arc<Policies>,
    action: Action,
    tenant: &str,
    whom: &[&Slug],
    token: &str,
) -> Result<Asked> {
    let scope = ctx.tenant("principal", tenant).await?;
    let own = !whom.is_empty() && whom.iter().all(|who| is_caller(ctx, &scope, who));
    ctx.authorize_own(action, &scope, own).await?;
    let least: Revision = ctx.kernel().revisions.open(scope.id(), token)?;
    let loaded = policies.current(scope.tenant()?.id, least).await;
    match &loaded {
        Err(Error::PolicyBehind) => return Err(Error::PolicyBehind),
        Err(error) => tracing::error!(%error, tenant, "no decision can be made, answering no"),
        Ok(_) => {}
    }
    let (kernel, policies) = (Arc::clone(ctx.kernel()), Arc::clone(policies));
    Ok(Asked { scope, loaded, kernel, policies, now: ctx.now() })
}

/// The same for what cannot be answered without rules.
pub async fn enter_by_rules(
    ctx: &Ctx,
    policies: &Arc<Policies>,
    action: Action,
    tenant: &str,
    whom: &[&Slug],
    token: &str,
) -> Result<(Asked, Arc<Loaded>)> {
    let asked = enter(ctx, policies, action, tenant, whom, token).await?;
    match asked.loaded {
        Ok(ref loaded) => {
            let loaded = Arc::clone(loaded);
            Ok((asked, loaded))
        }
        Err(error) => Err(error),
    }
}

/// Whether the caller asks about itself.
fn is_caller(ctx: &Ctx, scope: &Scope, who: &Slug) -> bool {
    let caller = ctx.caller();
    caller.home.id() == scope.id() && caller.principal.as_ref().is_some_and(|p| p.slug == *who)
}

impl Asked {
    /// Whose people are asked about.
    pub fn tenant(&self) -> Result<&TenantRef> {
        self.scope.tenant()
    }

    /// The same as an id.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Decides. The answer is noted for the record.
    pub fn decide(&self, who: &Slug, wanted: &Wanted) -> Result<Decision> {
        let decision = match &self.loaded {
            Ok(loaded) => Decision::make(&self.tenant()?.slug, loaded, who, wanted, self.now),
            Err(_) => Decision::unavailable(self.now),
        };
        self.decided(who, wanted, &decision)?;
        Ok(decision)
    }

    /// Notes what was decided.
    pub fn decided(&self, who: &Slug, wanted: &Wanted, decision: &Decision) -> Result<()> {
        let answer = Answer::Decision(Why::Rules(decision.reason));
        self.note(who.as_str(), Some(wanted.target()), answer, decision.entitlements.iter().cloned())?;
        self.compare(|_, _| Some((who.clone(), wanted.clone(), decision.allowed)))
    }

    /// Notes an answer for the record.
    pub fn note(
        &self,
        principal: &str,
        target: Option<Target<&str>>,
        answer: Answer,
        rules: impl IntoIterator<Item = String>,
    ) -> Result<()> {
        let revision = self.loaded.as_ref().ok().map(|loaded| loaded.revision);
        let note = Note { principal, target, answer, revision, time: self.now };
        self.book()?.note(&self.scope, note, rules);
        Ok(())
    }

    /// Has one answer in so many made a second time by casbin: that which `answer` picks, given the rules and a number that
    /// is another one each time.
    pub fn compare(
        &self,
        answer: impl FnOnce(&Snapshot, usize) -> Option<(Slug, Wanted, bool)>,
    ) -> Result<()> {
        let Ok(loaded) = &self.loaded else { return Ok(()) };
        let Some(turn) = shadow::turn(&self.kernel, &self.policies) else { return Ok(()) };
        if let Some((who, wanted, allowed)) = answer(&loaded.snapshot, turn) {
            let (tenant, loaded) = (self.tenant()?.clone(), Arc::clone(loaded));
            let again = Again { tenant, loaded, who, wanted, allowed, now: self.now };
            shadow::ask(&self.kernel, &self.policies, again);
        }
        Ok(())
    }

    fn book(&self) -> Result<Arc<Book>> {
        match &self.loaded {
            Ok(loaded) => Ok(Arc::clone(&loaded.book)),
            Err(_) => Ok(self.policies.log.book(self.tenant()?.id)),
        }
    }
}

/// One of many, and in its turn each.
pub fn one_of<'i>(all: impl Iterator<Item = &'i str>, turn: usize) -> Option<&'i str> {
    let all: Vec<_> = all.collect();
    all.get(turn.checked_rem(all.len())?).copied()
}
