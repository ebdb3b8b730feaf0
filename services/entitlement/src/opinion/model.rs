//! What a decision is and how it is made, without any I/O.
//!
//! Casbin is the authority: whether something is allowed is its answer on all rules, as they are. Only after a no that
//! no rule forbids is the reason looked for, by asking again about rules whose allowing rows are relaxed in one
//! dimension at a time (stage, seat, window): the relaxation that turns the answer into a yes is what stood in the way.
//! No answer to a relaxed question ever allows anything.

use catalog::model::{PluginId, Stage};
use kernel::{Result, clock::Time, ids::Slug};

use crate::{
    entitlement::model::{Effect, MaxStage, Part},
    policy::{Answer, Eft, Grant, Policy, Request, Row, Thing},
};

/// Why a decision is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule allows it and none forbids it.
    Allowed,
    /// A rule forbids it.
    ExplicitDeny,
    /// No rule speaks of it.
    NoMatchingRule,
    /// The plugin is less mature than any matching rule allows.
    StageGate,
    /// A rule allows it to holders of a seat only.
    SeatRequired,
    /// A rule allows it later.
    WindowNotOpen,
    /// A rule allowed it until earlier.
    WindowClosed,
    /// The plugin is withdrawn.
    Withdrawn,
    /// Rules allow it, but the plugin needs connectors that are not bound.
    NotReady,
    /// There is no such plugin.
    UnknownPlugin,
    /// There is no such principal.
    UnknownPrincipal,
    /// The principal is suspended.
    PrincipalSuspended,
    /// The tenant is suspended or closed.
    TenantSuspended,
    /// An agent's owner may not use it.
    OwnerNotEntitled,
    /// The policy could not be read or asked.
    PolicyUnavailable,
}

/// A stored rule, as far as a decision needs it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Rule {
    /// Last segment of the entitlement's name.
    pub slug: Slug,
    /// Whom it concerns; none means everybody.
    pub role_slug: Option<Slug>,
    /// Plugin that it concerns; none means all of the marketplace or of the plugin group.
    pub plugin_id: Option<PluginId>,
    /// App of the plugin that it concerns.
    pub app: Option<String>,
    /// Skill of the plugin that it concerns.
    pub skill: Option<String>,
    /// Plugin group that it concerns.
    pub plugin_group: Option<Slug>,
    /// What happens.
    #[sqlx(try_from = "String")]
    pub effect: Effect,
    /// Least mature stage that it allows; a deny covers every stage.
    #[sqlx(try_from = "String")]
    pub max_stage: MaxStage,
    /// From when, inclusive.
    pub not_before: Option<Time>,
    /// Until when, exclusive.
    pub not_after: Option<Time>,
    /// Pool of which a seat must be held.
    pub seat_pool: Option<Slug>,
}

/// May this principal use this plugin, or this part of it, now?
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// Where.
    pub tenant: &'q Slug,
    /// Who.
    pub principal: &'q Slug,
    /// The roles that the principal holds, inclusions followed.
    pub roles: &'q [Slug],
    /// The pools of which the principal holds a seat.
    pub seats: &'q [Slug],
    /// Marketplace that lists the plugin.
    pub marketplace: &'q Slug,
    /// What for.
    pub plugin: &'q Slug,
    /// What of it.
    pub part: &'q Part,
    /// The plugin groups that the plugin is in.
    pub plugin_groups: &'q [Slug],
    /// The plugin's release stage.
    pub stage: Stage,
    /// When.
    pub now: Time,
}

/// The outcome of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// The strongest effect among the rules that allow; DENIED when a rule forbids.
    pub effect: Option<Effect>,
    /// The rules that decided, or that come closest to allowing.
    pub rules: Vec<String>,
}

impl Verdict {
    /// A no that rests on no rule.
    pub fn no(reason: Reason) -> Self {
        Self { reason, effect: None, rules: Vec::new() }
    }

    /// Whether it is a yes.
    pub fn allowed(&self) -> bool {
        self.reason == Reason::Allowed
    }

    /// The same for a plugin that needs connectors: without them nobody may use it.
    #[must_use]
    pub fn and_ready(self, is_ready: bool) -> Self {
        if self.allowed() && !is_ready { Self::no(Reason::NotReady) } else { self }
    }

    /// What an agent may: what both the agent and its owner may.
    #[must_use]
    pub fn and_owner(mut self, owner: Self) -> Self {
        if !self.allowed() {
            return self;
        }
        if !owner.allowed() {
            return Self { reason: Reason::OwnerNotEntitled, effect: None, rules: owner.rules };
        }
        let new: Vec<_> = owner.rules.into_iter().filter(|rule| !self.rules.contains(rule)).collect();
        self.rules.extend(new);
        self
    }
}

/// What can stand in the way of a rule that allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Maturity,
    Seat,
    Opening,
    Closing,
}
use Dimension::{Closing, Maturity, Opening, Seat};

impl Dimension {
    fn reason(self) -> Reason {
        match self {
            Self::Maturity => Reason::StageGate,
            Self::Seat => Reason::SeatRequired,
            Self::Opening => Reason::WindowNotOpen,
            Self::Closing => Reason::WindowClosed,
        }
    }
}

/// What is relaxed, in this order: one thing in the way before several, and of several the first is named.
const RELAXATIONS: &[&[Dimension]] = &[
    &[Maturity],
    &[Seat],
    &[Opening],
    &[Closing],
    &[Maturity, Seat],
    &[Maturity, Opening],
    &[Maturity, Closing],
    &[Seat, Opening],
    &[Seat, Closing],
    &[Maturity, Seat, Opening],
    &[Maturity, Seat, Closing],
];

/// Decides by `rules`: all those of the principal's roles and of everybody that concern the plugin, a part of it, its
/// marketplace or a group that it is in.
/// An error means that there is no answer; the caller must take it for a no.
pub async fn decide(rules: &[Rule], question: &Question<'_>) -> Result<Verdict> {
    if question.stage == Stage::Withdrawn {
        return Ok(Verdict::no(Reason::Withdrawn));
    }
    let answer = ask(rules, question, &[]).await?;
    if answer.allowed {
        let decided = rules.iter().filter(|rule| answer.rules.iter().any(|r| r == rule.slug.as_str()));
        let effect = decided.map(|rule| rule.effect).max();
        return Ok(Verdict { reason: Reason::Allowed, effect, rules: answer.rules });
    }
    if !answer.rules.is_empty() {
        return Ok(Verdict {
            reason: Reason::ExplicitDeny,
            effect: Some(Effect::Denied),
            rules: answer.rules,
        });
    }
    obstacle(rules, question).await
}

/// What stands in the way where nothing allows and nothing forbids.
async fn obstacle(rules: &[Rule], question: &Question<'_>) -> Result<Verdict> {
    // most often no rule speaks of it at all, which one question finds out
    if !ask(rules, question, &[Maturity, Seat, Opening, Closing]).await?.allowed {
        return Ok(Verdict::no(Reason::NoMatchingRule));
    }
    for relaxed in RELAXATIONS {
        let answer = ask(rules, question, relaxed).await?;
        if answer.allowed {
            let reason = relaxed.first().map_or(Reason::NoMatchingRule, |d| d.reason());
            return Ok(Verdict { reason, effect: None, rules: answer.rules });
        }
    }
    Ok(Verdict::no(Reason::NoMatchingRule))
}

/// Asks casbin about the rules, those that allow relaxed in some dimensions.
async fn ask(rules: &[Rule], q: &Question<'_>, relaxed: &[Dimension]) -> Result<Answer> {
    let mut rows: Vec<_> = rules.iter().map(|rule| rule.row(q, relaxed)).collect();
    rows.extend(
        q.roles.iter().map(|role| Row::holding(q.principal.as_str(), role.as_str(), q.tenant.as_str())),
    );
    rows.extend(q.listings());
    let seats: Vec<_> = q.seats.iter().map(Slug::as_str).collect();
    let request = Request {
        principal: q.principal.as_str(),
        tenant: q.tenant.as_str(),
        wanted: q.wanted(),
        stage: q.stage.as_str(),
        seats: &seats,
        now: q.now,
    };
    Policy::compile(&rows).await?.ask(&request)
}

impl Question<'_> {
    fn of_plugin(&self) -> Thing<'_> {
        Thing::Plugin(self.marketplace.as_str(), self.plugin.as_str())
    }

    fn wanted(&self) -> Thing<'_> {
        let (marketplace, plugin) = (self.marketplace.as_str(), self.plugin.as_str());
        match self.part {
            Part::Whole => self.of_plugin(),
            Part::App(app) => Thing::App(marketplace, plugin, app),
            Part::Skill(skill) => Thing::Skill(marketplace, plugin, skill),
        }
    }

    /// What belongs to what: a part to its plugin, the plugin to its marketplace and to groups.
    fn listings(&self) -> Vec<Row> {
        let plugin = self.of_plugin();
        let part = (*self.part != Part::Whole).then(|| Row::listing(self.wanted(), plugin));
        let market = Row::listing(plugin, Thing::Marketplace(self.marketplace.as_str()));
        let groups =
            self.plugin_groups.iter().map(|group| Row::listing(plugin, Thing::Group(group.as_str())));
        part.into_iter().chain([market]).chain(groups).collect()
    }
}

impl Rule {
    /// What it is about. Of the rules that a question brings, those about a plugin are about the one that is asked for.
    fn about<'r>(&'r self, q: &'r Question<'_>) -> Thing<'r> {
        let (marketplace, plugin) = (q.marketplace.as_str(), q.plugin.as_str());
        match (&self.plugin_group, &self.plugin_id, &self.app, &self.skill) {
            (Some(group), ..) => Thing::Group(group.as_str()),
            (None, None, ..) => Thing::Marketplace(marketplace),
            (None, Some(_), Some(app), _) => Thing::App(marketplace, plugin, app),
            (None, Some(_), None, Some(skill)) => Thing::Skill(marketplace, plugin, skill),
            (None, Some(_), None, None) => q.of_plugin(),
        }
    }

    fn row(&self, q: &Question<'_>, relaxed: &[Dimension]) -> Row {
        let eft = if self.effect == Effect::Denied { Eft::Deny } else { Eft::Allow };
        let holds = |dimension| eft == Eft::Deny || !relaxed.contains(&dimension);
        Row::grant(&Grant {
            rule: self.slug.as_str(),
            role: self.role_slug.as_ref().map(Slug::as_str),
            tenant: q.tenant.as_str(),
            target: self.about(q),
            max_stage: (eft == Eft::Allow && holds(Maturity)).then(|| self.max_stage.as_str()),
            seat_pool: self.seat_pool.as_ref().filter(|_| eft == Eft::Allow && holds(Seat)).map(Slug::as_str),
            not_before: self.not_before.filter(|_| holds(Opening)),
            not_after: self.not_after.filter(|_| holds(Closing)),
            eft,
        })
    }
}

#[cfg(test)]
mod tests;
