//! What answers are counted by.

use std::sync::atomic::{AtomicU64, Ordering};

use ::decision::Reason;

/// Why a decision is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// By the rules, or because there were none to ask.
    Rules(Reason),
    /// AuthZEN: there is no such action.
    UnknownAction,
    /// AuthZEN: an item of a batch that is no whole question.
    Incomplete,
}

/// What a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// Plugins that somebody may use.
    Plugins,
    /// Apps that somebody may use.
    Apps,
    /// Skills that somebody may use.
    Skills,
    /// Principals who may use something.
    Principals,
    /// AuthZEN: things that there are none of here.
    Other,
}

/// Reasons there are.
const REASONS: usize = Reason::ALL.len();
/// Counters of decisions.
const DECISIONS: usize = REASONS + 2;
/// Counters there are: of decisions by reason, then of lists by what they are of.
const COUNTERS: usize = DECISIONS + List::ALL.len();

/// Numbers of all answers, each in its place.
pub type Counts = [u64; COUNTERS];

/// Answers since the start.
pub struct Counters([AtomicU64; COUNTERS]);

impl Why {
    /// All of them, in the order of their counters.
    pub fn all() -> impl Iterator<Item = Self> {
        Reason::ALL.into_iter().map(Self::Rules).chain([Self::UnknownAction, Self::Incomplete])
    }

    /// As it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rules(reason) => reason.as_str(),
            Self::UnknownAction => "UNKNOWN_ACTION",
            Self::Incomplete => "INCOMPLETE",
        }
    }

    /// Whether it is a yes.
    pub fn allows(self) -> bool {
        self == Self::Rules(Reason::Allowed)
    }

    /// Its counter.
    pub const fn counter(self) -> usize {
        match self {
            Self::Rules(reason) => reason as usize,
            Self::UnknownAction => REASONS,
            Self::Incomplete => REASONS + 1,
        }
    }
}

impl List {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 5] = [Self::Plugins, Self::Apps, Self::Skills, Self::Principals, Self::Other];

    /// As it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plugins => "plugins",
            Self::Apps => "apps",
            Self::Skills => "skills",
            Self::Principals => "principals",
            Self::Other => "other",
        }
    }

    /// Its counter.
    pub const fn counter(self) -> usize {
        DECISIONS + self as usize
    }
}

impl Counters {
    /// All of them zero.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Counts one, and says how many there were before it.
    pub fn count(&self, counter: usize) -> u64 {
        self.0.get(counter).map_or(0, |count| count.fetch_add(1, Ordering::Relaxed))
    }

    /// All numbers.
    pub fn read(&self) -> Counts {
        std::array::from_fn(|at| self.0.get(at).map_or(0, |count| count.load(Ordering::Relaxed)))
    }

    /// Adds to all of them.
    pub fn add(&self, counts: &Counts) {
        for (count, more) in self.0.iter().zip(counts) {
            count.fetch_add(*more, Ordering::Relaxed);
        }
    }

    /// Takes away what was added.
    pub fn take(&self, counts: &Counts) {
        for (count, less) in self.0.iter().zip(counts) {
            count.fetch_sub(*less, Ordering::Relaxed);
        }
    }
}

/// What came between two readings.
pub fn since(now: &Counts, before: &Counts) -> Counts {
    std::array::from_fn(|at| now.get(at).zip(before.get(at)).map_or(0, |(now, before)| now - before))
}

/// The numbers of decisions by reason.
pub fn answered(counts: &Counts) -> impl Iterator<Item = (&'static str, u64)> {
    Why::all().map(|why| (why.as_str(), counts.get(why.counter()).copied().unwrap_or(0)))
}

/// The numbers of lists by what they are of.
pub fn listed(counts: &Counts) -> impl Iterator<Item = (&'static str, u64)> {
    List::ALL.into_iter().map(|list| (list.as_str(), counts.get(list.counter()).copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_a_counter_of_its_own() {
        let counters = Why::all().map(Why::counter).chain(List::ALL.map(List::counter));
        assert_eq!(counters.collect::<Vec<_>>(), (0..COUNTERS).collect::<Vec<_>>());
        let counters = Counters::new();
        for why in Why::all() {
            assert_eq!((counters.count(why.counter()), counters.count(why.counter())), (0, 1));
        }
        let counts = counters.read();
        assert!(
            answered(&counts).all(|(_, count)| count == 2) && listed(&counts).all(|(_, count)| count == 0)
        );
        counters.count(List::Apps.counter());
        let since = since(&counters.read(), &counts);
        assert_eq!((since.iter().sum::<u64>(), since[List::Apps.counter()]), (1, 1));
        counters.take(&since);
        assert_eq!(counters.read(), counts);
    }
}
