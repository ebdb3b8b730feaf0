//! Verification of proofs (RFC 9162, sections 2.1.3.2 and 2.1.4.2): from hashes alone, without the tree.

use crate::{EMPTY_ROOT, Error, Hash, hash::node_hash};

/// Checks that a leaf is the one at `index` in the tree with this size and root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), Error> {
    let mut last = match size.checked_sub(1) {
        Some(last) if index <= last => last,
        _ => return Err(Error::Index { index, size }),
    };
    let (mut node, mut hash) = (index, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(Error::Inclusion("is longer than the tree is high"));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            climb_to_right_child(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match last {
        0 if hash == *root => Ok(()),
        0 => Err(Error::Inclusion("does not lead from the entry to the root")),
        _ => Err(Error::Inclusion("is shorter than the tree is high")),
    }
}

/// Checks that the tree with the new size and root begins with all entries of the one with the old size and root.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), Error> {
    let wrong_root = Error::Consistency("does not lead to both roots");
    if old > new {
        return Err(Error::Sizes { old, new });
    }
    if old == 0 || old == new {
        let empty = old > 0 || *old_root == EMPTY_ROOT;
        let same = old < new || old_root == new_root;
        return match proof {
            [] if empty && same => Ok(()),
            [] => Err(wrong_root),
            _ => Err(Error::Consistency("is not empty though there is nothing to prove")),
        };
    }
    // the hash of the largest subtree that both trees have in full: the old root itself when it is one
    let (first, rest) = match proof.split_first() {
        None => return Err(Error::Consistency("is empty though the tree grew")),
        Some(_) if old.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (first, rest),
    };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(Error::Consistency("is longer than the tree is high"));
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            climb_to_right_child(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match last {
        0 if old_hash == *old_root && new_hash == *new_root => Ok(()),
        0 => Err(wrong_root),
        _ => Err(Error::Consistency("is shorter than the tree is high")),
    }
}

/// The last node of an incomplete level has no sibling there: it moves up unhashed until it is a right child.
fn climb_to_right_child(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        consistency_proof, inclusion_proof, leaf_hash, root_hash,
        testing::{TILES, entry, flipped},
        tiles_for_consistency, tiles_for_inclusion, tiles_for_root,
    };

    fn leaf(index: u64) -> Hash {
        leaf_hash(&entry(index))
    }

    #[test]
    fn between_nothing_and_something_there_is_nothing_to_prove() {
        let root = root_hash(&TILES, 9).unwrap();
        assert_eq!(consistency_proof(&TILES, 0, 9), Ok(vec![]));
        assert_eq!(consistency_proof(&TILES, 9, 9), Ok(vec![]));
        assert_eq!(verify_consistency(0, &EMPTY_ROOT, 9, &root, &[]), Ok(()));
        assert_eq!(verify_consistency(0, &EMPTY_ROOT, 0, &EMPTY_ROOT, &[]), Ok(()));
        assert_eq!(verify_consistency(9, &root, 9, &root, &[]), Ok(()));
        assert!(verify_consistency(0, &root, 9, &root, &[]).is_err());
        assert!(verify_consistency(0, &EMPTY_ROOT, 0, &root, &[]).is_err());
        assert!(verify_consistency(0, &EMPTY_ROOT, 9, &root, &[root]).is_err());
        assert!(verify_consistency(9, &root, 9, &leaf(1), &[]).is_err());
        assert!(verify_consistency(9, &root, 9, &root, &[root]).is_err());
        assert!(verify_consistency(8, &root, 9, &root, &[]).is_err());
    }

    #[test]
    fn what_no_tree_has_is_refused() {
        let root = leaf(0);
        assert_eq!(verify_inclusion(&root, 0, 1, &[], &root), Ok(()));
        assert_eq!(verify_inclusion(&root, 0, 0, &[], &root), Err(Error::Index { index: 0, size: 0 }));
        assert_eq!(verify_consistency(2, &root, 1, &root, &[]), Err(Error::Sizes { old: 2, new: 1 }));
    }

    #[test]
    fn a_proof_of_another_length_is_called_that() {
        let root = root_hash(&TILES, 5).unwrap();
        let proof = inclusion_proof(&TILES, 1, 5).unwrap();
        let verdict = |proof: &[Hash]| verify_inclusion(&leaf(1), 1, 5, proof, &root);
        assert_eq!(verdict(&proof), Ok(()));
        assert_eq!(verdict(&proof[..2]), Err(Error::Inclusion("is shorter than the tree is high")));
        assert_eq!(
            verdict(&[&proof[..], &[root]].concat()),
            Err(Error::Inclusion("is longer than the tree is high"))
        );
        assert_eq!(
            verdict(&[root, root, root]),
            Err(Error::Inclusion("does not lead from the entry to the root"))
        );

        let old = root_hash(&TILES, 3).unwrap();
        let proof = consistency_proof(&TILES, 3, 5).unwrap();
        let verdict = |proof: &[Hash]| verify_consistency(3, &old, 5, &root, proof);
        assert_eq!(verdict(&proof), Ok(()));
        assert_eq!(verdict(&[]), Err(Error::Consistency("is empty though the tree grew")));
        assert_eq!(verdict(&proof[..2]), Err(Error::Consistency("is shorter than the tree is high")));
        assert_eq!(
            verdict(&[&proof[..], &[root]].concat()),
            Err(Error::Consistency("is longer than the tree is high"))
        );
        assert_eq!(
            verdict(&[root, root, root, root]),
            Err(Error::Consistency("does not lead to both roots"))
        );
    }

    #[test]
    fn the_largest_trees_are_no_trap() {
        let hash = leaf(0);
        for size in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
            for other in [0, 1, 2, 1 << 62, size / 2, size - 1, size] {
                for length in [0, 1, 63, 64, 65, 200] {
                    let proof = vec![hash; length];
                    assert!(other == size || verify_inclusion(&hash, other, size, &proof, &hash).is_err());
                    assert!(
                        other == size && length == 0
                            || verify_consistency(other, &hash, size, &hash, &proof).is_err()
                    );
                }
                if other < size {
                    assert!(tiles_for_inclusion(other, size).unwrap().iter().all(|id| id.level() < 8));
                }
                assert!(tiles_for_consistency(other, size).unwrap().iter().all(|id| id.level() < 8));
            }
        }
    }

    proptest! {
        #[test]
        fn a_proof_holds_and_nothing_near_it_does(size in 1..=70_000_u64, index: u64, bit: usize, other in 0..70_000_u64) {
            let index = index % size;
            let root = root_hash(&TILES, size).unwrap();
            let proof = inclusion_proof(&TILES, index, size).unwrap();
            let holds = |leaf: &Hash, index, size, proof: &[Hash], root: &Hash| {
                verify_inclusion(leaf, index, size, proof, root).is_ok()
            };
            prop_assert!(holds(&leaf(index), index, size, &proof, &root));
            prop_assert!(other == index || !holds(&leaf(other), index, size, &proof, &root));
            prop_assert!(other == index || !holds(&leaf(index), other, size, &proof, &root));
            prop_assert!(!holds(&leaf(index), index, size, &[&proof[..], &[root]].concat(), &root));
            if let Some((last, shorter)) = proof.split_last() {
                prop_assert!(!holds(&leaf(index), index, size, shorter, &root));
                let bytes: Vec<u8> = proof.iter().flat_map(|hash| hash.0).collect();
                let damaged: Vec<_> = flipped(&bytes, bit).chunks(32).filter_map(Hash::from_slice).collect();
                prop_assert!(!holds(&leaf(index), index, size, &damaged, &root));
                prop_assert!(!holds(&leaf(index), index, size, &proof, last));
            }
        }

        #[test]
        fn a_consistency_proof_holds_and_nothing_near_it_does(new in 2..=70_000_u64, old: u64, bit: usize) {
            let old = 1 + old % (new - 1);
            let (old_root, new_root) = (root_hash(&TILES, old).unwrap(), root_hash(&TILES, new).unwrap());
            let proof = consistency_proof(&TILES, old, new).unwrap();
            let holds = |old, new, proof: &[Hash]| verify_consistency(old, &old_root, new, &new_root, proof).is_ok();
            prop_assert!(holds(old, new, &proof));
            prop_assert!(!holds(old, new, &proof[1..]));
            prop_assert!(!holds(old, new, &proof[..proof.len() - 1]));
            prop_assert!(!holds(old, new, &[&proof[..], &[new_root]].concat()));
            let bytes: Vec<u8> = proof.iter().flat_map(|hash| hash.0).collect();
            let damaged: Vec<_> = flipped(&bytes, bit).chunks(32).filter_map(Hash::from_slice).collect();
            prop_assert!(!holds(old, new, &damaged));
            let damaged = Hash::from_slice(&flipped(&old_root.0, bit)).unwrap();
            prop_assert!(verify_consistency(old, &damaged, new, &new_root, &proof).is_err());
            let damaged = Hash::from_slice(&flipped(&new_root.0, bit)).unwrap();
            prop_assert!(verify_consistency(old, &old_root, new, &damaged, &proof).is_err());
        }

        #[test]
        fn no_numbers_make_a_verifier_panic(a: u64, b: u64, length in 0..70_usize, fill: [u8; 32]) {
            let hash = Hash(fill);
            let proof = vec![hash; length];
            // numbers without relation to a proof of one repeated hash: nothing may hold but the trivial
            prop_assert!(verify_inclusion(&hash, a, b, &proof, &EMPTY_ROOT).is_err());
            prop_assert!(a == b || verify_consistency(a, &hash, b, &hash, &proof).is_err());
            let _ = (tiles_for_inclusion(a, b), tiles_for_consistency(a, b), tiles_for_root(a));
        }
    }
}
