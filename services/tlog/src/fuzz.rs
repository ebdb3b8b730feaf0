//! Every parser on arbitrary bytes, and on good input that was damaged: none panics, and what one accepts it writes
//! again byte for byte. A short run; `PROPTEST_CASES=1000000 cargo test -p tlog fuzz` is a long one.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::{
    AddCheckpoint, Checkpoint, Cosigner, EMPTY_ROOT, Hash, Note, Receipt, Resource, Signature, Tile, TileId,
    Vkey, consistency_proof, decode_bundle, encode_bundle, inclusion_proof, parse_cosignatures, parse_size,
    root_hash,
    testing::{ORIGIN, TILES, entry, signer, vkey},
    verify_consistency, verify_inclusion,
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
