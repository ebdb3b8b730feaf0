//! Growing a tree from its right edge, without reading what lies left of it.

use crate::{
    EMPTY_ROOT, Error, Hash,
    hash::{fold, node_hash},
    path::{LEVELS, TILE_WIDTH, TileId, hashes_at},
    tile::Tile,
};

/// The partial tiles of a tree of `size` entries, lowest level first: what an [`Appender`] starts from, and all that
/// the root needs. At most eight.
pub fn right_edge(size: u64) -> Vec<TileId> {
    (0..LEVELS)
        .filter_map(|level| TileId::in_tree(level, hashes_at(level, size) / u64::from(TILE_WIDTH), size))
        .collect()
}

/// A tree that grows. It holds the partial tile of each level, at most 255 hashes a level, and the tiles that changed
/// since they were last taken. An append costs one hash of two neighbours on average.
#[derive(Debug, Clone)]
pub struct Appender {
    size: u64,
    edge: Vec<Level>,
    filled: Vec<Tile>,
}

#[derive(Debug, Clone, Default)]
struct Level {
    hashes: Vec<Hash>,
    changed: bool,
}

impl Appender {
    /// A tree of `size` entries from the tiles that [`right_edge`] names: each of them once and no others, else
    /// [`Error::Edge`] or [`Error::Missing`]. Whether the tree is the right one, its [`Appender::root`] tells.
    pub fn new(size: u64, tiles: impl IntoIterator<Item = Tile>) -> Result<Self, Error> {
        let mut wanted = right_edge(size);
        let mut edge = vec![Level::default(); LEVELS.into()];
        for tile in tiles {
            let place = wanted.iter().position(|id| *id == tile.id());
            let place = place.ok_or_else(|| Error::Edge(tile.id().path()))?;
            wanted.swap_remove(place);
            if let Some(level) = edge.get_mut(usize::from(tile.id().level())) {
                level.hashes = tile.hashes().to_vec();
            }
        }
        match wanted.first() {
            Some(id) => Err(Error::Missing { path: id.path() }),
            None => Ok(Self { size, edge, filled: Vec::new() }),
        }
    }

    /// A tree without entries.
    pub fn empty() -> Self {
        Self { size: 0, edge: vec![Level::default(); LEVELS.into()], filled: Vec::new() }
    }

    /// Adds a leaf and returns its index. [`Error::Full`] at `u64::MAX` entries.
    pub fn append(&mut self, leaf: Hash) -> Result<u64, Error> {
        let index = self.size;
        self.size = index.checked_add(1).ok_or(Error::Full)?;
        let mut carried = leaf;
        for (number, level) in (0..).zip(&mut self.edge) {
            level.hashes.push(carried);
            level.changed = true;
            if level.hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            carried = fold(&level.hashes);
            let hashes = std::mem::take(&mut level.hashes);
            // the tile that this leaf completes is the one that holds it
            let index = hashes_at(number, index) / u64::from(TILE_WIDTH);
            self.filled.push(Tile::new(number, index, hashes)?);
        }
        Ok(index)
    }

    /// Adds leaves in order and returns the index of the first: the size before. Nothing is added when there is no
    /// room for all of them.
    pub fn append_all<I>(&mut self, leaves: I) -> Result<u64, Error>
    where
        I: IntoIterator<Item = Hash>,
        I::IntoIter: ExactSizeIterator,
    {
        let leaves = leaves.into_iter();
        let first = self.size;
        u64::try_from(leaves.len()).ok().and_then(|n| first.checked_add(n)).ok_or(Error::Full)?;
        for leaf in leaves {
            self.append(leaf)?;
        }
        Ok(first)
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hash of the whole tree.
    pub fn root(&self) -> Hash {
        edge_root(self.edge.iter().map(|level| level.hashes.as_slice()))
    }

    /// Every tile that changed since the last call, full or partial, by level and index: what to store with the new
    /// entries. A partial tile replaces the narrower one of the same level and index.
    pub fn take_tiles(&mut self) -> Vec<Tile> {
        let mut tiles = std::mem::take(&mut self.filled);
        for (number, level) in (0..).zip(&mut self.edge) {
            if std::mem::take(&mut level.changed) {
                let index = hashes_at(number, self.size) / u64::from(TILE_WIDTH);
                // no hashes: the level's last tile was filled, and is among the tiles already
                tiles.extend(Tile::new(number, index, level.hashes.clone()));
            }
        }
        tiles.sort_unstable_by_key(Tile::id);
        tiles
    }
}

/// The root above the partial tiles of a tree, lowest level first. From right to left: each complete subtree, the
/// smallest first, is the left neighbour of all to its right.
pub(crate) fn edge_root<'a>(levels: impl IntoIterator<Item = &'a [Hash]>) -> Hash {
    let mut right: Option<Hash> = None;
    for mut hashes in levels {
        while let Some(start) =
            hashes.len().checked_sub(lowest_bit(hashes.len())).filter(|_| !hashes.is_empty())
        {
            let (rest, subtree) = hashes.split_at_checked(start).unwrap_or_default();
            let left = fold(subtree);
            right = Some(right.map_or(left, |right| node_hash(&left, &right)));
            hashes = rest;
        }
    }
    right.unwrap_or(EMPTY_ROOT)
}

fn lowest_bit(n: usize) -> usize {
    n & n.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf_hash;

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    #[test]
    fn the_roots_of_the_reference_tests() {
        // the eight leaves and their roots in the tests of google/certificate-transparency (merkletree)
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Appender::empty();
        assert_eq!(tree.root(), EMPTY_ROOT);
        for (input, root) in inputs.iter().zip(roots) {
            tree.append(leaf_hash(input)).unwrap();
            assert_eq!(tree.root().to_hex(), root);
        }
    }

    #[test]
    fn a_tree_continued_from_its_edge_is_the_tree_grown_at_once() {
        let leaves = leaves(66_000);
        let mut whole = Appender::empty();
        whole.append_all(leaves.iter().copied()).unwrap();
        for cut in [0, 1, 255, 256, 257, 512, 65_535, 65_536, 65_537] {
            let (before, after) = leaves.split_at(cut);
            let mut first = Appender::empty();
            first.append_all(before.iter().copied()).unwrap();
            let edge = right_edge(first.size());
            let tiles = first.take_tiles().into_iter().filter(|tile| edge.contains(&tile.id()));
            let mut second = Appender::new(first.size(), tiles).unwrap();
            assert_eq!((second.root(), second.size()), (first.root(), cut as u64));
            assert_eq!(second.take_tiles(), []);
            assert_eq!(second.append_all(after.iter().copied()), Ok(cut as u64));
            assert_eq!((second.root(), second.size()), (whole.root(), whole.size()));
        }
    }

    #[test]
    fn tiles_are_taken_once_and_when_they_changed() {
        let mut tree = Appender::empty();
        assert_eq!(tree.take_tiles(), []);
        let mut at = 0;
        for step in [1, 254, 1, 1, 300, 65_000, 0, 3] {
            tree.append_all(leaves(step)).unwrap();
            let taken: Vec<_> = tree.take_tiles().iter().map(Tile::id).collect();
            let added: Vec<_> = crate::tiles_added(at, tree.size()).collect();
            assert_eq!(taken, added, "from {at} to {}", tree.size());
            at = tree.size();
        }
    }

    #[test]
    fn the_edge_is_checked() {
        let mut tree = Appender::empty();
        tree.append_all(leaves(300)).unwrap();
        let tiles = tree.take_tiles();
        let paths: Vec<_> = tiles.iter().map(|tile| tile.id().path()).collect();
        assert_eq!(paths, ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"]);
        let missing = Appender::new(300, tiles[2..].to_vec()).unwrap_err();
        assert_eq!(missing, Error::Missing { path: "tile/0/001.p/44".into() });
        assert_eq!(Appender::new(300, tiles.clone()).unwrap_err(), Error::Edge("tile/0/000".into()));
        let twice = [tiles[1].clone(), tiles[1].clone()];
        assert_eq!(Appender::new(300, twice).unwrap_err(), Error::Edge("tile/0/001.p/44".into()));
        assert_eq!(
            Appender::new(301, tiles[1..].to_vec()).unwrap_err(),
            Error::Edge("tile/0/001.p/44".into())
        );
    }

    #[test]
    fn a_full_tree_takes_no_more() {
        let tiles = right_edge(u64::MAX);
        assert_eq!(tiles.len(), 8);
        let tiles =
            tiles.iter().map(|id| Tile::new(id.level(), id.index(), leaves(id.width().into())).unwrap());
        let mut tree = Appender::new(u64::MAX, tiles).unwrap();
        let root = tree.root();
        assert_eq!(tree.append(root), Err(Error::Full));
        assert_eq!(tree.append_all([root]), Err(Error::Full));
        assert_eq!((tree.size(), tree.root(), tree.take_tiles()), (u64::MAX, root, vec![]));
    }
}
