//! The same trees, proofs, paths, notes and checkpoints by the crates `tlog_tiles` and `signed_note`, which others
//! wrote: what they make we accept, what we make they accept, and both are the same bytes.

use std::sync::LazyLock;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use proptest::prelude::*;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{HashReader, Tile as TheirTile, TileHashReader, TileReader};

use crate::{
    Appender, Checkpoint, Error, Hash, Note, Resource, Signature, Tile, TileId, Vkey, bundles_added,
    consistency_proof, inclusion_proof, right_edge, root_hash,
    testing::{LEAVES, ORIGIN, SIZES, TILES, flipped, signer, vkey},
    tiles_added, verify_consistency, verify_inclusion,
};

/// Every hash of the tree of 70,000 entries, as they store them.
struct Stored(Vec<tlog_tiles::Hash>);

static STORED: LazyLock<Stored> = LazyLock::new(|| {
    let mut stored = Stored(Vec::new());
    for (n, leaf) in (0..).zip(LEAVES.iter()) {
        let hashes = tlog_tiles::stored_hashes_for_record_hash(n, theirs(*leaf), &stored).unwrap();
        stored.0.extend(hashes);
    }
    stored
});

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

/// Our tiles, as they read them.
struct OurTiles;

impl TileReader for OurTiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[TheirTile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let bytes =
            |tile: &TheirTile| TILES.get(ours_id(tile)).unwrap().iter().flat_map(|hash| hash.0).collect();
        Ok(tiles.iter().map(bytes).collect())
    }

    fn save_tiles(&self, _: &[TheirTile], _: &[Vec<u8>]) {}
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

fn ours_id(tile: &TheirTile) -> TileId {
    TileId::new(tile.level(), tile.level_index(), tile.width().try_into().unwrap()).unwrap()
}

fn their_verifiers(keys: &[Vkey]) -> VerifierList {
    let verifier = |key: &Vkey| Box::new(StandardVerifier::new(&key.to_string()).unwrap()) as Box<_>;
    VerifierList::new(keys.iter().map(verifier).collect())
}

fn their_signer(seed: u8) -> StandardSigner {
    let (name, id) = (ORIGIN, vkey(seed).id());
    let key = BASE64_STANDARD.encode([&[1][..], &[seed; 32]].concat());
    StandardSigner::new(&format!("PRIVATE+KEY+{name}+{id:08x}+{key}")).unwrap()
}

fn same_root(size: u64) {
    let root = tlog_tiles::tree_hash(size, &*STORED).unwrap();
    assert_eq!(root_hash(&TILES, size), Ok(Hash(root.0)), "{size}");
    let tile = |id: TileId| Tile::new(id.level(), id.index(), TILES.get(id).unwrap().to_vec()).unwrap();
    let tree = Appender::new(size, right_edge(size).into_iter().map(tile)).unwrap();
    assert_eq!(tree.root(), Hash(root.0), "{size}");
}

fn same_proofs(index: u64, size: u64) {
    let root = tlog_tiles::tree_hash(size, &*STORED).unwrap();
    // their proof from the hashes they stored, and from our tiles, which they authenticate by the root
    let proof = tlog_tiles::prove_record(size, index, &*STORED).unwrap();
    let through = TileHashReader::new(size, root, &OurTiles);
    assert_eq!(tlog_tiles::prove_record(size, index, &through).unwrap(), proof);
    assert_eq!(inclusion_proof(&TILES, index, size).unwrap(), ours(&proof));
    let leaf = LEAVES[usize::try_from(index).unwrap()];
    assert_eq!(verify_inclusion(&leaf, index, size, &ours(&proof), &Hash(root.0)), Ok(()));
    tlog_tiles::check_record(&proof, size, root, index, theirs(leaf)).unwrap();

    // between the tree that ends with this entry and the whole
    let old = index + 1;
    let old_root = tlog_tiles::tree_hash(old, &*STORED).unwrap();
    let proof = tlog_tiles::prove_tree(size, old, &*STORED).unwrap();
    assert_eq!(consistency_proof(&TILES, old, size).unwrap(), ours(&proof));
    assert_eq!(verify_consistency(old, &Hash(old_root.0), size, &Hash(root.0), &ours(&proof)), Ok(()));
    tlog_tiles::check_tree(&proof, size, root, old, old_root).unwrap();
}

#[test]
fn roots_and_proofs_are_the_same_where_something_changes() {
    for size in SIZES {
        same_root(size);
        for index in
            SIZES.into_iter().chain(SIZES.map(|size| size.saturating_sub(1))).filter(|index| *index < size)
        {
            same_proofs(index, size);
        }
    }
}

#[test]
fn tiles_are_the_same_bytes() {
    for tile in TheirTile::new_tiles(8, 0, 70_000) {
        let bytes = tile.read_data(&*STORED).unwrap();
        assert_eq!(
            Tile::decode(ours_id(&tile), &bytes).unwrap().hashes(),
            TILES.get(ours_id(&tile)).unwrap()
        );
    }
}

#[test]
fn keys_are_the_same_text() {
    for seed in 0..20 {
        // they take the text only with their own idea of the key id, and the private half only with ours
        let ours = vkey(seed);
        let theirs = StandardVerifier::new(&ours.to_string()).unwrap();
        assert_eq!(
            (signed_note::Verifier::name(&theirs), signed_note::Verifier::key_id(&theirs)),
            (ORIGIN, ours.id())
        );
        assert_eq!(signed_note::Signer::key_id(&their_signer(seed)), ours.id());
    }
}

#[test]
fn notes_are_the_same_bytes() {
    for (text, seeds) in [("one line\n", &[1][..]), ("a\n\nb\n", &[2, 3]), ("\n", &[4, 5, 6])] {
        let signers: Vec<_> = seeds.iter().map(|seed| their_signer(*seed)).collect();
        let signers: Vec<_> = signers.iter().map(|signer| signer as &dyn signed_note::Signer).collect();
        let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&signers).unwrap();
        let signers: Vec<_> = seeds.iter().map(|seed| signer(*seed)).collect();
        let signers: Vec<_> = signers.iter().map(|signer| signer as &dyn crate::Signer).collect();
        let our_note = Note::sign(text, &signers).unwrap();
        assert_eq!(our_note.to_string().into_bytes(), note.to_bytes());
        let known: Vec<_> = seeds.iter().map(|seed| vkey(*seed)).collect();
        assert_eq!(Note::parse(&note.to_bytes()).unwrap().verify(&known).unwrap().len(), seeds.len());
        let their_note = signed_note::Note::from_bytes(our_note.to_string().as_bytes()).unwrap();
        assert_eq!(their_note.verify(&their_verifiers(&known)).unwrap().0.len(), seeds.len());
    }
}

/// Both read the note or neither does, and they agree on whether it is signed by the key.
fn same_verdict(bytes: &[u8]) -> Result<(), TestCaseError> {
    let (our_note, their_note) = (Note::parse(bytes), signed_note::Note::from_bytes(bytes));
    prop_assert_eq!(our_note.is_ok(), their_note.is_ok(), "{:?}", our_note);
    if let (Ok(our_note), Ok(their_note)) = (our_note, their_note) {
        prop_assert_eq!(our_note.to_string().into_bytes(), their_note.to_bytes());
        let known = [vkey(1), vkey(2)];
        let verdict = our_note.verify(&known);
        prop_assert_eq!(
            verdict.is_ok(),
            their_note.verify(&their_verifiers(&known)).is_ok(),
            "{:?}",
            verdict
        );
        let text = our_note.text();
        same_checkpoint(text)?;
    }
    Ok(())
}

fn same_checkpoint(text: &str) -> Result<(), TestCaseError> {
    let (ours, theirs) = (Checkpoint::parse(text), tlog_tiles::Checkpoint::from_bytes(text.as_bytes()));
    // they leave control characters to the note around the checkpoint
    let control = text.contains(|c: char| c < ' ' && c != '\n');
    prop_assert_eq!(ours.is_ok(), theirs.is_ok() && !control, "{:?}: {:?}", text, ours);
    if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
        prop_assert_eq!((ours.origin(), ours.size()), (theirs.origin(), theirs.size()));
        prop_assert_eq!(ours.root().0, theirs.hash().0);
        prop_assert_eq!(ours.to_string().into_bytes(), theirs.to_bytes());
    }
    Ok(())
}

fn signed_checkpoint() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), any::<[u8; 32]>(), any::<bool>()).prop_map(|(size, root, two)| {
        let checkpoint = Checkpoint::new(ORIGIN, size, Hash(root)).unwrap();
        let signers = [&signer(1) as &dyn crate::Signer, &signer(2)];
        checkpoint.sign(&signers[..=usize::from(two)]).unwrap().to_string().into_bytes()
    })
}

proptest! {
    #[test]
    fn roots_and_proofs_are_the_same_everywhere(size in 1..=70_000_u64, index: u64) {
        same_root(size);
        same_proofs(index % size, size);
    }

    #[test]
    fn a_growing_log_publishes_the_same_tiles(old in 0..200_000_u64, more in 0..100_000_u64) {
        let new = old + more;
        let expected: Vec<_> = TheirTile::new_tiles(8, old, new).iter().map(ours_id).collect();
        prop_assert_eq!(tiles_added(old, new).collect::<Vec<_>>(), expected);
        prop_assert_eq!(bundles_added(old, new).count(), tiles_added(old, new).filter(|id| id.level() == 0).count());
    }

    #[test]
    fn paths_are_the_same_but_for_the_fixed_height(level in 0..64_u8, index: u64, width in 1..=256_u16) {
        let tile = TheirTile::new(8, level, index, width.into(), false);
        let path = tile.path().replacen("tile/8/", "tile/", 1);
        prop_assert_eq!(Resource::parse(&path), TileId::new(level, index, width).map(Resource::Tile));
        prop_assert_eq!(ours_id(&tile).path(), path);
        let path = TheirTile::new(8, 0, index, width.into(), true).path().replacen("tile/8/data/", "tile/entries/", 1);
        prop_assert_eq!(Resource::parse(&path).unwrap().path(), path);
    }

    #[test]
    fn they_agree_on_what_a_path_is(
        // they panic at levels above 63 and at a width of 0: those are tried on our side alone
        level in "0?[0-9]|[1-5][0-9]|6[0-3]",
        rest in "(x?[0-9]{3}/){0,7}[0-9]{3}(\\.p/[0-9]{0,2}[1-9])?|x?[0-9]{2,4}(/x?[0-9]{2,4}){0,6}|[1-9x/.p]{0,24}",
    ) {
        let ours = Resource::parse(&format!("tile/{level}/{rest}"));
        let theirs = TheirTile::from_path(&format!("tile/8/{level}/{rest}"));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }

    #[test]
    fn they_agree_on_damaged_checkpoints(mut bytes in signed_checkpoint(), bit: usize, more in 0..3_usize) {
        same_verdict(&bytes)?;
        for n in 0..more {
            bytes = flipped(&bytes, bit.rotate_left(7 * u32::try_from(n).unwrap()));
            same_verdict(&bytes)?;
        }
    }

    #[test]
    fn they_agree_on_cut_and_repeated_lines(bytes in signed_checkpoint(), picks in prop::collection::vec(0..8_usize, 0..9)) {
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let text: String = picks.iter().filter_map(|pick| lines.get(*pick).copied()).collect();
        same_verdict(text.as_bytes())?;
        same_checkpoint(&text)?;
    }

    #[test]
    fn they_agree_on_what_a_signature_line_is(line in "— [a-z+ \u{a0}\u{2003}é]{0,3} [A-Za-z0-9+/]{0,9}={0,3}|\\PC{0,12}") {
        let theirs = signed_note::Signature::from_bytes(line.as_bytes());
        match (Signature::parse(&line), theirs) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!((ours.name(), ours.key_id(), ours.bytes()), (theirs.name(), theirs.id(), theirs.signature()));
                prop_assert_eq!(format!("{ours}\n").into_bytes(), theirs.to_bytes());
            }
            (ours, theirs) => prop_assert!(ours.is_err() && theirs.is_err(), "{:?} {:?}", ours, theirs),
        }
    }
}

#[test]
fn a_wrong_signature_by_a_known_key_is_refused_by_both() {
    let text = "x\n";
    let mut note = Note::sign(text, &[&signer(1), &signer(2)]).unwrap();
    note.add(Signature::new(ORIGIN, vkey(2).id(), vec![0; 64]).unwrap()).unwrap();
    let known = [vkey(1), vkey(2)];
    assert_eq!(note.verify(&known), Err(Error::Signature(vkey(2).label())));
    let note = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    assert!(note.verify(&their_verifiers(&known)).is_err());
}
