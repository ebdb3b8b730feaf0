//! Who holds which roles and seats.

use std::ops::Range;

use hashbrown::HashMap;

use crate::{
    closure::closures,
    error::{Kind, Result},
    explain::Step,
    model::{Group, Principal, PrincipalKind, Role, SeatPool},
    mutant::{Mutant, mutated},
    names::{Registry, number},
};

/// The number of the role that everybody holds.
pub(crate) const EVERYBODY: u32 = 0;

/// A principal with what comes to it.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub kind: PersonKind,
    pub suspended: bool,
    /// Pools of which it holds a seat, sorted.
    pub pools: Box<[u32]>,
    held: Range<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PersonKind {
    User,
    Service,
    Agent(u32),
}

#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub principals: Box<[u32]>,
    pub groups: Box<[u32]>,
}

#[derive(Clone, Debug)]
pub(crate) struct RoleFact {
    pub members: Members,
    pub includes: Box<[u32]>,
}

#[derive(Clone, Debug)]
pub(crate) struct People {
    pub principals: Registry<Person>,
    pub groups: Registry<Members>,
    pub roles: Registry<RoleFact>,
    pub pools: Registry<Box<[u32]>>,
    /// The roles of all principals, one run for all that hold the same.
    held: Vec<u32>,
}

impl People {
    pub fn new() -> Result<Self> {
        let mut people = Self {
            principals: Registry::new(Kind::Principal),
            groups: Registry::new(Kind::Group),
            roles: Registry::new(Kind::Role),
            pools: Registry::new(Kind::SeatPool),
            held: Vec::new(),
        };
        // everybody's role has a name that no other can have
        people.roles.reserve()?;
        let members = Members { principals: Box::default(), groups: Box::default() };
        people.roles.put(EVERYBODY, RoleFact { members, includes: Box::default() });
        Ok(people)
    }

    /// Puts a principal, and says whether it was not there: what comes to one that was stays as it is.
    pub fn put_principal(&mut self, p: &Principal) -> Result<bool> {
        let kind = match &p.kind {
            PrincipalKind::User => PersonKind::User,
            PrincipalKind::Service => PersonKind::Service,
            PrincipalKind::Agent { owner } => PersonKind::Agent(self.principals.number(owner)?),
        };
        let at = self.principals.number(&p.id)?;
        if let Some(person) = self.principals.get_mut(at) {
            (person.kind, person.suspended) = (kind, p.suspended);
            return Ok(false);
        }
        let person = Person { kind, suspended: p.suspended, pools: Box::default(), held: 0..0 };
        self.principals.put(at, person);
        Ok(true)
    }

    pub fn put_group(&mut self, group: &Group) -> Result<()> {
        let principals = self.principals.numbers(&group.principals)?;
        let groups = self.groups.numbers(&group.groups)?;
        let at = self.groups.number(&group.id)?;
        self.groups.put(at, Members { principals, groups });
        Ok(())
    }

    pub fn put_role(&mut self, role: &Role) -> Result<()> {
        let principals = self.principals.numbers(&role.principals)?;
        let groups = self.groups.numbers(&role.groups)?;
        let includes = self.roles.numbers(&role.includes)?;
        let at = self.roles.number(&role.id)?;
        self.roles.put(at, RoleFact { members: Members { principals, groups }, includes });
        Ok(())
    }

    pub fn remove_role(&mut self, id: &str) -> Option<RoleFact> {
        if id.is_empty() { None } else { self.roles.remove(id) }
    }

    pub fn put_pool(&mut self, pool: &SeatPool) -> Result<()> {
        let holders = self.principals.numbers(&pool.holders)?;
        let at = self.pools.number(&pool.id)?;
        self.pools.put(at, holders);
        Ok(())
    }

    /// The roles of a principal, sorted; everybody's is the first.
    #[inline]
    pub fn held(&self, person: &Person) -> &[u32] {
        self.held.get(person.held.start as usize..person.held.end as usize).unwrap_or_default()
    }

    /// The user whom an agent acts for.
    pub fn owner(&self, agent: u32) -> Option<&Person> {
        self.principals.get(agent).filter(|person| person.kind == PersonKind::User)
    }

    /// Refuses what names something that is not there.
    fn check(&self) -> Result<()> {
        for (at, group) in self.groups.iter() {
            let name = self.groups.name(at);
            self.principals.all_known(&group.principals, Kind::Group, name)?;
            self.groups.all_known(&group.groups, Kind::Group, name)?;
        }
        for (at, role) in self.roles.iter() {
            let name = self.roles.name(at);
            self.principals.all_known(&role.members.principals, Kind::Role, name)?;
            self.groups.all_known(&role.members.groups, Kind::Role, name)?;
            self.roles.all_known(&role.includes, Kind::Role, name)?;
        }
        let mut pools = self.pools.iter();
        pools.try_for_each(|(at, pool)| self.principals.all_known(pool, Kind::SeatPool, self.pools.name(at)))
    }

    /// Checks all of it and works out who holds what.
    pub fn settle(&mut self) -> Result<()> {
        self.check()?;
        self.settle_roles()?;
        self.settle_seats();
        Ok(())
    }

    /// Principals with the same ways to roles, as most have whose roles come by groups, share one run of roles.
    fn settle_roles(&mut self) -> Result<()> {
        let given = Given::new(self)?;
        let (who, ways) = self.ways();
        let mut runs: HashMap<&[Way], Range<u32>> = HashMap::new();
        let mut held = Vec::new();
        let mut begin = 0;
        for (at, person) in self.principals.iter_mut() {
            begin += who.iter().skip(begin).take_while(|&&principal| principal < at).count();
            let end = begin + who.iter().skip(begin).take_while(|&&principal| principal == at).count();
            let mine = ways.get(begin..end).unwrap_or_default();
            begin = end;
            person.held = if let Some(run) = runs.get(mine) {
                run.clone()
            } else {
                let from = number(Kind::Role, held.len())?;
                held.extend(given.union(mine));
                let run = from..number(Kind::Role, held.len())?;
                runs.insert(mine, run.clone());
                run
            };
        }
        held.shrink_to_fit();
        self.held = held;
        Ok(())
    }

    /// How roles come to principals, sorted by principal.
    fn ways(&self) -> (Vec<u32>, Vec<Way>) {
        let direct = self.roles.iter().map(|(role, fact)| (Way::Role(role), &fact.members.principals));
        let grouped = self.groups.iter().map(|(group, members)| (Way::Group(group), &members.principals));
        let pairs = direct.chain(grouped).flat_map(|(way, members)| members.iter().map(move |&p| (p, way)));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        pairs.into_iter().unzip()
    }

    fn settle_seats(&mut self) {
        let pairs = self.pools.iter().flat_map(|(pool, holders)| holders.iter().map(move |&p| (p, pool)));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        for (_, person) in self.principals.iter_mut() {
            if !person.pools.is_empty() {
                person.pools = Box::default();
            }
        }
        for seats in pairs.chunk_by(|(left, _), (right, _)| left == right) {
            let Some((principal, _)) = seats.first() else { continue };
            if let Some(person) = self.principals.get_mut(*principal) {
                person.pools = seats.iter().map(|(_, pool)| *pool).collect();
            }
        }
    }

    /// The shortest way from a principal to a role: groups, roles, the role itself; empty if there is none.
    pub fn path(&self, principal: u32, role: u32) -> Vec<Step<'_>> {
        let has = |list: &[u32], at: u32| list.binary_search(&at).is_ok();
        // backwards from the role; each is noted with the one that it leads to
        let mut seen = vec![(Way::Role(role), None)];
        let mut next = 0;
        while let Some(&(way, _)) = seen.get(next) {
            let members = match way {
                Way::Role(at) => self.roles.get(at).map(|role| &role.members),
                Way::Group(at) => self.groups.get(at),
            };
            if members.is_some_and(|members| has(&members.principals, principal)) {
                let back = |at: &usize| seen.get(*at).and_then(|(_, to)| *to);
                let steps = std::iter::successors(Some(next), back).filter_map(|at| seen.get(at));
                return steps.map(|(way, _)| self.step(*way)).collect();
            }
            let groups = members.into_iter().flat_map(|members| &members.groups).map(|&at| Way::Group(at));
            let above =
                self.roles.iter().filter(|(_, fact)| matches!(way, Way::Role(at) if has(&fact.includes, at)));
            let mut from: Vec<_> = groups.chain(above.map(|(at, _)| Way::Role(at))).collect();
            // of ways that are as short, the first by name: numbers depend on what was known before
            from.sort_unstable_by_key(|&way| self.step(way));
            from.retain(|from| seen.iter().all(|(way, _)| way != from));
            seen.extend(from.into_iter().map(|way| (way, Some(next))));
            next += 1;
        }
        Vec::new()
    }

    fn step(&self, way: Way) -> Step<'_> {
        match way {
            Way::Role(at) => Step::Role(self.roles.name(at)),
            Way::Group(at) => Step::Group(self.groups.name(at)),
        }
    }

    /// How many pairs of a principal and a role that it holds there are, everybody's role not counted.
    pub fn edges(&self) -> usize {
        self.principals.iter().map(|(_, person)| self.held(person).len().saturating_sub(1)).sum()
    }

    /// Bytes in memory of who holds what, and of the rest.
    pub fn bytes(&self) -> (usize, usize) {
        let members = |m: &Members| size_of_val(&*m.principals) + size_of_val(&*m.groups);
        let roles = self.roles.iter().map(|(_, role)| members(&role.members) + size_of_val(&*role.includes));
        let groups = self.groups.iter().map(|(_, group)| members(group));
        let pools = self.pools.iter().map(|(_, holders)| size_of_val(&**holders));
        let seats = self.principals.iter().map(|(_, person)| size_of_val(&*person.pools));
        let edges = size_of_val(&*self.held) + roles.chain(groups).sum::<usize>();
        let registries =
            [self.principals.bytes(), self.groups.bytes(), self.roles.bytes(), self.pools.bytes()];
        (edges, registries.into_iter().chain(pools).chain(seats).sum())
    }
}

/// How a role comes to a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Way {
    Role(u32),
    Group(u32),
}

/// The roles that each role and each group gives, followed to the end.
struct Given {
    by_role: Vec<Box<[u32]>>,
    by_group: Vec<Vec<u32>>,
}

impl Given {
    fn new(people: &People) -> Result<Self> {
        let by_role = closures(&people.roles, |role| &role.includes)?;
        let inside = closures(&people.groups, |group| &group.groups)?;
        let mut by_group = vec![Vec::new(); people.groups.len()];
        for (role, fact) in people.roles.iter() {
            let given = by_role.get(role as usize).map_or(&[][..], |given| given);
            for &group in &fact.members.groups {
                let nested = inside.get(group as usize).map_or(&[][..], |nested| nested);
                let nested = if mutated(Mutant::NestedGroup) { &[group] } else { nested };
                for &group in nested {
                    if let Some(roles) = by_group.get_mut(group as usize) {
                        roles.extend_from_slice(given);
                    }
                }
            }
        }
        for roles in &mut by_group {
            roles.sort_unstable();
            roles.dedup();
        }
        Ok(Self { by_role, by_group })
    }

    /// What all of these ways give, and everybody's role.
    fn union(&self, ways: &[Way]) -> Vec<u32> {
        let given = ways.iter().filter_map(|way| match *way {
            Way::Role(role) => self.by_role.get(role as usize).map(|roles| &**roles),
            Way::Group(group) => self.by_group.get(group as usize).map(Vec::as_slice),
        });
        let mut all: Vec<_> = given.flatten().copied().chain([EVERYBODY]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
