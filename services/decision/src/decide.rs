//! The yes or no, and why.

use crate::{
    catalogue::{Entry, PluginFact, Scope},
    cell::Cell,
    explain::Obstacle,
    model::{Effect, Stage, Target},
    mutant::{Mutant, mutated},
    people::{Person, PersonKind},
    snapshot::Snapshot,
    table::{Obstacles, Table, Terms},
};

/// Why a decision is what it is. When several reasons would do, the first that applies in the order written here is
/// given, but for the two that come last: they are given only when what stands above them would be
/// [`Reason::Allowed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// There is no snapshot to decide by; the safe answer is no.
    PolicyUnavailable,
    /// The tenant is suspended or closed.
    TenantSuspended,
    /// There is no such principal.
    UnknownPrincipal,
    /// The principal is suspended.
    PrincipalSuspended,
    /// There is no such plugin, or it has no such app or skill.
    UnknownPlugin,
    /// The plugin is withdrawn, or deprecated and past its sunset.
    Withdrawn,
    /// A rule that holds forbids it.
    ExplicitDeny,
    /// A rule that holds allows it and none forbids it.
    Allowed,
    /// The plugin is less mature than the nearest rule allows. Of the rules that would allow, the nearest is the one
    /// with the fewest of this and the next three in its way; of as many, with the first.
    StageGate,
    /// The nearest rule asks for a seat that the principal does not hold.
    SeatRequired,
    /// The nearest rule does not hold yet.
    WindowNotOpen,
    /// The nearest rule does not hold any more.
    WindowClosed,
    /// No rule speaks of it.
    NoMatchingRule,
    /// Rules allow it, but the plugin needs connectors that are not bound.
    NotReady,
    /// The agent may, but its owner may not.
    OwnerNotEntitled,
}

/// The answer to "may this principal use this now".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Yes or no.
    pub allowed: bool,
    /// The strongest effect among the rules that allow; DENIED when a rule forbids; none for any other no.
    pub effect: Option<Effect>,
    /// Why.
    pub reason: Reason,
}

/// Something that a principal may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usable<'s> {
    /// The plugin.
    pub plugin: &'s str,
    /// What the client does with it.
    pub effect: Effect,
}

impl Reason {
    /// All of them, in order.
    pub const ALL: [Self; 15] = [
        Self::PolicyUnavailable,
        Self::TenantSuspended,
        Self::UnknownPrincipal,
        Self::PrincipalSuspended,
        Self::UnknownPlugin,
        Self::Withdrawn,
        Self::ExplicitDeny,
        Self::Allowed,
        Self::StageGate,
        Self::SeatRequired,
        Self::WindowNotOpen,
        Self::WindowClosed,
        Self::NoMatchingRule,
        Self::NotReady,
        Self::OwnerNotEntitled,
    ];

    /// The reason as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyUnavailable => "POLICY_UNAVAILABLE",
            Self::TenantSuspended => "TENANT_SUSPENDED",
            Self::UnknownPrincipal => "UNKNOWN_PRINCIPAL",
            Self::PrincipalSuspended => "PRINCIPAL_SUSPENDED",
            Self::UnknownPlugin => "UNKNOWN_PLUGIN",
            Self::Withdrawn => "WITHDRAWN",
            Self::ExplicitDeny => "EXPLICIT_DENY",
            Self::Allowed => "ALLOWED",
            Self::StageGate => "STAGE_GATE",
            Self::SeatRequired => "SEAT_REQUIRED",
            Self::WindowNotOpen => "WINDOW_NOT_OPEN",
            Self::WindowClosed => "WINDOW_CLOSED",
            Self::NoMatchingRule => "NO_MATCHING_RULE",
            Self::NotReady => "NOT_READY",
            Self::OwnerNotEntitled => "OWNER_NOT_ENTITLED",
        }
    }
}

impl Decision {
    /// The answer of whoever has no snapshot.
    pub const fn unavailable() -> Self {
        Self::no(Reason::PolicyUnavailable)
    }

    pub(crate) const fn no(reason: Reason) -> Self {
        let effect = if matches!(reason, Reason::ExplicitDeny) { Some(Effect::Denied) } else { None };
        Self { allowed: false, effect, reason }
    }

    const fn yes(effect: Effect) -> Self {
        Self { allowed: true, effect: Some(effect), reason: Reason::Allowed }
    }
}

impl Snapshot {
    /// Whether `principal` may use `target` at `now`, in microseconds since 1970. Allocates nothing.
    pub fn decide(&self, principal: &str, target: Target<&str>, now: i64) -> Decision {
        if !self.active {
            return Decision::no(Reason::TenantSuspended);
        }
        let Some((_, person)) = self.people.principals.find(principal) else {
            return Decision::no(Reason::UnknownPrincipal);
        };
        if person.suspended {
            return Decision::no(Reason::PrincipalSuspended);
        }
        match self.catalogue.entry(target) {
            Some(entry) => self.with_owner(person, &entry, now),
            None => Decision::no(Reason::UnknownPlugin),
        }
    }

    /// The plugins that `principal` may use at `now`, each once, in no particular order; none for whoever is unknown or
    /// suspended. Apps and skills of a plugin may be denied one by one: see [`Snapshot::usable_parts`].
    pub fn usable(&self, principal: &str, now: i64) -> Vec<Usable<'_>> {
        let found =
            self.people.principals.find(principal).filter(|(_, person)| self.active && !person.suspended);
        let Some((_, person)) = found else { return Vec::new() };
        let own = self.verdicts(person, now);
        let is_agent = matches!(person.kind, PersonKind::Agent(_));
        // an agent without an owner that may act may use nothing: the list of verdicts is empty then
        let owner = self.owner(person).map(|owner| self.verdicts(owner, now)).unwrap_or_default();
        let plugins = &self.catalogue.plugins;
        let mut usable = Vec::with_capacity(plugins.len());
        for (at, fact) in plugins.iter() {
            let says =
                |verdicts: &[Verdict]| verdicts.get(at as usize).map(|v| v.decision(fact, fact.stage(now)));
            let Some(Decision { allowed: true, effect: Some(effect), .. }) = says(&own) else { continue };
            if !is_agent || says(&owner).is_some_and(|decision| decision.allowed) {
                usable.push(Usable { plugin: plugins.name(at), effect });
            }
        }
        usable
    }

    /// What the rules come to for one principal, by number of plugin.
    fn verdicts(&self, person: &Person, now: i64) -> Vec<Verdict> {
        let mut union = vec![Cell::default(); self.catalogue.plugins.len()];
        self.tables_of(person).for_each(|table| table.plugins().add_to(&mut union));
        let stage = |at: u32| self.catalogue.plugins.get(at).map_or(Stage::Withdrawn, |fact| fact.stage(now));
        let mut verdicts: Vec<_> = (0..).zip(union).map(|(at, said)| Verdict::new(said, stage(at))).collect();
        for (scope, terms) in self.tables_of(person).flat_map(Table::all_aside) {
            let plugins = match &scope {
                Scope::Plugin(at) => std::slice::from_ref(at),
                set => self.catalogue.plugins_of(*set),
            };
            for &at in plugins {
                if let Some(verdict) = verdicts.get_mut(at as usize) {
                    verdict.add(&terms, stage(at), &person.pools, now);
                }
            }
        }
        verdicts
    }

    /// The apps and skills of `plugin` that `principal` may use at `now`.
    pub fn usable_parts(&self, principal: &str, plugin: &str, now: i64) -> Vec<Target<&str>> {
        let Some(entry) = self.catalogue.entry(Target::Plugin(plugin)) else { return Vec::new() };
        let parts = entry.fact.parts.iter().map(|&part| self.catalogue.target(Scope::Part(part)));
        parts.filter(|&part| self.decide(principal, part, now).allowed).collect()
    }

    /// The principals that may use `target` at `now`, in no particular order.
    pub fn principals(&self, target: Target<&str>, now: i64) -> Vec<&str> {
        let Some(entry) = self.catalogue.entry(target).filter(|_| self.active) else { return Vec::new() };
        let may = |person: &Person| self.with_owner(person, &entry, now).allowed;
        let people = &self.people.principals;
        let able = people.iter().filter(|(_, person)| !person.suspended && may(person));
        able.map(|(at, _)| people.name(at)).collect()
    }

    /// What a principal is, as a word: `user`, `service` or `agent`; none for whoever is unknown.
    pub fn kind(&self, principal: &str) -> Option<&'static str> {
        let (_, person) = self.people.principals.find(principal)?;
        Some(match person.kind {
            PersonKind::User => "user",
            PersonKind::Service => "service",
            PersonKind::Agent(_) => "agent",
        })
    }

    /// The owner of an agent, if it may act.
    fn owner(&self, person: &Person) -> Option<&Person> {
        match person.kind {
            PersonKind::Agent(owner) => self.people.owner(owner).filter(|owner| !owner.suspended),
            PersonKind::User | PersonKind::Service => None,
        }
    }

    /// What a principal may, and for an agent its owner too.
    #[inline]
    pub(crate) fn with_owner(&self, person: &Person, entry: &Entry<'_>, now: i64) -> Decision {
        let own = self.by_rules(person, entry, now);
        if !own.allowed || !matches!(person.kind, PersonKind::Agent(_)) || mutated(Mutant::Owner) {
            return own;
        }
        match self.owner(person) {
            Some(owner) if self.by_rules(owner, entry, now).allowed => own,
            _ => Decision::no(Reason::OwnerNotEntitled),
        }
    }

    fn tables_of(&self, person: &Person) -> impl Iterator<Item = &Table> {
        self.people.held(person).iter().filter_map(|&role| self.tables.get(role as usize))
    }

    /// What the rules say to one principal.
    #[inline]
    fn by_rules(&self, person: &Person, entry: &Entry<'_>, now: i64) -> Decision {
        let mut said = Cell::default();
        self.tables_of(person).for_each(|table| said |= table.cell(entry));
        let stage = entry.fact.stage(now);
        let mut verdict = Verdict::new(said, stage);
        if said.is_aside() && !said.denies() {
            self.aside(person, entry, now, &mut verdict);
        }
        verdict.decision(entry.fact, stage)
    }

    /// Adds the rules that have a seat or a window.
    #[cold]
    fn aside(&self, person: &Person, entry: &Entry<'_>, now: i64, verdict: &mut Verdict) {
        let stage = entry.fact.stage(now);
        for table in self.tables_of(person).filter(|table| table.cell(entry).is_aside()) {
            for terms in entry.cover().flat_map(|scope| table.aside(scope)) {
                verdict.add(&terms, stage, &person.pools, now);
            }
        }
    }
}

/// What rules come to.
#[derive(Clone, Copy)]
struct Verdict {
    denied: bool,
    effect: Option<Effect>,
    /// What keeps the nearest rule from allowing.
    nearest: Option<Obstacles>,
}

impl Verdict {
    /// Of the rules that have neither seat nor window.
    #[inline]
    fn new(said: Cell, stage: Stage) -> Self {
        let nearest = said.allows_some_stage().then_some(Obstacles::STAGE);
        Self { denied: said.denies(), effect: said.effect(stage), nearest }
    }

    /// Adds one that has.
    #[inline]
    fn add(&mut self, terms: &Terms, stage: Stage, pools: &[u32], now: i64) {
        let obstacles = terms.obstacles(stage, pools, now);
        match (terms.denies(), obstacles.is_empty()) {
            (true, holds) => self.denied |= holds,
            (false, true) => self.effect = self.effect.max(Some(terms.effect)),
            (false, false) => {
                let nearest = self.nearest.into_iter().chain([obstacles]);
                self.nearest = nearest.min_by_key(|obstacles| obstacles.distance());
            }
        }
    }

    #[inline]
    fn decision(self, plugin: &PluginFact, stage: Stage) -> Decision {
        let overruled = mutated(Mutant::DenyPrecedence) && self.effect.is_some();
        match self.effect {
            _ if stage == Stage::Withdrawn => Decision::no(Reason::Withdrawn),
            _ if self.denied && !overruled => Decision::no(Reason::ExplicitDeny),
            Some(effect) if plugin.missing.is_empty() => Decision::yes(effect),
            Some(_) => Decision::no(Reason::NotReady),
            None => {
                let first = self.nearest.and_then(|obstacles| obstacles.iter().next());
                Decision::no(first.map_or(Reason::NoMatchingRule, Obstacle::reason))
            }
        }
    }
}
