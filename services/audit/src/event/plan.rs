//! From a filter to look-ups in the search index, and from what they find to the events that may match.
//!
//! Some look-ups find more than was asked for (a network that is no stored prefix, times that are not at hand). What may
//! match is then more than what matches, under a negation too; every event that may match is read and checked.

use std::collections::{BTreeSet, HashMap};

use kernel::{clock::Time, filter::Comparator};
use roaring::RoaringBitmap;

use super::{
    filter::{Check, Field, Filter, compare},
    term::{Kind, Terms},
    tree::Tree,
};

/// What is looked up for one condition.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// Nothing: every event has it.
    Every,
    /// Events with all of these terms.
    All(Vec<i64>),
    /// Events with at least one of these terms.
    Any(Vec<i64>),
    /// The events are among those with this term.
    Among(i64),
    /// Events whose time compares so.
    Time(Comparator, Time),
}

/// A filter, ready to be looked up in one log.
#[derive(Clone, Debug)]
pub struct Plan {
    tree: Tree<Lookup>,
    terms: Vec<i64>,
}

/// Some consecutive events as the search index knows them; offsets count from `base`.
#[derive(Debug, Default)]
pub struct Slice {
    /// Index of the event with offset 0.
    pub base: i64,
    /// The events that are searched.
    pub all: RoaringBitmap,
    /// Which events have a term; a term that is missing is of none.
    pub terms: HashMap<i64, RoaringBitmap>,
    /// When the earliest and the latest of them happened, if that is known.
    pub span: Option<(Time, Time)>,
    /// When each of them happened, by offset; may end early.
    pub times: Vec<Time>,
}

impl Plan {
    /// What to look up for `filter` in the log of `terms`.
    pub fn new(filter: &Filter, terms: &Terms) -> Self {
        let tree = filter.tree.map(&|check| lookup(check, terms));
        let mut found = BTreeSet::new();
        tree.each(&mut |lookup: &Lookup| match lookup {
            Lookup::All(terms) | Lookup::Any(terms) => found.extend(terms.iter().copied()),
            Lookup::Among(term) => {
                found.insert(*term);
            }
            Lookup::Every | Lookup::Time(..) => {}
        });
        Self { tree, terms: found.into_iter().collect() }
    }

    /// The terms to look up, sorted, each once.
    pub fn terms(&self) -> &[i64] {
        &self.terms
    }

    /// Whether events between two times match, when their times alone say it.
    pub fn decided(&self, span: (Time, Time)) -> Option<bool> {
        self.tree.known(&|lookup| match lookup {
            Lookup::Every => Some(true),
            Lookup::Time(op, than) => decided(*op, *than, span),
            _ => None,
        })
    }

    /// Whether the single times of events between two times are needed.
    pub fn needs_times(&self, span: (Time, Time)) -> bool {
        let mut needed = false;
        self.tree.each(&mut |lookup| {
            needed |= matches!(lookup, Lookup::Time(op, than) if decided(*op, *than, span).is_none());
        });
        needed
    }

    /// The events that may match.
    pub fn candidates(&self, slice: &Slice) -> RoaringBitmap {
        found(&self.tree, slice, true) & &slice.all
    }
}

fn lookup(check: &Check, terms: &Terms) -> Lookup {
    let one = |kind, value: &str| Lookup::All(vec![terms.term(kind, value)]);
    match check {
        Check::Every => Lookup::Every,
        Check::Is(field, text) => one(kind(*field), text),
        Check::Under(Field::Action, front) => one(Kind::ActionUnder, front),
        Check::Under(_, front) => one(Kind::TargetUnder, front),
        Check::Words(words) => Lookup::All(words.iter().map(|word| terms.term(Kind::Word, word)).collect()),
        Check::By(name) => Lookup::Any(vec![terms.term(Kind::Actor, name), terms.term(Kind::Owner, name)]),
        Check::Time(op, than) => Lookup::Time(*op, *than),
        Check::Within(network) => match network.cover() {
            Some(cover) if cover.exact => {
                Lookup::Any(cover.prefixes.iter().map(|p| terms.term(Kind::Network, p)).collect())
            }
            Some(cover) => {
                let first = cover.prefixes.first().map_or("", String::as_str);
                Lookup::Among(terms.term(Kind::Network, first))
            }
            None => Lookup::Among(terms.term(Kind::Every, "")),
        },
    }
}

fn kind(field: Field) -> Kind {
    match field {
        Field::Actor => Kind::Actor,
        Field::Action => Kind::Action,
        Field::Outcome => Kind::Outcome,
        Field::Class => Kind::Class,
        Field::Target => Kind::Target,
        Field::Partner => Kind::Partner,
        Field::Delegation => Kind::Delegation,
        Field::Request => Kind::Request,
        Field::Trace => Kind::Trace,
    }
}

/// Whether all times between two compare so, or none.
fn decided(op: Comparator, than: Time, (first, last): (Time, Time)) -> Option<bool> {
    let outside = than < first || last < than;
    match op {
        Comparator::Equal | Comparator::Has if outside => Some(false),
        Comparator::NotEqual if outside => Some(true),
        _ => {
            // an order, or an equality with what lies between: decided when both ends agree and nothing lies between
            let ends = (compare(op, first, than), compare(op, last, than));
            let ordered = !matches!(op, Comparator::Equal | Comparator::Has | Comparator::NotEqual);
            (ends.0 == ends.1 && (ordered || first == last)).then_some(ends.0)
        }
    }
}

/// At least the events that match (`most`), or at most those.
fn found(tree: &Tree<Lookup>, slice: &Slice, most: bool) -> RoaringBitmap {
    match tree {
        Tree::All(parts) => {
            let mut left = slice.all.clone();
            for part in parts {
                if left.is_empty() {
                    break;
                }
                left &= found(part, slice, most);
            }
            left
        }
        Tree::Any(parts) => {
            parts.iter().fold(RoaringBitmap::new(), |sum, part| sum | found(part, slice, most))
        }
        Tree::Not(inner) => &slice.all - found(inner, slice, !most),
        Tree::Leaf(lookup) => looked_up(lookup, slice, most),
    }
}

fn looked_up(lookup: &Lookup, slice: &Slice, most: bool) -> RoaringBitmap {
    let none = RoaringBitmap::new();
    let of = |term: &i64| slice.terms.get(term).unwrap_or(&none);
    match lookup {
        Lookup::Every => slice.all.clone(),
        Lookup::All(terms) => terms.iter().fold(slice.all.clone(), |left, term| left & of(term)),
        Lookup::Any(terms) => terms.iter().fold(RoaringBitmap::new(), |sum, term| sum | of(term)),
        Lookup::Among(term) if most => of(term).clone(),
        Lookup::Among(_) => none,
        Lookup::Time(op, than) => match slice.span.and_then(|span| decided(*op, *than, span)) {
            Some(true) => slice.all.clone(),
            Some(false) => none,
            None => {
                let time = |offset: &u32| slice.times.get(usize::try_from(*offset).unwrap_or(usize::MAX));
                let holds = |offset: &u32| time(offset).map_or(most, |time| compare(*op, *time, *than));
                slice.all.iter().filter(holds).collect()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_times_decides_what_lies_outside_of_it() {
        let at = Time::from_micros;
        let span = (at(10), at(20));
        for (op, than, expected) in [
            (Comparator::Less, 21, Some(true)),
            (Comparator::Less, 10, Some(false)),
            (Comparator::Less, 15, None),
            (Comparator::LessEqual, 20, Some(true)),
            (Comparator::Greater, 20, Some(false)),
            (Comparator::GreaterEqual, 10, Some(true)),
            (Comparator::GreaterEqual, 11, None),
            (Comparator::Equal, 9, Some(false)),
            (Comparator::Equal, 10, None),
            (Comparator::Equal, 15, None),
            (Comparator::NotEqual, 21, Some(true)),
            (Comparator::NotEqual, 15, None),
        ] {
            assert_eq!(decided(op, at(than), span), expected, "{op:?} {than}");
        }
        assert_eq!(decided(Comparator::Equal, at(5), (at(5), at(5))), Some(true));
        assert_eq!(decided(Comparator::NotEqual, at(5), (at(5), at(5))), Some(false));
    }

    #[test]
    fn what_is_only_known_roughly_is_never_missed_under_a_negation() {
        let slice = Slice {
            all: (0..4).collect(),
            terms: HashMap::from([(7, RoaringBitmap::from([1, 2]))]),
            ..Slice::default()
        };
        let among = Tree::Leaf(Lookup::Among(7));
        assert_eq!(found(&among, &slice, true), RoaringBitmap::from([1, 2]));
        assert_eq!(found(&among.clone().negated(), &slice, true), slice.all);
        assert_eq!(found(&among.negated().negated(), &slice, true), RoaringBitmap::from([1, 2]));
    }
}
