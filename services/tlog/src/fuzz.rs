//! Every parser on arbitrary bytes, and on good input that was damaged: none panics, and what one accepts it writes
//! again byte for byte. Whatever is computed from tiles on tiles that lie: it ends, and nothing that was altered passes. A short
//! run; `PROPTEST_CASES=1000000 cargo test -p tlog fuzz` is a long one.

use std::{collections::BTreeSet, sync::LazyLock};

use proptest::prelude::*;

use crate::{
    AddCheckpoint, Appender, Checkpoint, Cosigner, EMPTY_ROOT, Hash, Note, Receipt, Resource, Signature,
    Tile, TileId, TileSet, Vkey, audit, consistency_proof, decode_bundle, encode_bundle, inclusion_proof,
    parse_cosignatures, parse_size, right_edge, root_hash,
    testing::{Mirror, ORIGIN, TILES, entry, signer, vkey},
    tiles_for_inclusion, verify_consistency, verify_inclusion,
};

/// One good input for each parser.
static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let root = |size| root_hash(&TILES, size).unwrap();
    let signed =
        |size| Checkpoint::new(ORIGIN, size, root(size)).unwrap().sign(&[&signer(1), &signer(2)]).unwrap();
    let witness = Cosigner::from_seed("witness.example/w1", &[9; 32]).unwrap();
    let cosignature = witness.cosign(signed(300).text(), 1_700_000_000).unwrap();
    let receipt = Receipt::new(7, inclusion_proof(&TILES, 7, 300).unwrap(), signed(300)).unwrap();
    let request = AddCheckpoint::new(7, consistency_proof(&TILES, 7, 300).unwrap(), signed(300)).unwrap();
    let mut cosigned = signed(300);
    cosigned.add(cosignature.clone()).unwrap();
    let texts = [
        "checkpoint".to_owned(),
        "tile/0/x001/x234/067.p/12".to_owned(),
        "tile/entries/x001/234".to_owned(),
        root(3).to_string(),
        vkey(1).to_string(),
        witness.vkey().to_string(),
        cosigned.to_string(),
        format!("{cosignature}\n{cosignature}\n"),
        cosignature.to_string(),
        signed(300).text().to_owned(),
        receipt.to_string(),
        receipt.with_extra(b"extra".to_vec()).unwrap().to_string(),
        request.to_string(),
        "20852014\n".to_owned(),
    ];
    let binary = [encode_bundle(&[entry(0), entry(1), entry(2)]).unwrap(), [7; 96].to_vec()];
    texts.map(String::into_bytes).into_iter().chain(binary).collect()
});

/// Gives the bytes to every parser and returns how many took them.
fn every_parser(bytes: &[u8]) -> Result<usize, TestCaseError> {
    let mut taken = 0;
    let mut same = |written: Option<Vec<u8>>| -> Result<(), TestCaseError> {
        if let Some(written) = written {
            taken += 1;
            prop_assert_eq!(written, bytes);
        }
        Ok(())
    };
    let text = |text: String| text.into_bytes();
    if let Ok(input) = std::str::from_utf8(bytes) {
        same(Resource::parse(input).ok().map(|resource| text(resource.path())))?;
        same(Hash::parse(input).ok().map(|hash| text(hash.to_string())))?;
        same(Vkey::parse(input).ok().map(|key| text(key.to_string())))?;
        same(Signature::parse(input).ok().map(|line| text(line.to_string())))?;
        same(Checkpoint::parse(input).ok().map(|checkpoint| text(checkpoint.to_string())))?;
    }
    same(Note::parse(bytes).ok().map(|note| text(note.to_string())))?;
    same(Receipt::parse(bytes).ok().map(|receipt| text(receipt.to_string())))?;
    same(AddCheckpoint::parse(bytes).ok().map(|request| text(request.to_string())))?;
    let lines = parse_cosignatures(bytes).ok();
    same(lines.map(|lines| lines.iter().flat_map(|line| text(format!("{line}\n"))).collect()))?;
    same(parse_size(bytes).ok().map(|size| text(format!("{size}\n"))))?;
    for width in [1, 2, 3, 256] {
        same(decode_bundle(bytes, width).ok().map(|entries| encode_bundle(&entries).unwrap()))?;
        let id = TileId::new(0, 0, width).unwrap();
        same(Tile::decode(id, bytes).ok().map(|tile| tile.encode()))?;
    }
    let known = [vkey(1), vkey(2)];
    let _ = Checkpoint::open(bytes, &known);
    let _ = Receipt::parse(bytes).map(|receipt| receipt.verify(&entry(7), &known));
    Ok(taken)
}

/// One kind of damage at a place.
fn damage(bytes: &mut Vec<u8>, kind: u8, place: prop::sample::Index, value: u8, other: &[u8]) {
    let at = place.index(bytes.len() + 1);
    let rest = bytes.split_off(at);
    match kind {
        0 => bytes.extend(rest.iter().enumerate().map(|(n, b)| if n == 0 { value } else { *b })),
        1 => {
            bytes
                .extend(rest.iter().enumerate().map(|(n, b)| if n == 0 { b ^ 1 << (value % 8) } else { *b }));
        }
        2 => bytes.extend(rest.iter().skip(1 + usize::from(value % 50))),
        3 => bytes.extend([&[value][..], &rest].concat()),
        4 => bytes.extend([&rest[..rest.len().min(value.into())], &rest].concat()),
        5 => bytes.extend([&b"\n"[..], &rest].concat()),
        _ => bytes.extend([other, &rest].concat()),
    }
}

#[test]
fn fuzz_the_corpus_is_taken() {
    for bytes in CORPUS.iter() {
        assert!(every_parser(bytes).unwrap() > 0, "{}", String::from_utf8_lossy(bytes));
    }
}

proptest! {
    #[test]
    fn fuzz_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        every_parser(&bytes)?;
    }

    #[test]
    fn fuzz_arbitrary_text(text in "[\n—a +0-9=/A]{0,60}|(\\PC|\n){0,60}") {
        every_parser(text.as_bytes())?;
    }

    #[test]
    fn fuzz_proofs(index: u64, size: u64, near in 0..3_u64, proof in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let proof: Vec<_> = proof.into_iter().map(Hash).collect();
        for (index, size) in [(index, size), (size.saturating_sub(near), size), (near, size), (u64::MAX - near, u64::MAX)] {
            prop_assert!(verify_inclusion(&EMPTY_ROOT, index, size, &proof, &EMPTY_ROOT).is_err() || size == 1);
            let trivial = index == size && proof.is_empty() || index == 0 && proof.is_empty();
            prop_assert!(verify_consistency(index, &EMPTY_ROOT, size, &EMPTY_ROOT, &proof).is_err() || trivial);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.saturating_mul(8), ..ProptestConfig::default() })]
    #[test]
    fn fuzz_damaged_input(
        of: prop::sample::Index,
        with: prop::sample::Index,
        kinds in prop::collection::vec((0..7_u8, any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = of.get::<Vec<u8>>(&CORPUS).clone();
        for (kind, place, value) in kinds {
            damage(&mut bytes, kind, place, value, with.get::<Vec<u8>>(&CORPUS));
        }
        every_parser(&bytes)?;
    }
}

/// Mirrors of a few sizes: made once, damaged very often.
static MIRRORS: LazyLock<Vec<Mirror>> =
    LazyLock::new(|| [0, 1, 2, 255, 256, 257, 600, 1_025].map(Mirror::of).into());

/// Sizes that a liar may claim: small, large, and at the ends.
fn any_size() -> impl Strategy<Value = u64> {
    prop_oneof![0..1_300_u64, any::<u64>(), Just(u64::MAX), (0..64_u32).prop_map(|bits| 1 << bits)]
}

/// A tile with a place in some tree and as many hashes as its name says, all of them made up.
fn any_tile() -> impl Strategy<Value = Tile> {
    let index = prop_oneof![0..6_u64, any::<u64>()];
    let few = prop::collection::vec(any::<u8>(), 1..=256);
    (0..9_u8, index, few).prop_filter_map("no such tile", |(level, index, bytes)| {
        let hashes = bytes.into_iter().map(|byte| Hash([byte; Hash::LEN])).collect();
        Tile::new(level, index, hashes).ok()
    })
}

/// Damage to a file: which, of what kind, where, and with what.
type Damage = (prop::sample::Index, u8, prop::sample::Index, u8);

proptest! {
    #[test]
    fn fuzz_mirrors_that_were_damaged(
        of: prop::sample::Index,
        minimum in 0..1_300_u64,
        damages in prop::collection::vec(any::<Damage>(), 0..4),
        claimed in prop::option::weighted(0.2, any_size()),
    ) {
        let good = of.get::<Mirror>(&MIRRORS);
        let mut bad = good.clone();
        let names: Vec<_> = good.files.keys().cloned().collect();
        for (file, kind, place, value) in damages {
            if names.is_empty() {
                break;
            }
            let name = &names[file.index(names.len())];
            match (kind % 9, bad.files.get_mut(name)) {
                (8, _) => _ = bad.files.remove(name),
                (7, _) => {
                    let other = good.files[&names[place.index(names.len())]].clone();
                    bad.files.insert(name.clone(), other);
                }
                (kind, Some(bytes)) => damage(bytes, kind, place, value, b"more"),
                (_, None) => {}
            }
        }
        let size = good.checkpoint.size();
        let claimed = claimed.unwrap_or(size);
        let checkpoint = Checkpoint::new(ORIGIN, claimed, *good.checkpoint.root()).unwrap();
        let mut read = BTreeSet::new();
        let audited = audit(&checkpoint, minimum, |resource| {
            read.insert(resource.path());
            Ok(bad.read(resource))
        });
        if let Ok(audited) = audited {
            prop_assert_eq!((claimed, audited.entries + audited.pruned), (size, size));
            for path in read.iter().filter(|path| bad.files.contains_key(*path)) {
                prop_assert_eq!(good.files.get(path), bad.files.get(path), "{} was altered", path);
            }
            let gone = |path: &&String| !bad.files.contains_key(*path);
            prop_assert!(minimum > 0 || !names.iter().any(|path| gone(&path)), "something is missing");
        } else {
            prop_assert!(bad.files != good.files || claimed != size || minimum > size, "a good mirror is refused");
        }
    }

    #[test]
    fn fuzz_tiles_that_lie(
        tiles in prop::collection::vec(any_tile(), 0..6),
        size in any_size(),
        index in any_size(),
        complete: bool,
    ) {
        let mut set: TileSet = tiles.iter().cloned().collect();
        if complete {
            // whatever is asked for is there, and nothing of it is true
            let needed = tiles_for_inclusion(index, size).unwrap_or_default().into_iter().chain(right_edge(size));
            for id in needed {
                set.insert(Tile::new(id.level(), id.index(), vec![Hash([7; 32]); id.width().into()]).unwrap());
            }
        }
        let root = root_hash(&set, size);
        if let (Ok(proof), Ok(root)) = (inclusion_proof(&set, index, size), &root) {
            prop_assert!(index < size);
            prop_assert!(verify_inclusion(&EMPTY_ROOT, index, size, &proof, root).is_err());
        }
        let _ = consistency_proof(&set, index, size);

        let edge = right_edge(size).into_iter().filter_map(|id| {
            Some(Tile::new(id.level(), id.index(), set.get(id)?.to_vec()).unwrap())
        });
        let edge: Vec<_> = if complete { edge.collect() } else { tiles };
        match Appender::new(size, edge) {
            Ok(mut tree) => {
                prop_assert_eq!((Ok(tree.root()), tree.size()), (root, size));
                let grown = tree.append(EMPTY_ROOT);
                prop_assert_eq!(grown.is_ok(), size < u64::MAX);
                let _ = (tree.root(), tree.take_tiles());
            }
            Err(_) => prop_assert!(!complete || size == 0),
        }
    }
}

proptest! {
    // each of them hashes half a million times before it finds nobody to blame
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(32), ..ProptestConfig::default() })]
    #[test]
    fn fuzz_mirrors_that_have_everything(size in any_size(), minimum in any_size(), byte: u8, root: [u8; 32]) {
        let checkpoint = Checkpoint::new(ORIGIN, size, Hash(root)).unwrap();
        let mut reads = 0_u32;
        let audited = audit(&checkpoint, minimum, |resource| {
            reads += 1;
            Ok(match resource {
                Resource::Tile(id) => Some(vec![byte; usize::from(id.width()) * Hash::LEN]),
                Resource::Entries(id) => Some(vec![byte; usize::from(id.width())]),
                Resource::Checkpoint => None,
            })
        });
        prop_assert!(audited.is_err());
        prop_assert!(reads < 5_000, "{} reads before the root was found wrong", reads);
    }
}
