//! A log of ours, read by the crates `tlog_tiles` and `signed_note`, which others wrote. Of the conformance suite and of the
//! end-to-end tests.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use signed_note::{StandardVerifier, VerifierList};
use tlog_tiles::{
    Checkpoint, Hash, HashReader as _, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash, stored_hash_index,
};

/// Files of a mirror by their paths.
#[derive(Clone)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl TileReader for Files {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // theirs are `tile/8/…`: the height is part of the path
        let bytes = |tile: &Tile| self.0.get(&tile.path().replacen("tile/8/", "tile/", 1)).cloned();
        tiles.iter().map(|tile| bytes(tile).ok_or(tlog_tiles::Error::InvalidTile)).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// The files with one replaced.
struct Altered<'a> {
    files: &'a Files,
    path: &'a str,
    bytes: Vec<u8>,
}

impl TileReader for Altered<'_> {
    fn height(&self) -> u8 {
        self.files.height()
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            if tile.path().replacen("tile/8/", "tile/", 1) == self.path {
                return Ok(self.bytes.clone());
            }
            self.files.read_tiles(std::slice::from_ref(tile)).map(|mut one| one.remove(0))
        };
        tiles.iter().map(read).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// The checkpoint, if the note is one that the key signed.
pub fn opened(note: &[u8], vkey: &str) -> Option<Checkpoint> {
    let verifiers = VerifierList::new(vec![Box::new(StandardVerifier::new(vkey).unwrap())]);
    let note = signed_note::Note::from_bytes(note).ok()?;
    note.verify(&verifiers).ok()?;
    Checkpoint::from_bytes(note.text()).ok()
}

/// A log whose checkpoint is good.
pub struct Log {
    files: Files,
    vkey: String,
    head: Checkpoint,
}

impl Log {
    /// None when the key did not sign the checkpoint among the files.
    pub fn open(files: Files, vkey: &str) -> Option<Self> {
        let head = opened(files.0.get("checkpoint")?, vkey)?;
        Some(Self { files, vkey: vkey.to_owned(), head })
    }

    /// Entries.
    pub fn size(&self) -> u64 {
        self.head.size()
    }

    fn reader<'a, R: TileReader>(&self, files: &'a R) -> TileHashReader<'a> {
        TileHashReader::new(self.head.size(), *self.head.hash(), files)
    }

    /// Every leaf of the tree, once each entry is found to hash to it, and the first and last of every bundle are proved.
    pub fn leaves(&self) -> Result<Vec<(u64, Hash)>, String> {
        let through = self.reader(&self.files);
        let mut leaves = Vec::new();
        for bundle in tlog::bundles_added(0, self.size()) {
            let bytes =
                self.files.0.get(&bundle.path()).ok_or_else(|| format!("{} is missing", bundle.path()))?;
            let entries = tlog::decode_bundle(bytes, bundle.width()).map_err(|e| e.to_string())?;
            let all = bundle.start()..bundle.start() + u64::from(bundle.width());
            let asked: Vec<_> = all.clone().map(|n| stored_hash_index(0, n)).collect();
            let read = through.read_hashes(&asked).map_err(|e| format!("{}: {e}", bundle.path()))?;
            for ((index, entry), leaf) in all.clone().zip(entries).zip(read) {
                if record_hash(entry).0 != leaf.0 {
                    return Err(format!("entry {index} does not hash to its leaf"));
                }
                leaves.push((index, leaf));
            }
            let ends = [all.start, all.end - 1].map(|n| leaves[usize::try_from(n).unwrap()]);
            self.prove(&self.files, &ends).map_err(|e| format!("{}: {e}", bundle.path()))?;
        }
        if leaves.len() as u64 == self.size() { Ok(leaves) } else { Err(format!("{} leaves", leaves.len())) }
    }

    /// Whether the log extends each of the earlier checkpoints.
    pub fn extends(&self, earlier: &[Checkpoint]) -> Result<(), String> {
        let through = self.reader(&self.files);
        for old in earlier {
            let proof = prove_tree(self.size(), old.size(), &through).map_err(|e| e.to_string())?;
            check_tree(&proof, self.size(), *self.head.hash(), old.size(), *old.hash())
                .map_err(|e| format!("size {}: {e}", old.size()))?;
        }
        Ok(())
    }

    /// Whether the tiles lead from these leaves to the root.
    ///
    /// Leaves are proved, not just read: `TileHashReader` counts the subtrees of the head for its tiles, and where several of
    /// them lie in one tile, it hands out the first tile beside the head's without a look at its parent.
    fn prove<R: TileReader>(&self, files: &R, leaves: &[(u64, Hash)]) -> Result<(), tlog_tiles::Error> {
        let reader = self.reader(files);
        leaves.iter().try_for_each(|&(index, leaf)| {
            let proof = prove_record(self.size(), index, &reader)?;
            check_record(&proof, self.size(), *self.head.hash(), index, leaf)
        })
    }

    /// Flips so many single bits in the checkpoint, tiles and entries; the first that is accepted is the error.
    pub fn refuses_flips(&self, leaves: &[(u64, Hash)], count: u32, seed: u64) -> Result<(), String> {
        let tiles = tlog::tiles_added(0, self.size()).map(|id| id.path());
        let bundles = tlog::bundles_added(0, self.size()).map(|id| id.path());
        let files: Vec<_> = tiles.chain(bundles).map(|path| (path.clone(), &self.files.0[&path])).collect();
        let config =
            Config { cases: count, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let any_bit = (any::<bool>(), any::<prop::sample::Index>(), any::<prop::sample::Index>());
        let flip = |bytes: &[u8], bit: prop::sample::Index| {
            let (mut bytes, bit) = (bytes.to_vec(), bit.index(bytes.len() * 8));
            bytes[bit / 8] ^= 1 << (bit % 8);
            (bytes, bit / 8)
        };
        let run = |(in_note, file, bit): (bool, prop::sample::Index, prop::sample::Index)| {
            if in_note {
                let (bytes, _) = flip(&self.files.0["checkpoint"], bit);
                prop_assert!(opened(&bytes, &self.vkey).is_none());
                return Ok(());
            }
            let (path, bytes) = &files[file.index(files.len())];
            let (bytes, byte) = flip(bytes, bit);
            prop_assert!(self.refuses(path, bytes, byte, leaves), "{path} byte {byte}");
            Ok(())
        };
        runner.run(&any_bit, run).map_err(|e| e.to_string())
    }

    /// Whether a file whose byte was altered is noticed.
    fn refuses(&self, path: &str, bytes: Vec<u8>, byte: usize, leaves: &[(u64, Hash)]) -> bool {
        match tlog::Resource::parse(path).unwrap() {
            tlog::Resource::Entries(id) => {
                let Ok(entries) = tlog::decode_bundle(&bytes, id.width()) else { return true };
                let first = usize::try_from(id.start()).unwrap();
                entries
                    .into_iter()
                    .zip(&leaves[first..])
                    .any(|(entry, leaf)| record_hash(entry).0 != leaf.1.0)
            }
            // the first leaf under the hash that the byte belongs to, and the first beside it, whose proof has that hash
            tlog::Resource::Tile(id) => {
                let node = id.index() * 256 + byte as u64 / 32;
                let there = [node, node ^ 1].map(|node| node << (8 * id.level()));
                let there: Vec<_> = there
                    .into_iter()
                    .filter_map(|index| leaves.get(usize::try_from(index).unwrap()).copied())
                    .collect();
                self.prove(&Altered { files: &self.files, path, bytes }, &there).is_err()
            }
            tlog::Resource::Checkpoint => opened(&bytes, &self.vkey).is_none(),
        }
    }
}
