//! What can happen: steps, and how a seed makes them.

use proptest::{collection::vec, prelude::*};

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Maria,
    Sam,
    /// The tenant's own credential, for nobody in particular.
    Nobody,
}

/// An event: all that it says follows from its number, and whether it is a forgery of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub number: u16,
    /// Says something else than the event of this number usually does.
    pub forged: bool,
}

/// Different events that a trace has at most: few, so that the same come again and again, and late.
const NUMBERS: u16 = 160;
const DAY: i64 = 1_440;

impl Event {
    /// Minutes from the start: over 36 days back, of which one is out of the window, and a week ahead, which comes with time. The
    /// clocks of London and New York go back in it.
    pub fn minute(self) -> i64 {
        let spread = i64::from(self.number) * 7_919 % (43 * DAY);
        spread - 36 * DAY
    }

    pub fn tokens(self) -> i64 {
        i64::from(self.number % 11) + if self.forged { 1_000 } else { 1 }
    }

    pub fn model(self) -> &'static str {
        ["m0", "m1", "m2"][usize::from(self.number % 3)]
    }
}

/// Events that one request sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub who: Who,
    pub events: Vec<Event>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request is sent and answered.
    Send(Batch),
    /// A request whose answer nobody reads, and which is sent once more.
    Lost(Batch),
    /// Time goes by, in minutes.
    Wait(u32),
    /// Everything is rolled up.
    Roll,
    /// Whoever rolls up is gone at this of its steps, and another one has to take over.
    Crash(u32),
    /// The server stops, and starts with a clock that is so many seconds behind.
    Restart(u32),
    /// Questions are asked.
    Ask,
}

fn batch() -> impl Strategy<Value = Batch> {
    let event =
        (0..NUMBERS, prop::bool::weighted(0.04)).prop_map(|(number, forged)| Event { number, forged });
    let who = prop_oneof![4 => Just(Who::Maria), 3 => Just(Who::Sam), 1 => Just(Who::Nobody)];
    (who, vec(event, 1..24)).prop_map(|(who, events)| Batch { who, events })
}

/// Any trace.
pub fn trace() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => batch().prop_map(Step::Send),
        2 => batch().prop_map(Step::Lost),
        2 => (1_u32..3 * 1_440).prop_map(Step::Wait),
        3 => Just(Step::Roll),
        3 => (0_u32..60).prop_map(Step::Crash),
        1 => (0_u32..240).prop_map(Step::Restart),
        2 => Just(Step::Ask),
    ];
    vec(step, 6..36)
}
