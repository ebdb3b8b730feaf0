//! How the terms of a segment are stored: some fifty to a row. Most terms are of a single event (its request, its target),
//! and a row for each would cost more than the event itself.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Result, error::Error};

/// Parts in which the buckets of large segments are worked on.
const PARTS: i64 = 64;

/// Terms, each with the bytes of its events.
pub type Postings = BTreeMap<i64, Vec<u8>>;

/// Bits of a term below those that choose its bucket: 256 buckets in a segment of level 0, 4,096 in one of level 1.
fn shift(level: i64) -> u32 {
    if level == 0 { 56 } else { 52 }
}

/// The bucket of a term. Buckets have the order of their terms, and may be negative as they are.
pub fn bucket(level: i64, term: i64) -> i64 {
    term >> shift(level)
}

/// The buckets of some terms, each once.
pub fn buckets(level: i64, terms: &[i64]) -> Vec<i64> {
    terms.iter().map(|term| bucket(level, *term)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// All buckets of a level, in parts of equal width.
pub fn parts(level: i64) -> impl Iterator<Item = (i64, i64)> {
    let half = i64::MAX >> shift(level);
    let width = (half + 1) / (PARTS / 2);
    (-PARTS / 2..PARTS / 2).map(move |part| (part * width, (part + 1) * width - 1))
}

/// Terms as rows: bucket and bytes, in order.
pub fn pack(level: i64, terms: &Postings) -> Vec<(i64, Vec<u8>)> {
    let mut rows: Vec<(i64, Vec<u8>)> = Vec::new();
    for (term, events) in terms {
        let wanted = bucket(level, *term);
        if rows.last().is_none_or(|(last, _)| *last != wanted) {
            rows.push((wanted, Vec::new()));
        }
        if let Some((_, row)) = rows.last_mut() {
            row.extend(term.to_be_bytes());
            // at most 8 KiB and a little: a set of 65,536 offsets
            row.extend(u16::try_from(events.len()).unwrap_or(u16::MAX).to_be_bytes());
            row.extend(events);
        }
    }
    rows
}

/// The terms of a row, in order, each with the bytes of its events.
pub fn unpack(mut row: &[u8]) -> Result<Vec<(i64, &[u8])>> {
    let mut terms = Vec::new();
    while !row.is_empty() {
        let (term, rest) = row.split_first_chunk().ok_or_else(damaged)?;
        let (length, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (events, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        terms.push((i64::from_be_bytes(*term), events));
        row = rest;
    }
    Ok(terms)
}

fn damaged() -> Error {
    Error::internal("the search index of the audit log is damaged: a row ends within a term")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn terms_are_read_back_from_the_buckets_they_belong_to(
            terms in prop::collection::btree_map(any::<i64>(), prop::collection::vec(any::<u8>(), 0..40), 0..400),
            level in 0..2_i64,
        ) {
            let rows = pack(level, &terms);
            prop_assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0));
            let mut again = Postings::new();
            for (number, row) in &rows {
                for (term, events) in unpack(row).unwrap() {
                    prop_assert_eq!(bucket(level, term), *number);
                    again.insert(term, events.to_vec());
                }
            }
            prop_assert_eq!(again, terms);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = unpack(&bytes);
        }
    }

    #[test]
    fn the_parts_are_all_buckets_and_none_twice() {
        for level in [0, 1] {
            let parts: Vec<_> = parts(level).collect();
            assert_eq!(parts.len(), 64);
            assert_eq!((parts[0].0, parts[63].1), (bucket(level, i64::MIN), bucket(level, i64::MAX)));
            assert!(parts.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
        }
    }

    #[test]
    fn the_parts_of_small_segments_are_those_of_large_ones() {
        for ((first, last), (large_first, large_last)) in parts(0).zip(parts(1)) {
            assert_eq!((first << 4, ((last + 1) << 4) - 1), (large_first, large_last));
        }
    }
}
