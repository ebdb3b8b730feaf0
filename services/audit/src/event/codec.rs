//! How the rows of the search index hold sets of offsets and lists of times.

use kernel::{Result, clock::Time, error::Error};
use roaring::RoaringBitmap;

/// Sets of up to this many offsets are listed: most terms of a log are of one event. The serial form of a bitmap is longer.
const LISTED: u64 = 3;

/// The bytes of a set of offsets below 65,536.
pub fn encode_bits(mut bits: RoaringBitmap) -> Result<Vec<u8>> {
    if bits.len() <= LISTED {
        let short = |offset| u16::try_from(offset).map(u16::to_le_bytes).map_err(Error::internal);
        return Ok(bits.iter().map(short).collect::<Result<Vec<_>>>()?.concat());
    }
    bits.optimize();
    let mut bytes = Vec::with_capacity(bits.serialized_size());
    bits.serialize_into(&mut bytes).map_err(Error::internal)?;
    Ok(bytes)
}

/// The set that [`encode_bits`] wrote.
pub fn decode_bits(bytes: &[u8]) -> Result<RoaringBitmap> {
    if bytes.len() <= 6 {
        let offsets = bytes.chunks_exact(2).filter_map(|pair| pair.first_chunk());
        return Ok(offsets.map(|pair| u32::from(u16::from_le_bytes(*pair))).collect());
    }
    RoaringBitmap::deserialize_from(bytes).map_err(damaged)
}

/// The bytes of a list of times: differences of microseconds, zigzag, seven bits a byte, the lowest first.
pub fn encode_times(times: &[Time]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(times.len() * 4);
    let mut before = 0_i64;
    for time in times {
        let difference = time.micros().wrapping_sub(before);
        before = time.micros();
        let mut rest = (difference.wrapping_shl(1) ^ (difference >> 63)).cast_unsigned();
        loop {
            let seven = u8::try_from(rest & 0x7f).unwrap_or(0);
            rest >>= 7;
            if rest == 0 {
                bytes.push(seven);
                break;
            }
            bytes.push(seven | 0x80);
        }
    }
    bytes
}

/// The times of one or more lists of `length` times, one behind the other.
pub fn decode_times(bytes: &[u8], length: usize) -> Result<Vec<Time>> {
    let mut times = Vec::new();
    let (mut value, mut shift, mut before) = (0_u64, 0_u32, 0_i64);
    for byte in bytes {
        let bits = u64::from(byte & 0x7f).checked_shl(shift);
        value |= bits.ok_or_else(|| damaged("a number is too long"))?;
        shift += 7;
        if byte & 0x80 != 0 {
            continue;
        }
        if times.len() % length.max(1) == 0 {
            before = 0;
        }
        let difference = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
        before = before.wrapping_add(difference);
        times.push(Time::from_micros(before));
        (value, shift) = (0, 0);
    }
    Ok(times)
}

fn damaged(why: impl std::fmt::Display) -> Error {
    Error::internal(format!("the search index of the audit log is damaged: {why}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_read_back(bits in prop::collection::btree_set(0..65_536_u32, 0..40), run in 0..5_000_u32) {
            let bits: RoaringBitmap = bits.into_iter().chain(0..run).collect();
            prop_assert_eq!(decode_bits(&encode_bits(bits.clone()).unwrap()).unwrap(), bits);
        }

        #[test]
        fn times_are_read_back_from_lists_behind_each_other(times in prop::collection::vec(any::<i64>(), 12)) {
            let times: Vec<_> = times.into_iter().map(Time::from_micros).collect();
            let bytes: Vec<u8> = times.chunks(4).flat_map(encode_times).collect();
            prop_assert_eq!(decode_times(&bytes, 4).unwrap(), times);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), length in 0..9_usize) {
            let _ = (decode_bits(&bytes), decode_times(&bytes, length));
        }
    }

    #[test]
    fn one_event_takes_two_bytes_and_all_events_few() {
        assert_eq!(encode_bits(RoaringBitmap::from([4_095])).unwrap().len(), 2);
        assert!(encode_bits((0..65_536).collect()).unwrap().len() < 32);
        assert!(encode_bits((0..65_536).step_by(2).collect()).unwrap().len() < 8_300);
        let steady: Vec<_> =
            (0..4_096).map(|n| Time::from_micros(1_795_337_483_348_000 + n * 2_000)).collect();
        assert!(encode_times(&steady).len() < 4_096 * 2 + 16);
    }
}
