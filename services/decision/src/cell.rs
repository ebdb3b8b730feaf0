//! What the rules of one role say of one plugin, app or skill, in eleven bits.

use std::{
    ops::{BitOr as _, BitOrAssign},
    sync::Arc,
};

use crate::model::{Effect, MaxStage, Stage};

/// A set of things said: one bit for every effect and ceiling of what is allowed without further condition, one for a
/// deny without condition, one for rules that must be looked at when the question is asked.
///
/// The union of two cells says what both say, so the cells of all roles of a principal make one cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell(u16);

const CEILINGS: u16 = 3;
const DENIED: u16 = 1 << 9;
const ASIDE: u16 = 1 << 10;

impl Cell {
    /// A deny, always.
    pub const DENIED: Self = Self(DENIED);
    /// Rules that have a seat or a window.
    pub const ASIDE: Self = Self(ASIDE);

    /// An allow up to `ceiling`, always. Of a deny nothing: that is [`Cell::DENIED`].
    pub fn allowed(effect: Effect, ceiling: MaxStage) -> Self {
        let row = match effect {
            Effect::Denied => return Self::default(),
            Effect::Available => 0,
            Effect::Default => 1,
            Effect::Required => 2,
        };
        let column = match ceiling {
            MaxStage::Live => 0,
            MaxStage::Preview => 1,
            MaxStage::Alpha => 2,
        };
        Self(1 << (row * CEILINGS + column))
    }

    pub fn denies(self) -> bool {
        self.0 & DENIED != 0
    }

    pub fn is_aside(self) -> bool {
        self.0 & ASIDE != 0
    }

    /// Whether something is allowed at some stage.
    pub fn allows_some_stage(self) -> bool {
        self.0 & (DENIED - 1) != 0
    }

    /// The strongest effect that is allowed at `stage`.
    pub fn effect(self, stage: Stage) -> Option<Effect> {
        let columns =
            (0..).zip(MaxStage::ALL).map(|(column, ceiling)| u16::from(ceiling.admits(stage)) << column);
        let columns = columns.fold(0, u16::bitor);
        let strongest = [(2, Effect::Required), (1, Effect::Default), (0, Effect::Available)];
        strongest
            .into_iter()
            .find(|(row, _)| self.0 & (columns << (row * CEILINGS)) != 0)
            .map(|(_, effect)| effect)
    }
}

impl BitOrAssign for Cell {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The cells of one role, by number of plugin or part: those that say something, or all of them where that is smaller.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    Few(Arc<[(u32, Cell)]>),
    All(Arc<[Cell]>),
}

/// A listed cell takes four times as much as one in a row of all of them; beyond a sixteenth listing them is also slower.
const FEW: usize = 16;

impl Cells {
    /// The union of what is `said`.
    pub fn new(mut said: Vec<(u32, Cell)>) -> Self {
        // stable, which is fast on what is made of sorted runs
        said.sort_by_key(|(at, _)| *at);
        said.dedup_by(|(at, cell), (kept_at, kept)| {
            let same = at == kept_at;
            if same {
                *kept |= *cell;
            }
            same
        });
        let length = said.last().map_or(0, |(at, _)| *at as usize + 1);
        if said.len() * FEW < length {
            return Self::Few(said.into());
        }
        let mut all = vec![Cell::default(); length];
        for (at, cell) in said {
            if let Some(slot) = all.get_mut(at as usize) {
                *slot = cell;
            }
        }
        Self::All(all.into())
    }

    /// The same with these cells, sorted by number, in place of theirs.
    pub fn with(&self, new: Vec<(u32, Cell)>) -> Self {
        let old = |(at, cell): &(u32, Cell)| {
            *cell != Cell::default() && new.binary_search_by_key(at, |(at, _)| *at).is_err()
        };
        let mut said: Vec<_> = match self {
            Self::All(all) => (0..).zip(all.iter().copied()).filter(old).collect(),
            Self::Few(few) => few.iter().copied().filter(old).collect(),
        };
        said.extend(new.into_iter().filter(|(_, cell)| *cell != Cell::default()));
        Self::new(said)
    }

    /// The cell of `at`.
    #[inline]
    pub fn get(&self, at: u32) -> Cell {
        match self {
            Self::All(all) => all.get(at as usize).copied().unwrap_or_default(),
            Self::Few(few) => {
                let found = few.binary_search_by_key(&at, |(at, _)| *at).ok();
                found.and_then(|found| few.get(found)).map_or_else(Cell::default, |(_, cell)| *cell)
            }
        }
    }

    /// Adds all cells to those of `union`, which has one for every number.
    pub fn add_to(&self, union: &mut [Cell]) {
        match self {
            Self::All(all) => union.iter_mut().zip(all.iter()).for_each(|(sum, cell)| *sum |= *cell),
            Self::Few(few) => {
                for (at, cell) in few.iter() {
                    if let Some(sum) = union.get_mut(*at as usize) {
                        *sum |= *cell;
                    }
                }
            }
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::All(all) => size_of_val(&**all),
            Self::Few(few) => size_of_val(&**few),
        }
    }
}

impl Default for Cells {
    fn default() -> Self {
        Self::Few(Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_every_effect_with_its_ceiling() {
        let mut cell = Cell::allowed(Effect::Required, MaxStage::Live);
        cell |= Cell::allowed(Effect::Available, MaxStage::Alpha);
        let effects = [Stage::Alpha, Stage::Preview, Stage::Live, Stage::Deprecated, Stage::Withdrawn]
            .map(|stage| cell.effect(stage));
        let (a, r) = (Some(Effect::Available), Some(Effect::Required));
        assert_eq!(effects, [a, a, r, r, None]);
        assert!(!cell.denies() && !cell.is_aside() && cell.allows_some_stage());
        assert!(!Cell::DENIED.allows_some_stage() && !Cell::ASIDE.allows_some_stage());
    }

    #[test]
    fn few_and_all_cells_answer_alike() {
        let cell = Cell::allowed(Effect::Default, MaxStage::Preview);
        for said in [vec![], vec![(3, cell)], vec![(3, cell), (900, Cell::DENIED), (3, Cell::ASIDE)]] {
            let few = Cells::new(said.clone());
            let filler = (0..1_000).map(|at| (at, Cell::default()));
            let all = Cells::new(said.into_iter().chain(filler).collect());
            assert!(matches!(all, Cells::All(_)));
            let (mut left, mut right) = (vec![Cell::default(); 1_000], vec![Cell::default(); 1_000]);
            few.add_to(&mut left);
            all.add_to(&mut right);
            assert_eq!(left, right);
            assert!((0..1_100).all(|at| few.get(at) == all.get(at)));
        }
    }
}
