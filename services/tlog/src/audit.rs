//! Checking a whole log against its checkpoint, from a mirror and with no one's help.
//!
//! The walk goes from the root down: the right edge must hash to the root, each tile to what the tile above says of
//! it, each entry to its leaf. So whatever is compared against is known to be good, and a difference is the fault of
//! what lies below: the very tile or the very entry. At any time at most a tile of each level is held.

use crate::{
    Checkpoint, Error, Hash,
    append::{edge_root, right_edge},
    hash::{fold, leaf_hash},
    path::{BundleId, Resource, TILE_WIDTH, TileId},
    tile::{Entries, Tile},
};

/// What was checked, all of it found to be what the checkpoint commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Entries that the checkpoint counts.
    pub size: u64,
    /// Entries that were hashed and found in the tree.
    pub entries: u64,
    /// Entries below the minimum index that are no longer there. Their hashes are, or the hash of them all.
    pub pruned: u64,
    /// Bundles that were read.
    pub bundles: u64,
    /// Tiles that were read, each recomputed from what lies below it.
    pub tiles: u64,
    /// The root that all of it leads to.
    pub root: Hash,
}

/// Checks all tiles and entries of a log. `read` gives the bytes of a resource, `None` when there is no such file, or
/// a sentence when it cannot be read. Of a partial tile or bundle that is gone the full one is asked for.
///
/// Entries below `minimum_index` may have been pruned: a bundle or full tile all of which lies below may be missing,
/// and is checked when it is not. The checkpoint must have been verified, by [`Checkpoint::open`].
///
/// The error says what is wrong first, from left to right: [`Error::Entry`] the index of an entry, [`Error::Tile`] or
/// [`Error::Missing`] a path. Only when the tiles agree among each other but not with the checkpoint, as for a
/// checkpoint of another log, it is [`Error::Root`].
pub fn audit<R>(checkpoint: &Checkpoint, minimum_index: u64, read: R) -> Result<Audited, Error>
where
    R: FnMut(Resource) -> Result<Option<Vec<u8>>, String>,
{
    let size = checkpoint.size();
    if minimum_index > size {
        return Err(Error::Index { index: minimum_index, size });
    }
    let root = *checkpoint.root();
    let checked = Audited { size, entries: 0, pruned: 0, bundles: 0, tiles: 0, root };
    let mut auditor = Auditor { read, minimum_index, checked };
    auditor.tree()?;
    Ok(auditor.checked)
}

struct Auditor<R> {
    read: R,
    minimum_index: u64,
    checked: Audited,
}

impl<R> Auditor<R>
where
    R: FnMut(Resource) -> Result<Option<Vec<u8>>, String>,
{
    fn tree(&mut self) -> Result<(), Error> {
        let mut edge = Vec::new();
        for id in right_edge(self.checked.size) {
            let hashes = self.tile(id)?.ok_or_else(|| Error::Missing { path: id.path() })?;
            edge.push((id, hashes));
        }
        let found = root_of(&edge);
        if found != self.checked.root {
            return Err(self.blame(&edge, found));
        }
        // from the highest level down is from left to right
        edge.iter().rev().try_for_each(|(id, hashes)| self.below(*id, hashes))
    }

    /// Checks what lies below a tile whose hashes are known to be good.
    fn below(&mut self, id: TileId, hashes: &[Hash]) -> Result<(), Error> {
        let Some(level) = id.level().checked_sub(1) else {
            return self.bundle(id.into(), hashes);
        };
        for (index, expected) in children(id).zip(hashes) {
            let child = TileId::new(level, index, TILE_WIDTH)?;
            match self.tile(child)? {
                Some(hashes) if fold(&hashes) == *expected => self.below(child, &hashes)?,
                Some(_) => {
                    let why = "does not hash to what the tile above says";
                    return Err(Error::Tile { path: child.path(), why });
                }
                None if child.end() <= self.minimum_index => {
                    self.checked.pruned += child.end() - child.start();
                }
                None => return Err(Error::Missing { path: child.path() }),
            }
        }
        Ok(())
    }

    /// Checks the entries of a bundle against good leaf hashes.
    fn bundle(&mut self, id: BundleId, leaves: &[Hash]) -> Result<(), Error> {
        let Some((from, bytes)) = self.entries(id)? else {
            if id.end() > self.minimum_index {
                return Err(Error::Missing { path: id.path() });
            }
            self.checked.pruned += u64::from(id.width());
            return Ok(());
        };
        let mut entries = Entries::new(&bytes);
        let bad = |index, why| Error::Entry { index, path: from.path(), why };
        let mut last = id.start();
        for (index, leaf) in (id.start()..).zip(leaves) {
            let entry = entries.next_entry().map_err(|_| bad(index, "is cut short"))?;
            if leaf_hash(entry) != *leaf {
                return Err(bad(index, "does not hash to its leaf in the tree"));
            }
            self.checked.entries += 1;
            last = index;
        }
        if from == id {
            entries.finish().map_err(|_| bad(last, "is followed by bytes of no entry"))?;
        }
        Ok(())
    }

    /// The right edge does not hash to the root. The tile is to blame whose hashes, computed anew from what lies below
    /// it, give the root; when no such repair does, the checkpoint is of another tree.
    fn blame(&mut self, edge: &[(TileId, Vec<Hash>)], found: Hash) -> Error {
        let mut all = edge.to_vec();
        let mut first_bad = None;
        for (place, (id, hashes)) in edge.iter().enumerate().rev() {
            let Some(anew) = self.recompute(*id).filter(|anew| anew != hashes) else { continue };
            let mut repaired = edge.to_vec();
            for tiles in [&mut repaired, &mut all] {
                if let Some((_, hashes)) = tiles.get_mut(place) {
                    hashes.clone_from(&anew);
                }
            }
            if root_of(&repaired) == self.checked.root {
                return not_the_root(*id);
            }
            first_bad = first_bad.or(Some(*id));
        }
        match first_bad {
            Some(id) if root_of(&all) == self.checked.root => not_the_root(id),
            _ => Error::Root { expected: self.checked.root, found },
        }
    }

    /// The hashes of a tile from the tiles or the bundle below it, if all of that can be read.
    fn recompute(&mut self, id: TileId) -> Option<Vec<Hash>> {
        if let Some(level) = id.level().checked_sub(1) {
            let child = |index| TileId::new(level, index, TILE_WIDTH).ok();
            return children(id)
                .map(|index| self.tile(child(index)?).ok()?.map(|hashes| fold(&hashes)))
                .collect();
        }
        let (_, bytes) = self.entries(id.into()).ok()??;
        let mut entries = Entries::new(&bytes);
        (0..id.width()).map(|_| entries.next_entry().ok().map(leaf_hash)).collect()
    }

    fn tile(&mut self, id: TileId) -> Result<Option<Vec<Hash>>, Error> {
        let mut from = id;
        let mut bytes = self.fetch(Resource::Tile(id))?;
        if bytes.is_none() && !id.is_full() {
            from = id.full();
            bytes = self.fetch(Resource::Tile(from))?;
        }
        let Some(bytes) = bytes else { return Ok(None) };
        let why = "does not have as many hashes as its name says";
        let tile = Tile::decode(from, &bytes).map_err(|_| Error::Tile { path: from.path(), why })?;
        self.checked.tiles += 1;
        Ok(Some(tile.hashes().iter().take(id.width().into()).copied().collect()))
    }

    fn entries(&mut self, id: BundleId) -> Result<Option<(BundleId, Vec<u8>)>, Error> {
        let mut from = id;
        let mut bytes = self.fetch(Resource::Entries(id))?;
        if bytes.is_none() && !id.is_full() {
            from = id.full();
            bytes = self.fetch(Resource::Entries(from))?;
        }
        self.checked.bundles += u64::from(bytes.is_some());
        Ok(bytes.map(|bytes| (from, bytes)))
    }

    fn fetch(&mut self, resource: Resource) -> Result<Option<Vec<u8>>, Error> {
        (self.read)(resource).map_err(|why| Error::Unreadable { path: resource.path(), why })
    }
}

fn root_of(edge: &[(TileId, Vec<Hash>)]) -> Hash {
    edge_root(edge.iter().map(|(_, hashes)| hashes.as_slice()))
}

fn not_the_root(id: TileId) -> Error {
    Error::Tile { path: id.path(), why: "does not lead to the root of the checkpoint" }
}

/// The indexes of the tiles below the hashes of a tile.
fn children(id: TileId) -> impl Iterator<Item = u64> {
    let first = id.index().saturating_mul(u64::from(TILE_WIDTH));
    first..first.saturating_add(u64::from(id.width()))
}

#[cfg(test)]
mod tests;
