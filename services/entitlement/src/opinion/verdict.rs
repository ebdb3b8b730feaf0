//! How a decision is come to, whatever its facts are read from: the tables now, or the record at a moment.

use catalog::model::Stage;
use kernel::{
    Result,
    clock::Time,
    ids::{PrincipalId, Slug},
};
use tenancy::principal::model::{PrincipalKind, PrincipalState};

use super::model::{Question, Reason, Rule, Verdict, decide};
use crate::entitlement::model::Part;

/// A living principal, as far as a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Identity.
    pub id: PrincipalId,
    /// Last segment of its name.
    pub slug: Slug,
    /// What it is.
    pub kind: PrincipalKind,
    /// Whether it may act.
    pub state: PrincipalState,
    /// Whom an agent acts for.
    pub owner: Option<Slug>,
}

/// A listed plugin, as far as a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Last segment of its marketplace's name.
    pub marketplace: Slug,
    /// Last segment of its name.
    pub plugin: Slug,
    /// The stage of its current version that counts in the tenant at the moment of the question.
    pub stage: Stage,
    /// Whether every connector that it needs is bound.
    pub is_ready: bool,
}

/// What decisions about one tenant rest on.
pub trait Facts: Send {
    /// A plugin as these facts know it.
    type Plugin: Send + Sync;

    /// The tenant, by id in names.
    fn tenant(&self) -> &Slug;

    /// Whether the tenant is suspended or closed: then nobody may use anything.
    fn is_frozen(&self) -> bool;

    /// The living principal of that id.
    fn principal(&mut self, slug: &Slug) -> impl Future<Output = Result<Option<Asked>>> + Send;

    /// The listed plugin of that name, if it has the part.
    fn plugin(
        &mut self,
        name: &str,
        part: &Part,
    ) -> impl Future<Output = Result<Option<(Wanted, Self::Plugin)>>> + Send;

    /// The roles that a principal holds, those that they take in included.
    fn roles(&mut self, principal: PrincipalId) -> impl Future<Output = Result<Vec<Slug>>> + Send;

    /// The rules that concern a plugin, a part of it, the whole marketplace that lists it or a group that it is in, oldest first.
    fn rules(&mut self, plugin: &Self::Plugin) -> impl Future<Output = Result<Vec<Rule>>> + Send;

    /// The plugin groups that a plugin is in.
    fn plugin_groups(&mut self, plugin: &Self::Plugin) -> impl Future<Output = Result<Vec<Slug>>> + Send;

    /// The pools of which a principal holds a seat.
    fn seats(&mut self, principal: PrincipalId) -> impl Future<Output = Result<Vec<Slug>>> + Send;
}

/// The first of: tenant closed to use, principal unknown or suspended, plugin unknown or withdrawn, what the rules
/// say, connectors missing.
pub async fn verdict<F: Facts>(
    facts: &mut F,
    who: &Slug,
    (plugin, part): (&str, &Part),
    now: Time,
) -> Result<Verdict> {
    if facts.is_frozen() {
        return Ok(Verdict::no(Reason::TenantSuspended));
    }
    let Some(principal) = facts.principal(who).await? else {
        return Ok(Verdict::no(Reason::UnknownPrincipal));
    };
    if principal.state == PrincipalState::Suspended {
        return Ok(Verdict::no(Reason::PrincipalSuspended));
    }
    let Some((wanted, plugin)) = facts.plugin(plugin, part).await? else {
        return Ok(Verdict::no(Reason::UnknownPlugin));
    };
    let plugin = (wanted, part, plugin);
    let own = by_rules(facts, &principal, &plugin, now).await?;
    if principal.kind != PrincipalKind::Agent || !own.allowed() {
        return Ok(own);
    }
    Ok(own.and_owner(by_owner(facts, &principal, &plugin, now).await?))
}

/// What an agent's owner may.
async fn by_owner<F: Facts>(
    facts: &mut F,
    agent: &Asked,
    plugin: &(Wanted, &Part, F::Plugin),
    now: Time,
) -> Result<Verdict> {
    let owner = match &agent.owner {
        Some(slug) => facts.principal(slug).await?,
        None => None,
    };
    match owner {
        None => Ok(Verdict::no(Reason::UnknownPrincipal)),
        Some(owner) if owner.state == PrincipalState::Suspended => {
            Ok(Verdict::no(Reason::PrincipalSuspended))
        }
        Some(owner) => by_rules(facts, &owner, plugin, now).await,
    }
}

/// What the rules say of one principal and one plugin.
async fn by_rules<F: Facts>(
    facts: &mut F,
    principal: &Asked,
    (wanted, part, plugin): &(Wanted, &Part, F::Plugin),
    now: Time,
) -> Result<Verdict> {
    let held = facts.roles(principal.id).await?;
    let (plugin_groups, seats) = (facts.plugin_groups(plugin).await?, facts.seats(principal.id).await?);
    let mut rules = facts.rules(plugin).await?;
    rules.retain(|rule| rule.role_slug.as_ref().is_none_or(|role| held.contains(role)));
    let question = Question {
        tenant: facts.tenant(),
        principal: &principal.slug,
        roles: &held,
        seats: &seats,
        marketplace: &wanted.marketplace,
        plugin: &wanted.plugin,
        part,
        plugin_groups: &plugin_groups,
        stage: wanted.stage,
        now,
    };
    Ok(decide(&rules, &question).await?.and_ready(wanted.is_ready))
}
