//! Which of some consecutive events have which terms: made event by event, for a segment or for the newest events.

use std::collections::{BTreeMap, HashMap};

use kernel::{Result, clock::Time};
use roaring::RoaringBitmap;
use serde_json::Value;

use super::{
    codec::encode_bits,
    model::Entry,
    term::{Kind, Terms, spell, spell_keys},
};

/// Offsets by term, and times by offset.
#[derive(Debug, Default)]
pub struct Postings {
    /// Sorted, each once.
    offsets: HashMap<i64, Vec<u32>>,
    times: Vec<Time>,
    /// Digests that were computed: most values come again and again.
    known: HashMap<Kind, HashMap<String, i64>>,
}

impl Postings {
    /// How many events were added.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// When each event happened.
    pub fn times(&self) -> &[Time] {
        &self.times
    }

    /// Adds the next event: as it is recorded, and as far as it can be opened.
    pub fn add(&mut self, terms: &Terms, sealed: &Value, opened: &Value, time: Time) {
        let offset = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let Self { offsets, known, .. } = self;
        let mut add = |kind, value: &str| {
            let known = known.entry(kind).or_default();
            let digested = known.get(value).copied();
            let term = digested.unwrap_or_else(|| {
                let term = terms.term(kind, value);
                known.insert(value.to_owned(), term);
                term
            });
            let of_term = offsets.entry(term).or_default();
            if of_term.last() != Some(&offset) {
                of_term.push(offset);
            }
        };
        spell(Entry(opened), &mut add);
        spell_keys(sealed, &mut add);
        self.times.push(time);
    }

    /// Leaves out `events` events that are there no more; `time` stands in for theirs.
    pub fn skip(&mut self, events: usize, time: Time) {
        self.times.resize(self.len().saturating_add(events), time);
    }

    /// Forgets what only makes adding faster, and holds people's words.
    pub fn rest(&mut self) {
        self.known = HashMap::new();
    }

    /// The events that have a term.
    pub fn bits(&self, term: i64) -> RoaringBitmap {
        let offsets = self.offsets.get(&term);
        offsets.into_iter().flatten().copied().collect()
    }

    /// Every term with its events, as stored.
    pub fn into_terms(self) -> Result<BTreeMap<i64, Vec<u8>>> {
        let term = |(term, offsets): (i64, Vec<u32>)| Ok((term, encode_bits(offsets.into_iter().collect())?));
        self.offsets.into_iter().map(term).collect()
    }
}
