//! The yes or no, and why.

use crate::{
    catalogue::Entry,
    cell::Cell,
    explain::Obstacle,
    model::{Effect, Stage, Target},
    mutant::{Mutant, mutated},
    people::{Person, PersonKind},
    snapshot::Snapshot,
    table::Obstacles,
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
    /// The plugin is withdrawn.
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
            Some(entry) => self.with_owner(person, &entry, now, |person| self.said(person, &entry)),
            None => Decision::no(Reason::UnknownPlugin),
        }
    }

    /// The plugins that `principal` may use at `now`, each once, in no particular order; none for whoever is unknown or
    /// suspended. Apps and skills of a plugin may be denied one by one: see [`Snapshot::usable_parts`].
    pub fn usable(&self, principal: &str, now: i64) -> Vec<Usable<'_>> {
        let Some(person) = self.acting(principal) else { return Vec::new() };
        let union = |person: &Person| {
            let mut union = vec![Cell::default(); self.catalogue.plugins.len()];
            self.tables_of(person).for_each(|table| table.plugins().add_to(&mut union));
            union
        };
        let own = union(person);
        let owner = self.owner(person).map(union).unwrap_or_default();
        let cell = |cells: &[Cell], at: u32| cells.get(at as usize).copied().unwrap_or_default();
        let usable = self.catalogue.plugins.iter().filter_map(|(at, fact)| {
            let entry = Entry { plugin: at, part: None, fact };
            let said = |asked: &Person| cell(if std::ptr::eq(asked, person) { &own } else { &owner }, at);
            let decision = self.with_owner(person, &entry, now, said);
            let plugin = self.catalogue.plugins.name(at);
            decision.effect.filter(|_| decision.allowed).map(|effect| Usable { plugin, effect })
        });
        usable.collect()
    }

    /// The apps and skills of `plugin` that `principal` may use at `now`.
    pub fn usable_parts(&self, principal: &str, plugin: &str, now: i64) -> Vec<Target<&str>> {
        let Some(entry) = self.catalogue.entry(Target::Plugin(plugin)) else { return Vec::new() };
        let parts =
            entry.fact.parts.iter().map(|&part| self.catalogue.target(crate::catalogue::Scope::Part(part)));
        parts.filter(|&part| self.decide(principal, part, now).allowed).collect()
    }

    /// The principals that may use `target` at `now`, in no particular order.
    pub fn principals(&self, target: Target<&str>, now: i64) -> Vec<&str> {
        let Some(entry) = self.catalogue.entry(target).filter(|_| self.active) else { return Vec::new() };
        let may = |person: &Person| {
            self.with_owner(person, &entry, now, |person| self.said(person, &entry)).allowed
        };
        let people = &self.people.principals;
        let able = people.iter().filter(|(_, person)| !person.suspended && may(person));
        able.map(|(at, _)| people.name(at)).collect()
    }

    /// A principal that may ask for something at all.
    fn acting(&self, principal: &str) -> Option<&Person> {
        let (_, person) = self.people.principals.find(principal)?;
        (self.active && !person.suspended).then_some(person)
    }

    /// The owner of an agent, whatever its state.
    pub(crate) fn owner(&self, person: &Person) -> Option<&Person> {
        match person.kind {
            PersonKind::Agent(owner) => self.people.owner(owner),
            PersonKind::User | PersonKind::Service => None,
        }
    }

    /// What both an agent and its owner may; `said` tells the union of the cells of either.
    #[inline]
    fn with_owner(
        &self,
        person: &Person,
        entry: &Entry<'_>,
        now: i64,
        said: impl Fn(&Person) -> Cell,
    ) -> Decision {
        let own = self.by_rules(person, entry, now, said(person));
        if !own.allowed || !matches!(person.kind, PersonKind::Agent(_)) || mutated(Mutant::Owner) {
            return own;
        }
        let owner = self.owner(person).filter(|owner| !owner.suspended);
        match owner {
            Some(owner) if self.by_rules(owner, entry, now, said(owner)).allowed => own,
            _ => Decision::no(Reason::OwnerNotEntitled),
        }
    }

    /// What the rules say to one principal.
    #[inline]
    pub(crate) fn said(&self, person: &Person, entry: &Entry<'_>) -> Cell {
        let mut said = Cell::default();
        self.tables_of(person).for_each(|table| said |= table.cell(entry));
        said
    }

    pub(crate) fn tables_of(&self, person: &Person) -> impl Iterator<Item = &crate::table::Table> {
        self.people.held(person).iter().filter_map(|&role| self.tables.get(role as usize))
    }

    /// Reads what is `said` against the plugin's stage, and the rest of the rules against seats and time.
    #[inline]
    pub(crate) fn by_rules(&self, person: &Person, entry: &Entry<'_>, now: i64, said: Cell) -> Decision {
        let stage = entry.fact.stage;
        if stage == Stage::Withdrawn {
            return Decision::no(Reason::Withdrawn);
        }
        let mut verdict = Verdict {
            denied: said.denies(),
            effect: said.effect(stage),
            nearest: said.allows_some_stage().then_some(Obstacles::STAGE),
        };
        if said.is_aside() {
            self.aside(person, entry, now, &mut verdict);
        }
        verdict.decision(entry.fact.missing.is_empty())
    }

    /// Adds the rules that have a seat or a window.
    #[cold]
    fn aside(&self, person: &Person, entry: &Entry<'_>, now: i64, verdict: &mut Verdict) {
        for table in self.tables_of(person).filter(|table| table.cell(entry).is_aside()) {
            for line in entry.cover().flat_map(|scope| table.aside_about(scope)) {
                let obstacles = line.obstacles(entry.fact.stage, &person.pools, now);
                match (line.denies(), obstacles.is_empty()) {
                    (true, holds) => verdict.denied |= holds,
                    (false, true) => verdict.effect = verdict.effect.max(Some(line.effect)),
                    (false, false) => {
                        let nearest = verdict.nearest.into_iter().chain([obstacles]);
                        verdict.nearest = nearest.min_by_key(|obstacles| obstacles.distance());
                    }
                }
            }
        }
    }
}

/// What rules come to.
struct Verdict {
    denied: bool,
    effect: Option<Effect>,
    /// What keeps the nearest rule from allowing.
    nearest: Option<Obstacles>,
}

impl Verdict {
    fn decision(&self, ready: bool) -> Decision {
        let overruled = mutated(Mutant::DenyPrecedence) && self.effect.is_some();
        match self.effect {
            _ if self.denied && !overruled => Decision::no(Reason::ExplicitDeny),
            Some(effect) if ready => Decision::yes(effect),
            Some(_) => Decision::no(Reason::NotReady),
            None => {
                let first = self.nearest.and_then(|obstacles| obstacles.iter().next());
                Decision::no(first.map_or(Reason::NoMatchingRule, Obstacle::reason))
            }
        }
    }
}
