//! What the tests share: logs in memory, keys, and damage.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::{
    Appender, Checkpoint, Ed25519Signer, Hash, Resource, Signer, Tile, TileSet, Vkey, bundles_added,
    encode_bundle, leaf_hash, tiles_added,
};

pub const ORIGIN: &str = "provost.example/tenants/7";

pub fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(ORIGIN, &[seed; 32]).unwrap()
}

pub fn vkey(seed: u8) -> Vkey {
    signer(seed).vkey().clone()
}

pub fn entry(index: u64) -> Vec<u8> {
    format!("{{\"v\":1,\"n\":{index}}}").into_bytes()
}

/// Every tile of a tree of 70,000 entries, full tiles and those of its right edge.
pub static TILES: LazyLock<TileSet> = LazyLock::new(|| {
    let mut tree = Appender::empty();
    tree.append_all(LEAVES.iter().copied()).unwrap();
    tree.take_tiles().into_iter().collect()
});

pub static LEAVES: LazyLock<Vec<Hash>> =
    LazyLock::new(|| (0..70_000).map(|n| leaf_hash(&entry(n))).collect());

/// Sizes where something changes: at nothing, at a full tile, at a full tile of the second level.
pub const SIZES: [u64; 17] =
    [0, 1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, 70_000];

/// A directory as a mirror writes it.
#[derive(Clone)]
pub struct Mirror {
    pub files: BTreeMap<String, Vec<u8>>,
    pub checkpoint: Checkpoint,
}

impl Mirror {
    pub fn of(size: u64) -> Self {
        let mut files = BTreeMap::new();
        let mut tree = Appender::empty();
        let at = |index: u64| (0..size).map(move |n| n + index * 256);
        for id in bundles_added(0, size) {
            let entries: Vec<_> = at(id.index()).take(id.width().into()).map(entry).collect();
            tree.append_all(entries.iter().map(|entry| leaf_hash(entry))).unwrap();
            files.insert(id.path(), encode_bundle(&entries).unwrap());
        }
        let tiles: TileSet = tree.take_tiles().into_iter().collect();
        for id in tiles_added(0, size) {
            let hashes = tiles.get(id).unwrap().to_vec();
            files.insert(id.path(), Tile::new(id.level(), id.index(), hashes).unwrap().encode());
        }
        Self { files, checkpoint: Checkpoint::new(ORIGIN, size, tree.root()).unwrap() }
    }

    /// What the auditor reads.
    pub fn read(&self, resource: Resource) -> Option<Vec<u8>> {
        self.files.get(&resource.path()).cloned()
    }
}

/// The text with one bit of it flipped.
pub fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}
