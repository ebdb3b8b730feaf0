//! Every rule that matters to a question, by which way it came to the principal, and which of them decided.

use std::cmp::Reverse;

use crate::{
    catalogue::Entry,
    decide::{Decision, Reason},
    model::{Effect, Level, MaxStage, Target},
    people::{EVERYBODY, Person, PersonKind},
    remedy::Remedy,
    snapshot::Snapshot,
    table::{Line, Obstacles},
};

/// Something that keeps a rule from holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Obstacle {
    /// The plugin is less mature than the rule allows.
    Stage,
    /// The principal holds no seat of the rule's pool.
    Seat,
    /// The rule does not hold yet.
    NotOpen,
    /// The rule does not hold any more.
    Closed,
}

/// One step on the way from a principal to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step<'s> {
    /// It is in this group, or the group before is.
    Group(&'s str),
    /// It holds this role, or the group before does, or the role before includes it.
    Role(&'s str),
}

/// A rule that speaks of what is asked for, to the principal that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<'s> {
    /// The rule.
    pub rule: &'s str,
    /// Why it is there, as was written with it.
    pub reason: &'s str,
    /// What it does.
    pub effect: Effect,
    /// The least mature stage that it allows; a deny covers all.
    pub max_stage: MaxStage,
    /// Who set it.
    pub level: Level,
    /// What it speaks of: the thing itself, or what the thing belongs to.
    pub target: Target<&'s str>,
    /// The shortest way from the principal to the rule's role, which is the last step; empty for a rule for everybody.
    pub path: Vec<Step<'s>>,
    /// The pool of which it asks for a seat.
    pub seat_pool: Option<&'s str>,
    /// From when it holds, inclusive.
    pub not_before: Option<i64>,
    /// Until when it holds, exclusive.
    pub not_after: Option<i64>,
    /// What keeps it from holding; empty for a rule that holds.
    pub obstacles: Vec<Obstacle>,
    /// Whether the decision rests on it: it is one of those that forbid, or else allow, or else come closest. When an
    /// agent is refused for its owner's sake, those are the owner's.
    pub decided: bool,
}

/// Whether the ways by which rules came to the principal are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ways {
    /// They are.
    Follow,
    /// They are not, and cost the most.
    Skip,
}

/// A decision with all that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'s> {
    /// The decision, the same as [`Snapshot::decide`] makes.
    pub decision: Decision,
    /// The rules that speak of it: those that decided first, then by level, the strongest first.
    pub told: Vec<Told<'s>>,
    /// Connectors that the plugin needs and that are not bound.
    pub missing: &'s [String],
    /// The same question asked for an agent's owner.
    pub owner: Option<Box<Explanation<'s>>>,
    /// Of a no: what all together would turn it into a yes.
    pub remedies: Vec<Remedy<'s>>,
    /// When the decision changes by itself, if nothing else changes.
    pub changes_at: Option<i64>,
}

impl Obstacle {
    pub(crate) const ALL: [Self; 4] = [Self::Stage, Self::Seat, Self::NotOpen, Self::Closed];

    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Stage => Reason::StageGate,
            Self::Seat => Reason::SeatRequired,
            Self::NotOpen => Reason::WindowNotOpen,
            Self::Closed => Reason::WindowClosed,
        }
    }
}

impl Snapshot {
    /// The decision, with the rules that it rests on, sorted, each once: what [`Explanation::deciding`] names, without the
    /// rest of an explanation.
    pub fn decide_by(&self, principal: &str, target: Target<&str>, now: i64) -> (Decision, Vec<&str>) {
        let decision = self.decide(principal, target, now);
        let mut rules = self.deciding(principal, target, now, decision.reason);
        rules.sort_unstable();
        rules.dedup();
        (decision, rules)
    }

    fn deciding(&self, principal: &str, target: Target<&str>, now: i64, reason: Reason) -> Vec<&str> {
        let (Some(entry), Some((at, person))) =
            (self.catalogue.entry(target), self.people.principals.find(principal))
        else {
            return Vec::new();
        };
        let mut rules = if rests_on_rules(reason) {
            let mut told = self.told(at, person, &entry, now, Ways::Skip);
            mark(&mut told, reason);
            told.iter().filter(|told| told.decided).map(|told| told.rule).collect()
        } else {
            Vec::new()
        };
        if let PersonKind::Agent(owner) = person.kind
            && self.people.owner(owner).is_some()
            && matches!(reason, Reason::Allowed | Reason::OwnerNotEntitled)
        {
            let owner = self.people.principals.name(owner);
            let reason = self.decide(owner, target, now).reason;
            rules.extend(self.deciding(owner, target, now, reason));
        }
        rules
    }

    /// The decision on the same question, with every rule that matters to it.
    pub fn explain(&self, principal: &str, target: Target<&str>, now: i64) -> Explanation<'_> {
        let decision = self.decide(principal, target, now);
        let entry = self.catalogue.entry(target);
        let person = self.people.principals.find(principal);
        let mut told = match (&entry, person) {
            (Some(entry), Some((at, person))) => self.told(at, person, entry, now, Ways::Follow),
            _ => Vec::new(),
        };
        mark(&mut told, decision.reason);
        let owner = match person.map(|(_, person)| person.kind) {
            // only a user: agents that own one another would have no end
            Some(PersonKind::Agent(owner)) if self.people.owner(owner).is_some() => {
                Some(Box::new(self.explain(self.people.principals.name(owner), target, now)))
            }
            _ => None,
        };
        let missing = entry.map_or(&[][..], |entry| &entry.fact.missing);
        let mut explanation =
            Explanation { decision, told, missing, owner, remedies: Vec::new(), changes_at: None };
        if !decision.allowed {
            explanation.remedies = self.remedies(principal, target, now, &explanation);
        }
        let again = |at: &i64| self.decide(principal, target, *at) != decision;
        let sunset = entry.and_then(|entry| entry.fact.sunset());
        explanation.changes_at = explanation.edges(sunset, now).into_iter().find(again);
        explanation
    }

    /// The rules that speak of `entry` to a principal, and whether they hold.
    pub(crate) fn told(
        &self,
        at: u32,
        person: &Person,
        entry: &Entry<'_>,
        now: i64,
        ways: Ways,
    ) -> Vec<Told<'_>> {
        let (mut told, stage) = (Vec::new(), entry.fact.stage(now));
        for &role in self.people.held(person) {
            let Some(table) = self.tables.get(role as usize) else { continue };
            let mut lines = entry.cover().flat_map(|scope| table.about(scope)).peekable();
            let path = if ways == Ways::Skip || role == EVERYBODY || lines.peek().is_none() {
                Vec::new()
            } else {
                self.people.path(at, role)
            };
            told.extend(lines.map(|line| {
                let obstacles = line.terms.obstacles(stage, &person.pools, now);
                self.told_by(&line, path.clone(), obstacles)
            }));
        }
        told
    }

    fn told_by<'s>(&'s self, line: &Line<'s>, path: Vec<Step<'s>>, obstacles: Obstacles) -> Told<'s> {
        Told {
            rule: line.id,
            reason: line.reason,
            effect: line.terms.effect,
            max_stage: line.terms.max_stage,
            level: line.level,
            target: self.catalogue.target(line.scope),
            path,
            seat_pool: line.terms.pool.map(|pool| self.people.pools.name(pool)),
            not_before: line.terms.window.from,
            not_after: line.terms.window.until,
            obstacles: obstacles.iter().collect(),
            decided: false,
        }
    }
}

/// Whether there are rules that a decision for `reason` rests on; for any other, [`mark`] marks none.
fn rests_on_rules(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ExplicitDeny
            | Reason::Allowed
            | Reason::NotReady
            | Reason::StageGate
            | Reason::SeatRequired
            | Reason::WindowNotOpen
            | Reason::WindowClosed
    )
}

/// Marks those that a decision for `reason` rests on and puts them first.
fn mark(told: &mut [Told<'_>], reason: Reason) {
    let nearest = told.iter().filter(|t| t.effect != Effect::Denied).map(Told::distance).min();
    for t in &mut *told {
        let (denies, holds) = (t.effect == Effect::Denied, t.obstacles.is_empty());
        t.decided = match reason {
            Reason::ExplicitDeny => denies && holds,
            Reason::Allowed | Reason::NotReady => !denies && holds,
            Reason::StageGate | Reason::SeatRequired | Reason::WindowNotOpen | Reason::WindowClosed => {
                !denies && Some(t.distance()) == nearest
            }
            _ => false,
        };
    }
    told.sort_by_key(|t| (!t.decided, Reverse((t.level, t.effect == Effect::Denied, t.effect)), t.rule));
}

impl Told<'_> {
    /// How far from holding.
    pub(crate) fn distance(&self) -> (u32, u32, u8) {
        self.obstacles.iter().copied().collect::<Obstacles>().distance()
    }
}

impl<'s> Explanation<'s> {
    /// The rules that the decision rests on, each once: the principal's own, and those of an agent's owner where the
    /// owner was asked too.
    pub fn deciding(&self) -> Vec<&'s str> {
        let asked = matches!(self.decision.reason, Reason::Allowed | Reason::OwnerNotEntitled);
        let owners = self.owner.iter().filter(|_| asked).flat_map(|owner| &owner.told);
        let mut deciding = Vec::new();
        for told in self.told.iter().chain(owners).filter(|told| told.decided) {
            if !deciding.contains(&told.rule) {
                deciding.push(told.rule);
            }
        }
        deciding
    }

    /// The moments after `now` at which a rule begins or ends to hold or the plugin's sunset comes, sorted.
    fn edges(&self, sunset: Option<i64>, now: i64) -> Vec<i64> {
        let owners = self.owner.iter().flat_map(|owner| &owner.told);
        let told = self.told.iter().chain(owners);
        let edges = told.flat_map(|t| [t.not_before, t.not_after]).flatten().chain(sunset);
        let mut edges: Vec<_> = edges.filter(|&edge| edge > now).collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}
