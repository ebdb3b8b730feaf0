//! A tenant as a model in memory, and random histories of it.

use std::collections::BTreeSet;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

/// Ids of each noun.
const IDS: usize = 3;

/// The nouns that come and go, by their collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noun {
    Unit,
    Principal,
    Group,
    Role,
}

const NOUNS: [Noun; 4] = [Noun::Unit, Noun::Principal, Noun::Group, Noun::Role];

/// One call.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Create(Noun, usize),
    Rename(Noun, usize, u8),
    Delete(Noun, usize),
    Undelete(Noun, usize),
    Suspend(usize),
    Resume(usize),
    /// Puts a unit below another one, or at the top.
    Move(usize, Option<usize>),
    /// Puts a principal into a unit, or into none.
    Place(usize, Option<usize>),
    Join(usize, usize),
    Leave(usize, usize),
    Hold(usize, (Noun, usize)),
    Drop(usize, (Noun, usize)),
    Include(usize, usize),
    Exclude(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    // the first of each is seldom there, so that the others meet often
    let id = || prop_oneof![1 => Just(0), 9 => 1..IDS];
    let noun = || prop::sample::select(&NOUNS[..]);
    let holder = || (prop::sample::select(&[Noun::Principal, Noun::Group][..]), id());
    prop_oneof![
        3 => (noun(), id()).prop_map(|(n, i)| Op::Create(n, i)),
        2 => (noun(), id(), any::<u8>()).prop_map(|(n, i, w)| Op::Rename(n, i, w)),
        6 => (noun(), id()).prop_map(|(n, i)| Op::Delete(n, i)),
        6 => (noun(), id()).prop_map(|(n, i)| Op::Undelete(n, i)),
        1 => id().prop_map(Op::Suspend),
        1 => id().prop_map(Op::Resume),
        5 => (id(), prop::option::weighted(0.8, id())).prop_map(|(u, above)| Op::Move(u, above)),
        4 => (id(), prop::option::weighted(0.8, id())).prop_map(|(p, u)| Op::Place(p, u)),
        3 => (id(), id()).prop_map(|(g, p)| Op::Join(g, p)),
        2 => (id(), id()).prop_map(|(g, p)| Op::Leave(g, p)),
        3 => (id(), holder()).prop_map(|(r, h)| Op::Hold(r, h)),
        2 => (id(), holder()).prop_map(|(r, h)| Op::Drop(r, h)),
        4 => (id(), id()).prop_map(|(r, o)| Op::Include(r, o)),
        1 => (id(), id()).prop_map(|(r, o)| Op::Exclude(r, o)),
    ]
}

/// A history: most of what there can be is created first, then anything happens.
pub fn history() -> impl Strategy<Value = Vec<Op>> {
    let first = NOUNS.into_iter().flat_map(|noun| (1..IDS).map(move |id| Op::Create(noun, id)));
    let first: Vec<_> = first.collect();
    prop::collection::vec(op(), 40).prop_map(move |then| first.iter().copied().chain(then).collect())
}

/// One resource as the model knows it.
#[derive(Clone, Debug, Default)]
struct Row {
    words: String,
    deleted: bool,
    suspended: bool,
    /// The unit above a unit, or that a principal is in.
    unit: Option<usize>,
}

#[derive(Debug, Default)]
pub struct Model {
    rows: [[Option<Row>; IDS]; NOUNS.len()],
    joined: BTreeSet<(usize, usize)>,
    held: BTreeSet<(usize, (Noun, usize))>,
    included: BTreeSet<(usize, usize)>,
}

pub type Reason = &'static str;
const MISSING: Reason = "RESOURCE_NOT_FOUND";
const TAKEN: Reason = "RESOURCE_EXISTS";
const ILLEGAL: Reason = "ILLEGAL_STATE";
const IN_USE: Reason = "STILL_IN_USE";
const CYCLE: Reason = "CYCLE_OR_DEPTH";

fn that(ok: bool, otherwise: Reason) -> Result<(), Reason> {
    if ok { Ok(()) } else { Err(otherwise) }
}

impl Model {
    fn row(&self, noun: Noun, id: usize) -> Result<&Row, Reason> {
        self.rows[noun as usize][id].as_ref().ok_or(MISSING)
    }

    fn living(&self, noun: Noun, id: usize) -> Result<&Row, Reason> {
        self.row(noun, id).and_then(|row| that(!row.deleted, ILLEGAL).map(|()| row))
    }

    fn change(&mut self, noun: Noun, id: usize, change: impl FnOnce(&mut Row)) -> Result<(), Reason> {
        self.rows[noun as usize][id].as_mut().map(change).ok_or(MISSING)
    }

    /// Whether somebody living is in the unit.
    fn in_use(&self, unit: usize) -> bool {
        let [units, people, ..] = &self.rows;
        units.iter().chain(people).flatten().any(|row| !row.deleted && row.unit == Some(unit))
    }

    fn reaches(&self, role: usize, other: usize) -> bool {
        role == other || self.included.iter().any(|(from, to)| *from == role && self.reaches(*to, other))
    }

    fn below(&self, unit: usize, other: usize) -> bool {
        let above = self.row(Noun::Unit, unit).ok().and_then(|row| row.unit);
        unit == other || above.is_some_and(|above| self.below(above, other))
    }

    /// What the call does, or why it is refused.
    pub fn apply(&mut self, op: Op) -> Result<(), Reason> {
        use Noun::{Group, Principal, Role, Unit};
        match op {
            Op::Create(noun, id) => {
                that(self.row(noun, id).is_err(), TAKEN)?;
                self.rows[noun as usize][id] = Some(Row { words: "new".to_owned(), ..Row::default() });
                Ok(())
            }
            Op::Rename(noun, id, words) => {
                self.living(noun, id)?;
                self.change(noun, id, |row| row.words = words.to_string())
            }
            Op::Delete(noun, id) => {
                self.living(noun, id)?;
                that(noun != Unit || !self.in_use(id), IN_USE)?;
                self.change(noun, id, |row| row.deleted = true)
            }
            Op::Undelete(noun, id) => {
                let row = self.row(noun, id)?;
                that(row.deleted, ILLEGAL)?;
                row.unit.map_or(Ok(()), |unit| self.living(Unit, unit).map(drop))?;
                self.change(noun, id, |row| row.deleted = false)
            }
            Op::Suspend(id) | Op::Resume(id) => {
                let to = matches!(op, Op::Suspend(_));
                that(self.living(Principal, id)?.suspended != to, ILLEGAL)?;
                self.change(Principal, id, |row| row.suspended = to)
            }
            Op::Move(id, unit) | Op::Place(id, unit) => {
                let noun = if matches!(op, Op::Move(..)) { Unit } else { Principal };
                self.row(noun, id)?;
                unit.map_or(Ok(()), |unit| self.row(Unit, unit).map(drop))?;
                self.living(noun, id)?;
                unit.map_or(Ok(()), |unit| self.living(Unit, unit).map(drop))?;
                that(noun != Unit || unit.is_none_or(|unit| !self.below(unit, id)), CYCLE)?;
                self.change(noun, id, |row| row.unit = unit)
            }
            Op::Join(group, id) => {
                self.living(Group, group)?;
                self.living(Principal, id).map_err(|_| MISSING)?;
                that(self.joined.insert((group, id)), TAKEN)
            }
            Op::Leave(group, id) => {
                self.row(Group, group)?;
                that(self.joined.remove(&(group, id)), MISSING)
            }
            Op::Hold(role, (kind, id)) => {
                self.living(Role, role)?;
                self.living(kind, id).map_err(|_| MISSING)?;
                that(self.held.insert((role, (kind, id))), TAKEN)
            }
            Op::Drop(role, holder) => {
                self.row(Role, role)?;
                that(self.held.remove(&(role, holder)), MISSING)
            }
            Op::Include(role, other) => {
                self.living(Role, role)?;
                self.living(Role, other)?;
                that(!self.reaches(other, role), CYCLE)?;
                that(self.included.insert((role, other)), TAKEN)
            }
            Op::Exclude(role, other) => {
                self.row(Role, role)?;
                self.row(Role, other)?;
                that(self.included.remove(&(role, other)), MISSING)
            }
        }
    }

    /// All that a reader sees, a line each.
    pub fn lines(&self) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for noun in NOUNS {
            for (id, row) in self.rows[noun as usize].iter().enumerate() {
                let Some(Row { words, deleted, suspended, unit }) = row else { continue };
                let unit = unit.map_or_else(String::new, |unit| local(Noun::Unit, unit));
                lines.insert(format!("{} {words} {deleted} {suspended} {unit}", local(noun, id)));
            }
        }
        let living = |noun, id| self.living(noun, id).is_ok();
        for (group, id) in self.joined.iter().filter(|(_, id)| living(Noun::Principal, *id)) {
            lines.insert(format!("{} has {}", local(Noun::Group, *group), local(Noun::Principal, *id)));
        }
        for (role, (kind, id)) in self.held.iter().filter(|(_, (kind, id))| living(*kind, *id)) {
            lines.insert(format!("{} is held by {}", local(Noun::Role, *role), local(*kind, *id)));
        }
        for (role, other) in &self.included {
            lines.insert(format!("{} takes in {}", local(Noun::Role, *role), local(Noun::Role, *other)));
        }
        lines
    }
}

/// A name within the tenant.
pub fn local(noun: Noun, id: usize) -> String {
    let collection = match noun {
        Noun::Unit => "units",
        Noun::Principal => "principals",
        Noun::Group => "groups",
        Noun::Role => "roles",
    };
    format!("{collection}/x{id}")
}

/// A generator that never gets anywhere would agree with anything.
#[test]
fn histories_come_to_every_outcome() {
    let met = std::cell::RefCell::new(BTreeSet::new());
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&history(), |ops| {
        let mut model = Model::default();
        met.borrow_mut().extend(ops.into_iter().map(|op| model.apply(op).err().unwrap_or("OK")));
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(met.into_inner(), BTreeSet::from(["OK", MISSING, TAKEN, ILLEGAL, IN_USE, CYCLE]));
}
