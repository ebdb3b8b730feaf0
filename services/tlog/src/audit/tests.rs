//! Mirrors whole, pruned, damaged and forged.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    EMPTY_ROOT, decode_bundle, encode_bundle,
    testing::{Mirror, ORIGIN, SIZES, flipped},
};

static SMALL: LazyLock<Mirror> = LazyLock::new(|| Mirror::of(1_500));
static LARGE: LazyLock<Mirror> = LazyLock::new(|| Mirror::of(70_000));

fn check(mirror: &Mirror, minimum_index: u64) -> Result<Audited, Error> {
    audit(&mirror.checkpoint, minimum_index, |resource| Ok(mirror.read(resource)))
}

fn with(mirror: &Mirror, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Mirror {
    let mut mirror = mirror.clone();
    change(mirror.files.get_mut(path).unwrap());
    mirror
}

fn without(mirror: &Mirror, path: &str) -> Mirror {
    let mut mirror = mirror.clone();
    mirror.files.remove(path).unwrap();
    mirror
}

fn missing<T>(path: &str) -> Result<T, Error> {
    Err(Error::Missing { path: path.into() })
}

fn bad_tile<T>(path: &str, why: &'static str) -> Result<T, Error> {
    Err(Error::Tile { path: path.into(), why })
}

fn bad_entry<T>(index: u64, path: &str, why: &'static str) -> Result<T, Error> {
    Err(Error::Entry { index, path: path.into(), why })
}

/// A change of entry and leaf hash together: what a forger would do who stops there.
fn forged(mirror: &Mirror, index: u64) -> Mirror {
    let id = BundleId::of_entry(index, mirror.checkpoint.size()).unwrap();
    let place = usize::try_from(index - id.start()).unwrap();
    let mut hash = EMPTY_ROOT;
    let mirror = with(mirror, &id.path(), |bytes| {
        let mut entries: Vec<_> =
            decode_bundle(bytes, id.width()).unwrap().into_iter().map(<[u8]>::to_vec).collect();
        entries[place] = b"another".to_vec();
        hash = leaf_hash(&entries[place]);
        *bytes = encode_bundle(&entries).unwrap();
    });
    let tile = TileId::new(0, id.index(), id.width()).unwrap().path();
    with(&mirror, &tile, |bytes| bytes[place * 32..][..32].copy_from_slice(&hash.0))
}

#[test]
fn a_whole_log_is_read_once_and_found_good() {
    for size in SIZES {
        let mirror = Mirror::of(size);
        let mut reads = std::collections::BTreeMap::new();
        let found = audit(&mirror.checkpoint, 0, |resource| {
            *reads.entry(resource.path()).or_insert(0) += 1;
            Ok(mirror.read(resource))
        });
        let files = |prefix| mirror.files.keys().filter(|path| path.starts_with(prefix)).count() as u64;
        let bundles = files("tile/entries/");
        let tiles = files("tile/") - bundles;
        let root = *mirror.checkpoint.root();
        assert_eq!(found, Ok(Audited { size, entries: size, pruned: 0, bundles, tiles, root }));
        assert!(reads.keys().eq(mirror.files.keys()) && reads.values().all(|times| *times == 1));
    }
}

#[test]
fn what_is_missing_is_named() {
    for path in SMALL.files.keys() {
        assert_eq!(check(&without(&SMALL, path), 0), missing(path));
    }
    let mirror = without(&LARGE, "tile/entries/100");
    assert_eq!(check(&mirror, 0), missing("tile/entries/100"));
    assert_eq!(
        check(&Mirror { checkpoint: LARGE.checkpoint.clone(), ..SMALL.clone() }, 0),
        missing("tile/0/273.p/112")
    );
}

#[test]
fn a_pruned_log_is_checked_from_its_minimum_index() {
    let mut mirror = LARGE.clone();
    mirror.files.retain(|path, _| !path.starts_with("tile/entries/0"));
    assert_eq!(check(&mirror, 0), missing("tile/entries/000"));
    assert_eq!(check(&mirror, 25_599), missing("tile/entries/099"));
    let found = check(&mirror, 25_600).unwrap();
    assert_eq!((found.entries, found.pruned, found.bundles, found.tiles), (44_400, 25_600, 174, 277));
    assert_eq!(check(&without(&mirror, "tile/0/042"), 25_600).unwrap().pruned, 25_600);
    assert_eq!(check(&without(&mirror, "tile/0/100"), 25_600), missing("tile/0/100"));
    mirror.files.retain(|path, _| !path.starts_with("tile/entries/"));
    assert_eq!(check(&mirror, 69_888), missing("tile/entries/273.p/112"));
    let mut mirror = LARGE.clone();
    mirror.files.retain(|path, _| path.contains(".p/"));
    assert_eq!(check(&mirror, 65_536), missing("tile/0/256"));
    mirror = LARGE.clone();
    mirror.files.remove("tile/1/000");
    assert_eq!(check(&mirror, 65_535), missing("tile/1/000"));
    assert_eq!(check(&mirror, 65_536).unwrap().pruned, 65_536);
    assert_eq!(check(&LARGE, 70_000).unwrap().pruned, 0);
    assert_eq!(check(&LARGE, 70_001), Err(Error::Index { index: 70_001, size: 70_000 }));
    // what is there is checked, pruned or not
    let mirror = with(&LARGE, "tile/entries/003", |bytes| bytes[2] ^= 1);
    let why = "does not hash to its leaf in the tree";
    assert_eq!(check(&mirror, 65_536), bad_entry(768, "tile/entries/003", why));
}

#[test]
fn full_files_stand_in_for_partial_ones_that_are_gone() {
    let mut mirror = LARGE.clone();
    mirror.checkpoint = SMALL.checkpoint.clone();
    assert_eq!(check(&mirror, 0), check(&SMALL, 0));
    let mirror = with(&mirror, "tile/entries/005", |bytes| *bytes = flipped(bytes, 20));
    let why = "does not hash to its leaf in the tree";
    assert_eq!(check(&mirror, 0), bad_entry(1_280, "tile/entries/005", why));
}

#[test]
fn lengths_are_checked() {
    let whole = "tile/entries/002";
    let last = SMALL.files[whole].len() - 1;
    let longer = with(&SMALL, whole, |bytes| bytes.push(0));
    assert_eq!(check(&longer, 0), bad_entry(767, whole, "is followed by bytes of no entry"));
    let shorter = with(&SMALL, whole, |bytes| bytes.truncate(last));
    assert_eq!(check(&shorter, 0), bad_entry(767, whole, "is cut short"));
    for (path, length) in [("tile/0/001", 8_191), ("tile/0/001", 8_193), ("tile/1/000.p/5", 0)] {
        let mirror = with(&SMALL, path, |bytes| bytes.resize(length, 0));
        assert_eq!(check(&mirror, 0), bad_tile(path, "does not have as many hashes as its name says"));
    }
}

#[test]
fn damage_on_the_right_edge_is_found_too() {
    let above = "does not lead to the root of the checkpoint";
    for path in LARGE.files.keys().filter(|path| path.contains(".p/") && !path.contains("entries")) {
        assert_eq!(check(&with(&LARGE, path, |bytes| bytes[9] ^= 4), 0), bad_tile(path, above));
    }
    // two at once: the one further left
    let both = with(&LARGE, "tile/0/273.p/112", |bytes| bytes[9] ^= 4);
    let both = with(&both, "tile/1/001.p/17", |bytes| bytes[9] ^= 4);
    assert_eq!(check(&both, 0), bad_tile("tile/1/001.p/17", above));
}

#[test]
fn damage_above_the_leaves_is_not_laid_on_what_lies_below() {
    let why = "does not hash to what the tile above says";
    let above = with(&LARGE, "tile/1/000", |bytes| bytes[8_191] ^= 1);
    assert_eq!(check(&above, 0), bad_tile("tile/1/000", why));
    let below = with(&LARGE, "tile/0/255", |bytes| bytes[0] ^= 1);
    assert_eq!(check(&below, 0), bad_tile("tile/0/255", why));
}

#[test]
fn a_forged_leaf_does_not_lead_to_the_root() {
    let why = "does not hash to what the tile above says";
    assert_eq!(check(&forged(&SMALL, 300), 0), bad_tile("tile/0/001", why));
    let found = check(&forged(&SMALL, 1_499), 0).unwrap_err();
    assert!(matches!(found, Error::Root { expected, .. } if expected == *SMALL.checkpoint.root()));
    let mut other = SMALL.clone();
    other.checkpoint = Checkpoint::new(ORIGIN, 1_500, *LARGE.checkpoint.root()).unwrap();
    assert!(matches!(check(&other, 0), Err(Error::Root { .. })));
    let none = Checkpoint::new(ORIGIN, 0, *LARGE.checkpoint.root()).unwrap();
    let none = audit(&none, 0, |_| Ok(None));
    assert_eq!(none, Err(Error::Root { expected: *LARGE.checkpoint.root(), found: EMPTY_ROOT }));
}

#[test]
fn what_cannot_be_read_is_said_so() {
    let found = audit(&SMALL.checkpoint, 0, |_| Err("permission denied".to_owned()));
    let expected = Error::Unreadable { path: "tile/0/005.p/220".into(), why: "permission denied".into() };
    assert_eq!(found, Err(expected));
}

#[test]
fn no_checkpoint_makes_the_auditor_panic() {
    for size in [1, 255, 1 << 56, u64::MAX - 255, u64::MAX] {
        let checkpoint = Checkpoint::new(ORIGIN, size, EMPTY_ROOT).unwrap();
        for minimum in [0, size] {
            let zeros = |resource: Resource| match resource {
                Resource::Tile(id) => Ok(Some(vec![0; usize::from(id.width()) * 32])),
                _ => Ok(None),
            };
            assert!(audit(&checkpoint, minimum, zeros).is_err());
            assert!(audit(&checkpoint, minimum, |_| Ok(Some(vec![0; 32]))).is_err());
        }
    }
}

proptest! {
    #[test]
    fn the_entry_with_a_flipped_bit_is_named(entry in 0..1_500_u64, bit: usize) {
        let id = BundleId::of_entry(entry, 1_500).unwrap();
        let place = usize::try_from(entry - id.start()).unwrap();
        let mirror = with(&SMALL, &id.path(), |bytes| {
            let entries = decode_bundle(bytes, id.width()).unwrap();
            let start: usize = entries[..place].iter().map(|entry| entry.len() + 2).sum();
            let end = start + 2 + entries[place].len();
            let damaged = flipped(&bytes[start..end], bit);
            bytes.splice(start..end, damaged);
        });
        match check(&mirror, 0) {
            Err(Error::Entry { index, path, .. }) => prop_assert_eq!((index, path), (entry, id.path())),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn the_tile_with_a_flipped_bit_is_named(nth: prop::sample::Index, bit: usize) {
        let tiles: Vec<_> = SMALL.files.keys().filter(|path| !path.contains("entries")).collect();
        let path = nth.get(&tiles);
        match check(&with(&SMALL, path, |bytes| *bytes = flipped(bytes, bit)), 0) {
            Err(Error::Tile { path: named, .. }) => prop_assert_eq!(&named, *path),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn damage_in_a_tree_of_three_levels_is_named(nth: prop::sample::Index, bit: usize) {
        let path = nth.get(&LARGE.files.keys().collect::<Vec<_>>()).to_owned();
        match check(&with(&LARGE, path, |bytes| *bytes = flipped(bytes, bit)), 0) {
            Err(Error::Tile { path: named, .. } | Error::Entry { path: named, .. }) => prop_assert_eq!(&named, path),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
