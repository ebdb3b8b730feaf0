//! What differs between two snapshots: who gains and who loses what.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::{HashMap, HashSet};

use crate::{
    catalogue::{Entry, Scope},
    decide::{Decision, Reason},
    model::Target,
    people::{Person, PersonKind},
    snapshot::Snapshot,
    table::Table,
};

/// How an answer changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shift {
    /// From no to yes.
    Gained,
    /// From yes to no.
    Lost,
    /// Still a yes, with another effect.
    Effect,
    /// Still a no, for another reason.
    Reason,
}

/// One thing, and everybody whose answer about it changes in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved<'s> {
    /// The plugin, app or skill.
    pub target: Target<&'s str>,
    /// The answer before.
    pub before: Decision,
    /// The answer after.
    pub after: Decision,
    /// How many principals.
    pub count: u64,
    /// The first of them by id.
    pub principals: Vec<&'s str>,
}

/// What differs, counted in full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison<'s> {
    /// By target, then by answers.
    pub moved: Vec<Moved<'s>>,
    /// Pairs of a principal and a target, by [`Shift`].
    pub counts: BTreeMap<Shift, u64>,
    /// Principals with at least one such pair.
    pub principals: u64,
}

/// Answers that one class of principals gets to everything that is compared, where they differ.
type Differences = Arc<[(usize, Decision, Decision)]>;

/// Differences that are remembered for classes of principals, in all.
const REMEMBERED: usize = 1 << 20;

impl Moved<'_> {
    /// How the answer changes.
    pub fn shift(&self) -> Shift {
        shift(self.before, self.after)
    }
}

fn shift(before: Decision, after: Decision) -> Shift {
    match (before.allowed, after.allowed) {
        (false, true) => Shift::Gained,
        (true, false) => Shift::Lost,
        (true, true) => Shift::Effect,
        (false, false) => Shift::Reason,
    }
}

/// What makes two principals of one snapshot get the same answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Class<'s> {
    /// The same to everything.
    Always(Reason),
    /// By the roles and seats that it holds, and by whom it acts for.
    Holder { roles: &'s [u32], pools: &'s [u32], owner: Option<u32> },
}

impl Snapshot {
    /// What changes for whom from this snapshot to `next`, at one moment: every pair of a principal and a plugin whose
    /// answer differs, and those of apps and skills where the answer differs otherwise than that of their plugin. Of each
    /// group the first `names` principals are named; everything is counted.
    ///
    /// Principals that hold the same are decided once, so that the work grows with what they hold, not with how many
    /// they are.
    pub fn compare<'s>(&'s self, next: &'s Self, now: i64, names: usize) -> Comparison<'s> {
        let targets = targets(self, next);
        let [before, after] = [self, next].map(|snapshot| Judge::new(snapshot, &targets, now));
        let people = [self, next].map(|snapshot| &snapshot.people.principals);
        let ids = people.iter().flat_map(|people| people.iter().map(|(at, _)| people.name(at)));
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        let mut known: HashMap<(Class<'_>, Class<'_>), Differences> = HashMap::new();
        let mut remembered = 0;
        let mut groups: BTreeMap<(usize, Reason, Reason, _), Moved<'s>> = BTreeMap::new();
        let mut found = Comparison::default();
        for id in ids {
            let persons = people.map(|people| people.find(id).map(|(_, person)| person));
            let [was, is] = persons;
            let class = (before.class(was), after.class(is));
            let differences = if let Some(differences) = known.get(&class) {
                Arc::clone(differences)
            } else {
                let fresh: Differences = differences(&targets, &before, &after, class, persons).into();
                if remembered > REMEMBERED {
                    known.clear();
                    remembered = 0;
                }
                remembered += fresh.len() + 1;
                known.insert(class, Arc::clone(&fresh));
                fresh
            };
            found.principals += u64::from(!differences.is_empty());
            for (at, before, after) in differences.iter() {
                let Some(Compared { target, .. }) = targets.get(*at) else { continue };
                *found.counts.entry(shift(*before, *after)).or_default() += 1;
                let effects = (before.effect, after.effect);
                let group =
                    groups.entry((*at, before.reason, after.reason, effects)).or_insert_with(|| Moved {
                        target: *target,
                        before: *before,
                        after: *after,
                        count: 0,
                        principals: Vec::new(),
                    });
                group.count += 1;
                if group.principals.len() < names {
                    group.principals.push(id);
                }
            }
        }
        found.moved = groups.into_values().collect();
        found
    }
}

/// Something that is compared; what one of the snapshots does not have is unknown there.
struct Compared<'s> {
    target: Target<&'s str>,
    /// Where among what is compared its plugin is; itself for a plugin.
    plugin: usize,
}

/// Every plugin of either snapshot by id, each followed by those of its parts that rules speak of or that one of the two
/// does not have: all other parts are as their plugin is.
fn targets<'s>(before: &'s Snapshot, after: &'s Snapshot) -> Vec<Compared<'s>> {
    let both = [before, after];
    let plugins =
        both.iter().flat_map(|s| s.catalogue.plugins.iter().map(|(at, _)| s.catalogue.plugins.name(at)));
    let mut plugins: Vec<_> = plugins.collect();
    plugins.sort_unstable();
    plugins.dedup();
    let spoken: HashSet<_> = both.iter().flat_map(|s| s.spoken_parts()).collect();
    let mut targets = Vec::new();
    for plugin in plugins {
        let at = targets.len();
        targets.push(Compared { target: Target::Plugin(plugin), plugin: at });
        let [was, is] = both.map(|snapshot| snapshot.parts(plugin));
        let mut parts: Vec<_> = was.iter().chain(&is).copied().collect();
        parts.sort_unstable();
        parts.dedup();
        parts.retain(|part| spoken.contains(part) || was.contains(part) != is.contains(part));
        targets.extend(parts.into_iter().map(|target| Compared { target, plugin: at }));
    }
    targets
}

/// Where the answers of two classes differ.
fn differences(
    targets: &[Compared<'_>],
    before: &Judge<'_, '_>,
    after: &Judge<'_, '_>,
    (was, is): (Class<'_>, Class<'_>),
    [person, next]: [Option<&Person>; 2],
) -> Vec<(usize, Decision, Decision)> {
    if let (Class::Always(was), Class::Always(is)) = (was, is)
        && was == is
    {
        return Vec::new();
    }
    let (was, is) = (before.answers(was, person), after.answers(is, next));
    let pairs = was.into_iter().zip(is);
    let pairs: Vec<_> = pairs.collect();
    let differs = |(at, (was, is)): (usize, &(Decision, Decision))| {
        let target = targets.get(at)?;
        let as_plugin = target.plugin != at && pairs.get(target.plugin) == Some(&(*was, *is));
        (was != is && !as_plugin).then_some((at, *was, *is))
    };
    pairs.iter().enumerate().filter_map(differs).collect()
}

/// One snapshot, asked about everything that is compared.
struct Judge<'s, 't> {
    snapshot: &'s Snapshot,
    entries: Vec<Option<Entry<'s>>>,
    targets: &'t [Compared<'s>],
    now: i64,
}

impl<'s, 't> Judge<'s, 't> {
    fn new(snapshot: &'s Snapshot, targets: &'t [Compared<'s>], now: i64) -> Self {
        let entries = targets.iter().map(|compared| snapshot.catalogue.entry(compared.target)).collect();
        Self { snapshot, entries, targets, now }
    }

    fn class(&self, person: Option<&'s Person>) -> Class<'s> {
        match person {
            _ if !self.snapshot.active => Class::Always(Reason::TenantSuspended),
            None => Class::Always(Reason::UnknownPrincipal),
            Some(person) if person.suspended => Class::Always(Reason::PrincipalSuspended),
            Some(person) => Class::Holder {
                roles: self.snapshot.people.held(person),
                pools: &person.pools,
                owner: match person.kind {
                    PersonKind::Agent(owner) => Some(owner),
                    PersonKind::User | PersonKind::Service => None,
                },
            },
        }
    }

    /// The answers to everything, in order.
    fn answers(&self, class: Class<'_>, person: Option<&Person>) -> Vec<Decision> {
        let (Class::Holder { .. }, Some(person)) = (class, person) else {
            let reason = match class {
                Class::Always(reason) => reason,
                Class::Holder { .. } => Reason::UnknownPrincipal,
            };
            return vec![Decision::no(reason); self.targets.len()];
        };
        let decide = |entry: &Option<Entry<'_>>| match entry {
            Some(entry) => self.snapshot.with_owner(person, entry, self.now),
            None => Decision::no(Reason::UnknownPlugin),
        };
        self.entries.iter().map(decide).collect()
    }
}

impl Snapshot {
    /// The apps and skills that a plugin has.
    pub fn parts(&self, plugin: &str) -> Vec<Target<&str>> {
        let found = self.catalogue.entry(Target::Plugin(plugin));
        let parts = found.iter().flat_map(|entry| &*entry.fact.parts);
        parts.map(|&part| self.catalogue.target(Scope::Part(part))).collect()
    }

    /// The apps and skills that rules speak of.
    fn spoken_parts(&self) -> impl Iterator<Item = Target<&str>> {
        let scopes = self.tables.iter().flat_map(Table::named).map(|(scope, _)| scope);
        scopes.filter(|scope| matches!(scope, Scope::Part(_))).map(|scope| self.catalogue.target(scope))
    }
}
