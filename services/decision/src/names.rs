//! Ids as numbers: each kind of fact has its own, counted from 0.

use std::{hash::BuildHasher as _, ops::Range};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::{CompileError, Kind, Result};

/// Distinct names in one text, found by hash. Names are never taken out, so a number keeps its meaning for as long as
/// snapshots descend from one another; compiling anew forgets those that nothing bears any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    text: String,
    ends: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Names {
    /// The number of `name`.
    pub fn get(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let bytes = |at| self.text.as_bytes().get(span(&self.ends, at));
        self.index.find(hash, |&at| bytes(at) == Some(name.as_bytes())).copied()
    }

    /// The number of `name`, given out if it has none.
    pub fn intern(&mut self, kind: Kind, name: &str) -> Result<u32> {
        if let Some(at) = self.get(name) {
            return Ok(at);
        }
        let at = number(kind, self.ends.len())?;
        let end = number(kind, self.text.len().saturating_add(name.len()))?;
        self.text.push_str(name);
        self.ends.push(end);
        let Self { text, ends, index, hasher } = self;
        let hash = hasher.hash_one(name);
        index.insert_unique(hash, at, |&at| hasher.hash_one(slice(text, ends, at)));
        Ok(at)
    }

    /// The name of a number; empty for one that was never given out.
    pub fn name(&self, at: u32) -> &str {
        slice(&self.text, &self.ends, at)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + 4 * self.ends.capacity() + self.index.allocation_size()
    }
}

fn slice<'t>(text: &'t str, ends: &[u32], at: u32) -> &'t str {
    text.get(span(ends, at)).unwrap_or_default()
}

fn span(ends: &[u32], at: u32) -> Range<usize> {
    let at = at as usize;
    let begin = at.checked_sub(1).map_or(0, |before| ends.get(before).copied().unwrap_or_default());
    begin as usize..ends.get(at).copied().unwrap_or_default() as usize
}

/// A count as the 32 bits in which it is kept; one short of all of them, which stand for none.
pub(crate) fn number(kind: Kind, count: usize) -> Result<u32> {
    u32::try_from(count).ok().filter(|&n| n < u32::MAX).ok_or(CompileError::Size(kind))
}

/// Facts of one kind by number. A name can be known before, or without, the fact that bears it.
#[derive(Clone, Debug)]
pub(crate) struct Registry<T> {
    pub kind: Kind,
    names: Names,
    facts: Vec<Option<T>>,
}

impl<T> Registry<T> {
    pub fn new(kind: Kind) -> Self {
        Self { kind, names: Names::default(), facts: Vec::new() }
    }

    /// The number of an id, whether or not there is a fact that bears it.
    pub fn number(&mut self, id: &str) -> Result<u32> {
        if id.is_empty() {
            return Err(CompileError::Empty(self.kind));
        }
        let at = self.names.intern(self.kind, id)?;
        while self.facts.len() <= at as usize {
            self.facts.push(None);
        }
        Ok(at)
    }

    /// Gives the first number out under a name that nobody else can have.
    pub fn reserve(&mut self) -> Result<()> {
        self.names.intern(self.kind, "")?;
        self.facts.push(None);
        Ok(())
    }

    /// The number of an id that has one.
    pub fn lookup(&self, id: &str) -> Option<u32> {
        self.names.get(id).filter(|_| !id.is_empty())
    }

    /// The numbers of `ids`, sorted, each once.
    pub fn numbers(&mut self, ids: &[String]) -> Result<Box<[u32]>> {
        let mut numbers = ids.iter().map(|id| self.number(id)).collect::<Result<Vec<_>>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers.into())
    }

    pub fn put(&mut self, at: u32, fact: T) {
        if let Some(slot) = self.facts.get_mut(at as usize) {
            *slot = Some(fact);
        }
    }

    /// Takes out the fact of that id.
    pub fn remove(&mut self, id: &str) -> Option<T> {
        let at = self.names.get(id)?;
        self.facts.get_mut(at as usize)?.take()
    }

    pub fn get(&self, at: u32) -> Option<&T> {
        self.facts.get(at as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.facts.get_mut(at as usize)?.as_mut()
    }

    pub fn find(&self, id: &str) -> Option<(u32, &T)> {
        let at = self.names.get(id)?;
        Some((at, self.get(at)?))
    }

    pub fn name(&self, at: u32) -> &str {
        self.names.name(at)
    }

    /// How many numbers are given out.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Every fact with its number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.facts).filter_map(|(at, fact)| Some((at, fact.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(&mut self.facts).filter_map(|(at, fact)| Some((at, fact.as_mut()?)))
    }

    /// Refuses a number that no fact bears, named by fact `by` of `kind`.
    pub fn known(&self, at: u32, kind: Kind, by: &str) -> Result<()> {
        if self.get(at).is_some() {
            return Ok(());
        }
        Err(CompileError::Unknown {
            kind: self.kind,
            id: self.name(at).to_owned(),
            by: format!("{kind} `{by}`"),
        })
    }

    pub fn all_known(&self, numbers: &[u32], kind: Kind, by: &str) -> Result<()> {
        numbers.iter().try_for_each(|&at| self.known(at, kind, by))
    }

    /// Bytes in memory, without what facts point to.
    pub fn bytes(&self) -> usize {
        self.names.bytes() + self.facts.capacity() * size_of::<Option<T>>()
    }
}
