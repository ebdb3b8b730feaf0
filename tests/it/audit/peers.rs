//! A log of ours, read by the crates `tlog_tiles` and `signed_note`, which others wrote.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use signed_note::{StandardVerifier, VerifierList};
use tests::{Engine, Site, World, world};
use tlog_tiles::{
    Checkpoint, Hash, HashReader as _, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash, stored_hash_index,
};

use super::mirror::{Reader, roles};

/// Entries of the log, at least.
const ENTRIES: usize = 3_000;
/// Bits that are flipped.
const FLIPS: u32 = 2_000;

/// Files as they were served.
struct Files(BTreeMap<String, Vec<u8>>);

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

/// The checkpoint, if the note is one that the key signed.
fn opened(note: &[u8], vkey: &str) -> Option<Checkpoint> {
    let verifiers = VerifierList::new(vec![Box::new(StandardVerifier::new(vkey).unwrap())]);
    let note = signed_note::Note::from_bytes(note).ok()?;
    note.verify(&verifiers).ok()?;
    Checkpoint::from_bytes(note.text()).ok()
}

/// Whether the tiles lead from these leaves to the root.
///
/// Leaves are proved, not just read: `TileHashReader` counts the subtrees of the head for its tiles, and where several of
/// them lie in one tile, it hands out the first tile beside the head's without a look at its parent.
fn prove(files: &Files, head: &Checkpoint, leaves: &[(u64, Hash)]) -> Result<(), tlog_tiles::Error> {
    let reader = TileHashReader::new(head.size(), *head.hash(), files);
    leaves.iter().try_for_each(|&(index, leaf)| {
        let proof = prove_record(head.size(), index, &reader)?;
        check_record(&proof, head.size(), *head.hash(), index, leaf)
    })
}

/// The first leaf under the hash that a byte of a tile belongs to, and the first beside it, whose proof has that hash: whoever
/// proves both must notice that the byte is altered.
fn leaves_at(path: &str, byte: usize) -> [u64; 2] {
    let tlog::Resource::Tile(id) = tlog::Resource::parse(path).unwrap() else { panic!("{path} is no tile") };
    let node = id.index() * 256 + byte as u64 / 32;
    [node, node ^ 1].map(|node| node << (8 * id.level()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_accept_the_log_and_refuse_every_flipped_bit() {
    let world = World::build(Site::start(Engine::Sqlite).await).await;
    let reader = Reader::of(&world.site, &world.owner, world::ACME);
    let vkey = String::from_utf8(reader.take("vkey").await).unwrap().trim().to_owned();
    let mut heads = Vec::new();
    for n in 0..3 {
        roles(&world.owner, &format!("p-{n}"), ENTRIES / 3).await;
        heads.push(opened(&reader.take("checkpoint").await, &vkey).unwrap());
    }
    let (files, _) = reader.mirror().await;
    let (note, files) = (files["checkpoint"].clone(), Files(files));
    let head = opened(&note, &vkey).unwrap();
    assert!(head.size() >= ENTRIES as u64, "{}", head.size());

    let mut leaves = Vec::new();
    let through = TileHashReader::new(head.size(), *head.hash(), &files);
    for bundle in tlog::bundles_added(0, head.size()) {
        let entries = tlog::decode_bundle(&files.0[&bundle.path()], bundle.width()).unwrap();
        for (index, entry) in (bundle.start()..).zip(entries) {
            let read = through.read_hashes(&[stored_hash_index(0, index)]).unwrap();
            assert_eq!(read[0].0, record_hash(entry).0, "{index}");
            leaves.push((index, record_hash(entry)));
        }
    }
    prove(&files, &head, &leaves).unwrap();
    for earlier in &heads {
        let proof = prove_tree(head.size(), earlier.size(), &through).unwrap();
        check_tree(&proof, head.size(), *head.hash(), earlier.size(), *earlier.hash()).unwrap();
    }
    flips(&files, &leaves, (&note, &head, &vkey));
}

fn flips(files: &Files, leaves: &[(u64, Hash)], (note, head, vkey): (&[u8], &Checkpoint, &str)) {
    let is_tile = |path: &str| matches!(tlog::Resource::parse(path), Ok(tlog::Resource::Tile(_)));
    let tiles: Vec<_> = files.0.iter().filter(|(path, _)| is_tile(path)).collect();
    let mut runner = TestRunner::new(Config { cases: FLIPS, failure_persistence: None, ..Config::default() });
    let flip = |bytes: &[u8], bit: prop::sample::Index| {
        let (mut bytes, bit) = (bytes.to_vec(), bit.index(bytes.len() * 8));
        bytes[bit / 8] ^= 1 << (bit % 8);
        (bytes, bit / 8)
    };
    let any_bit = (any::<bool>(), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    runner
        .run(&any_bit, |(in_note, file, bit)| {
            if in_note {
                let (bytes, _) = flip(note, bit);
                prop_assert!(opened(&bytes, vkey).is_none());
                return Ok(());
            }
            let (path, bytes) = tiles[file.index(tiles.len())];
            let (bytes, byte) = flip(bytes, bit);
            let there = leaves_at(path, byte)
                .into_iter()
                .filter_map(|index| leaves.get(usize::try_from(index).unwrap()).copied());
            let mut damaged = Files(files.0.clone());
            damaged.0.insert(path.clone(), bytes);
            prop_assert!(prove(&damaged, head, &there.collect::<Vec<_>>()).is_err(), "{path} byte {byte}");
            Ok(())
        })
        .unwrap();
}
