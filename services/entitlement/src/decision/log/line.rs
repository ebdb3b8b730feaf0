//! The lines of the record: what waits in memory, and what an event says.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering},
};

use kernel::{clock::Time, revision::Revision};
use serde::Serialize;

use super::count::{Counts, List, Why, answered, listed};

/// Different questions that are noted for a tenant between two writes; further ones are counted.
pub const ROOM: usize = 4_096;
/// The same for all tenants together.
pub const ROOM_OF_ALL: u64 = 65_536;
/// Rules that a line names.
pub const RULES: usize = 16;
/// Bytes of the lines of one event, well below what an entry can hold.
const LINES: usize = 24 * 1024;

/// What a line is about: equal ones are one line with a count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Id of the principal; empty where none is asked about, or where what was asked about cannot be one.
    pub principal: String,
    /// Name of what was asked for; empty where nothing is, or where it cannot be a name.
    pub plugin: String,
    /// What came of it.
    pub answer: Answer,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A yes or a no.
    Decision(Why),
    /// A list.
    List {
        /// Of what.
        list: List,
        /// How many are on it, over all pages.
        found: usize,
        /// Why nothing can be, where that is not for the rules to say.
        why: Option<Why>,
    },
}

/// What is noted about a question.
#[derive(Clone, Debug)]
pub struct Line {
    /// Names of the rules that the answer rests on.
    pub rules: Vec<String>,
    /// By which revision of the rules; none where they could not be read.
    pub revision: Option<Revision>,
    /// When it was first asked.
    pub first: Time,
    /// How often.
    pub count: u64,
}

/// What waits to be written.
#[derive(Default)]
pub struct Noted {
    /// By question.
    pub lines: HashMap<Question, Line>,
    /// Answers to note for which there was no room.
    pub unlisted: u64,
    /// What of the counters is on the record.
    pub written: Counts,
}

/// One line of the event, as it is recorded.
#[derive(Serialize)]
struct Recorded<'l> {
    #[serde(skip_serializing_if = "str::is_empty")]
    principal: &'l str,
    #[serde(skip_serializing_if = "str::is_empty")]
    plugin: &'l str,
    /// Of a list: what it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<&'static str>,
    /// Of a list: how many are on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The rules that it rests on.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entitlements: &'l [String],
    /// Counts of the tenant's changes and of the catalogue's.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// When it was first asked.
    time: Time,
    /// How often.
    count: u64,
}

/// What one event says.
#[derive(Default, Serialize)]
pub struct Entry {
    /// Decisions by reason, since the event before.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    answered: BTreeMap<&'static str, u64>,
    /// Lists by what they are of, since the event before.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    listed: BTreeMap<&'static str, u64>,
    /// Every no.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied: Vec<serde_json::Value>,
    /// Every list that nothing is on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listed_nothing: Vec<serde_json::Value>,
    /// A sample of the yeses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_sample: Vec<serde_json::Value>,
    /// A sample of the other lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listed_sample: Vec<serde_json::Value>,
    /// Answers that should be lines and are not, because there were too many at once.
    #[serde(skip_serializing_if = "is_zero")]
    unlisted: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Answer {
    /// Its counter.
    pub const fn counter(self) -> usize {
        match self {
            Self::Decision(why) => why.counter(),
            Self::List { list, .. } => list.counter(),
        }
    }

    /// Whether it is a line only if it is of the sample: a yes, or a list that something is on.
    pub fn is_sampled(self) -> bool {
        match self {
            Self::Decision(why) => why.allows(),
            Self::List { found, .. } => found > 0,
        }
    }
}

impl Noted {
    /// Adds to a question's line, if there is one or room for one. `all`: lines of all tenants.
    pub fn add(&mut self, question: Question, line: Line, all: &AtomicU64) {
        if let Some(known) = self.lines.get_mut(&question) {
            known.count += line.count;
            known.first = known.first.min(line.first);
            return;
        }
        if self.lines.len() >= ROOM || all.load(Ordering::Relaxed) >= ROOM_OF_ALL {
            self.unlisted += line.count;
            return;
        }
        all.fetch_add(1, Ordering::Relaxed);
        self.lines.insert(question, line);
    }
}

impl Entry {
    /// With the numbers that go before the lines.
    pub fn new(since: &Counts, unlisted: u64) -> Self {
        let some = |(_, count): &(_, u64)| *count > 0;
        let (answered, listed) =
            (answered(since).filter(some).collect(), listed(since).filter(some).collect());
        Self { answered, listed, unlisted, ..Self::default() }
    }

    /// Takes as many of `lines` as fit, at least one, and says how many.
    pub fn fill(&mut self, lines: &[(Question, Line)]) -> usize {
        let mut bytes = 0;
        for (taken, (question, line)) in lines.iter().enumerate() {
            let Ok(value) = serde_json::to_value(Recorded::new(question, line)) else { continue };
            bytes += value.to_string().len();
            if bytes > LINES && taken > 0 {
                return taken;
            }
            let sampled = question.answer.is_sampled();
            let place = match (question.answer, sampled) {
                (Answer::Decision(_), false) => &mut self.denied,
                (Answer::Decision(_), true) => &mut self.allowed_sample,
                (Answer::List { .. }, false) => &mut self.listed_nothing,
                (Answer::List { .. }, true) => &mut self.listed_sample,
            };
            place.push(value);
        }
        lines.len()
    }
}

impl<'l> Recorded<'l> {
    fn new(question: &'l Question, line: &'l Line) -> Self {
        let (list, found, why) = match question.answer {
            Answer::Decision(why) => (None, None, Some(why)),
            Answer::List { list, found, why } => (Some(list.as_str()), Some(found), why),
        };
        Self {
            principal: &question.principal,
            plugin: &question.plugin,
            list,
            found,
            reason: why.map(Why::as_str),
            entitlements: &line.rules,
            revision: line.revision.map(|r| format!("{}.{}", r.tenant, r.catalog)),
            time: line.first,
            count: line.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use ::decision::Reason;

    use super::*;

    fn question(n: usize) -> Question {
        Question {
            principal: format!("p{n}"),
            plugin: "marketplaces/m/plugins/p".to_owned(),
            answer: Answer::Decision(Why::Rules(Reason::ExplicitDeny)),
        }
    }

    fn line(rules: Vec<String>) -> Line {
        Line { rules, revision: None, first: Time::from_micros(7), count: 1 }
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let (all, mut noted) = (AtomicU64::new(0), Noted::default());
        for n in 0..ROOM + 3 {
            noted.add(question(n), line(Vec::new()), &all);
        }
        // known questions still count, on their own line
        noted.add(question(0), line(Vec::new()), &all);
        assert_eq!((noted.lines.len(), noted.unlisted), (ROOM, 3));
        assert_eq!(noted.lines[&question(0)].count, 2);
        // other tenants have taken all the room there is
        let mut other = Noted::default();
        all.store(ROOM_OF_ALL, Ordering::Relaxed);
        other.add(question(1), line(Vec::new()), &all);
        assert_eq!((other.lines.len(), other.unlisted), (0, 1));
    }

    #[test]
    fn an_event_takes_as_many_lines_as_fit_and_never_none() {
        let long = vec!["x".repeat(2_000); RULES];
        let lines: Vec<_> = (0..3).map(|n| (question(n), line(long.clone()))).collect();
        let mut entry = Entry::default();
        assert_eq!(entry.fill(&lines), 1, "one that is too large goes alone");
        let lines: Vec<_> = (0..1_000).map(|n| (question(n), line(Vec::new()))).collect();
        let mut entry = Entry::default();
        let taken = entry.fill(&lines);
        assert!((100..1_000).contains(&taken) && entry.denied.len() == taken, "{taken}");
        assert!(serde_json::to_string(&entry).unwrap().len() < LINES + 2_048);
        assert_eq!(Entry::default().fill(&[]), 0);
    }

    #[test]
    fn every_kind_of_answer_has_its_place() {
        let list = |found| Answer::List { list: List::Plugins, found, why: None };
        let answers = [
            Answer::Decision(Why::Incomplete),
            Answer::Decision(Why::Rules(Reason::Allowed)),
            list(0),
            list(2),
        ];
        let lines = answers.map(|answer| (Question { answer, ..question(1) }, line(Vec::new())));
        let mut entry = Entry::default();
        assert_eq!(entry.fill(&lines), 4);
        assert_eq!(entry.denied[0]["reason"], "INCOMPLETE");
        assert_eq!(entry.allowed_sample[0]["reason"], "ALLOWED");
        assert_eq!(
            (&entry.listed_nothing[0]["found"], &entry.listed_sample[0]["found"]),
            (&0.into(), &2.into())
        );
        assert!(entry.listed_nothing[0].get("reason").is_none(), "that is for the rules to say");
    }
}
