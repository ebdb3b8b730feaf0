//! Roots and proofs from tiles (RFC 6962, section 2.1).
//!
//! A proof needs a few tiles of a log. The functions `tiles_for_…` say which; the caller fetches them, from wherever
//! and however, into a [`TileSet`]; the function that computes the proof then finds them there.

use std::collections::BTreeSet;

use crate::{
    EMPTY_ROOT, Error, Hash, TileSet,
    append::right_edge,
    hash::{fold, node_hash},
    path::TileId,
};

/// Hashes that the proof of an inclusion in a tree that an index can count has at most.
pub const MAX_INCLUSION: usize = 64;

/// Neighbouring entries, one of the ranges that RFC 6962 splits a tree into.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: u64,
    end: u64,
}

/// A complete subtree: the `index`-th of those with two to the `height` entries.
#[derive(Debug, Clone, Copy)]
struct Subtree {
    height: u32,
    index: u64,
}

/// The tiles that [`root_hash`] needs.
pub fn tiles_for_root(size: u64) -> Vec<TileId> {
    right_edge(size)
}

/// The tiles that [`inclusion_proof`] needs.
pub fn tiles_for_inclusion(index: u64, size: u64) -> Result<Vec<TileId>, Error> {
    Ok(tiles_for(&inclusion_ranges(index, size)?, size))
}

/// The tiles that [`consistency_proof`] needs.
pub fn tiles_for_consistency(old: u64, new: u64) -> Result<Vec<TileId>, Error> {
    Ok(tiles_for(&consistency_ranges(old, new)?, new))
}

/// The root of the tree of the first `size` entries.
pub fn root_hash(tiles: &TileSet, size: u64) -> Result<Hash, Error> {
    range_hash(tiles, Range { start: 0, end: size })
}

/// The proof that the entry `index` is in the tree of `size` entries, the leaf's sibling first.
pub fn inclusion_proof(tiles: &TileSet, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
    inclusion_ranges(index, size)?.into_iter().map(|range| range_hash(tiles, range)).collect()
}

/// The proof that the tree of `new` entries begins with all entries of the tree of `old` entries. Empty when either
/// all or nothing was there before.
pub fn consistency_proof(tiles: &TileSet, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
    consistency_ranges(old, new)?.into_iter().map(|range| range_hash(tiles, range)).collect()
}

fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range>, Error> {
    if index >= size {
        return Err(Error::Index { index, size });
    }
    let mut ranges = Vec::new();
    let mut within = Range { start: 0, end: size };
    while let Some((left, right)) = within.split() {
        let sibling = if index < left.end { right } else { left };
        within = if index < left.end { left } else { right };
        ranges.push(sibling);
    }
    ranges.reverse();
    Ok(ranges)
}

fn consistency_ranges(old: u64, new: u64) -> Result<Vec<Range>, Error> {
    if old > new {
        return Err(Error::Sizes { old, new });
    }
    let mut ranges = Vec::new();
    if old == 0 {
        return Ok(ranges);
    }
    let mut within = Range { start: 0, end: new };
    while old < within.end
        && let Some((left, right)) = within.split()
    {
        let sibling = if old <= left.end { right } else { left };
        within = if old <= left.end { left } else { right };
        ranges.push(sibling);
    }
    // what begins at 0 and ends with the old tree is the old tree, whose root the verifier has
    if within.start > 0 {
        ranges.push(within);
    }
    ranges.reverse();
    Ok(ranges)
}

fn tiles_for(ranges: &[Range], size: u64) -> Vec<TileId> {
    let tiles: BTreeSet<_> = ranges
        .iter()
        .flat_map(|range| range.subtrees())
        .filter_map(|subtree| {
            let (level, index, ..) = subtree.place();
            TileId::in_tree(level, index, size)
        })
        .collect();
    tiles.into_iter().collect()
}

fn range_hash(tiles: &TileSet, range: Range) -> Result<Hash, Error> {
    let mut right: Option<Hash> = None;
    for subtree in range.subtrees().into_iter().rev() {
        let (level, index, start, count) = subtree.place();
        let run =
            tiles.run(level, index, start, count).ok_or_else(|| missing(level, index, start + count))?;
        let left = fold(run);
        right = Some(right.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(right.unwrap_or(EMPTY_ROOT))
}

fn missing(level: u8, index: u64, width: usize) -> Error {
    let id = u16::try_from(width).ok().and_then(|width| TileId::new(level, index, width).ok());
    Error::Missing { path: id.map(|id| id.path()).unwrap_or_default() }
}

impl Range {
    /// The two halves of a tree of more than one entry: the left one is the largest complete subtree that leaves
    /// something to the right one.
    fn split(self) -> Option<(Self, Self)> {
        let length = self.end.checked_sub(self.start)?;
        let left = 1_u64 << length.checked_sub(1)?.checked_ilog2()?;
        let middle = self.start.checked_add(left)?;
        Some((Self { end: middle, ..self }, Self { start: middle, ..self }))
    }

    /// The complete subtrees side by side, from the largest on the left to the smallest.
    fn subtrees(self) -> Vec<Subtree> {
        let mut found = Vec::new();
        let mut start = self.start;
        while let Some(height) = self.end.checked_sub(start).and_then(u64::checked_ilog2) {
            found.push(Subtree { height, index: start >> height });
            // the subtree lies within the range, so its end is no further than the range's
            start = start.saturating_add(1 << height);
        }
        found
    }
}

impl Subtree {
    /// Where its hash comes from: level and index of the tile, and the run of the tile's hashes that it spans.
    fn place(self) -> (u8, u64, usize, usize) {
        let within = self.height % 8;
        let level = u8::try_from(self.height / 8).unwrap_or(u8::MAX);
        let start = (self.index << within) & 0xff;
        (level, self.index >> (8 - within), usize::try_from(start).unwrap_or(usize::MAX), 1 << within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{LEAVES, SIZES, TILES};

    /// The tree as RFC 6962 defines it, by recursion over all leaves.
    fn defined_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => EMPTY_ROOT,
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&defined_root(left), &defined_root(right))
            }
        }
    }

    #[test]
    fn roots_are_those_of_the_definition() {
        for size in SIZES {
            let leaves = &LEAVES[..usize::try_from(size).unwrap()];
            assert_eq!(root_hash(&TILES, size), Ok(defined_root(leaves)), "{size}");
        }
    }

    #[test]
    fn the_tiles_that_are_named_are_all_that_is_needed() {
        let only = |ids: Vec<TileId>| -> TileSet {
            let tile = |id: TileId| {
                crate::Tile::new(id.level(), id.index(), TILES.get(id).unwrap().to_vec()).unwrap()
            };
            ids.into_iter().map(tile).collect()
        };
        for size in SIZES.into_iter().skip(1) {
            assert_eq!(root_hash(&only(tiles_for_root(size)), size), root_hash(&TILES, size));
            for index in [0, size / 3, size / 2, size - 1] {
                let tiles = only(tiles_for_inclusion(index, size).unwrap());
                assert_eq!(inclusion_proof(&tiles, index, size), inclusion_proof(&TILES, index, size));
                let tiles = only(tiles_for_consistency(index, size).unwrap());
                assert_eq!(consistency_proof(&tiles, index, size), consistency_proof(&TILES, index, size));
            }
        }
        let paths = tiles_for_inclusion(123, 70_000).unwrap().iter().map(TileId::path).collect::<Vec<_>>();
        assert_eq!(paths, ["tile/0/000", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17"]);
    }

    #[test]
    fn a_missing_tile_is_named() {
        let missing = Error::Missing { path: "tile/0/000.p/2".into() };
        assert_eq!(inclusion_proof(&TileSet::new(), 2, 3), Err(missing));
        assert_eq!(root_hash(&TileSet::new(), 256), Err(Error::Missing { path: "tile/1/000.p/1".into() }));
    }

    #[test]
    fn what_no_tree_has_is_not_proved() {
        assert_eq!(inclusion_proof(&TILES, 3, 3), Err(Error::Index { index: 3, size: 3 }));
        assert_eq!(tiles_for_inclusion(0, 0), Err(Error::Index { index: 0, size: 0 }));
        assert_eq!(consistency_proof(&TILES, 4, 3), Err(Error::Sizes { old: 4, new: 3 }));
        assert_eq!(tiles_for_consistency(1, 0), Err(Error::Sizes { old: 1, new: 0 }));
    }

    #[test]
    fn the_longest_proof_has_as_many_hashes_as_an_index_has_bits() {
        assert_eq!(inclusion_ranges(0, u64::MAX).unwrap().len(), MAX_INCLUSION);
    }
}
