//! RFC 6962 hashing.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use crate::{Error, error::shown};

/// A SHA-256 hash: of a leaf, of a node or of a whole tree. Displayed as base64, as notes and proofs carry it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; Hash::LEN]);

/// The root of the tree without entries: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

impl Hash {
    /// Bytes of a hash.
    pub const LEN: usize = 32;

    /// The hash in these 32 bytes, `None` for any other number of them.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads padded base64 in its one canonical spelling.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // the length first, so that nothing large is decoded only to be refused
        let bytes = if text.len() == 44 { BASE64_STANDARD.decode(text).ok() } else { None };
        bytes.and_then(|bytes| Self::from_slice(&bytes)).ok_or_else(|| Error::Hash(shown(text)))
    }

    /// Lower-case hex.
    pub fn to_hex(&self) -> String {
        let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; Hash::LEN]> for Hash {
    fn from(bytes: [u8; Hash::LEN]) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The hash of an entry: `SHA256(0x00 || entry)`.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// The hash of two neighbours: `SHA256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into())
}

/// The hash of the complete subtree over these neighbours, as many as a power of two.
pub(crate) fn fold(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                [only, ..] => *only,
                [] => EMPTY_ROOT,
            })
            .collect();
    }
    row.first().copied().unwrap_or(EMPTY_ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_a_node_and_nothing_hash_apart() {
        // the empty leaf, as in the reference tests of certificate-transparency-go
        assert_eq!(
            leaf_hash(b"").to_hex(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(EMPTY_ROOT.0, <[u8; 32]>::from(Sha256::digest(b"")));
        assert_ne!(node_hash(&EMPTY_ROOT, &EMPTY_ROOT), leaf_hash(&[EMPTY_ROOT.0, EMPTY_ROOT.0].concat()));
    }

    #[test]
    fn base64_has_one_spelling() {
        let hash = leaf_hash(b"entry");
        assert_eq!(Hash::parse(&hash.to_string()), Ok(hash));
        let text = hash.to_string();
        for bad in [
            String::new(),
            text.trim_end_matches('=').to_owned(),
            format!("{text}="),
            format!(" {text}"),
            text.replace('=', "\n"),
            text.to_lowercase().replace('=', "=="),
        ] {
            assert_eq!(Hash::parse(&bad), Err(Error::Hash(bad.clone())));
        }
        // the last character carries two bits that belong to no byte; set, they would be a second spelling
        let zero = Hash([0; 32]).to_string();
        assert_eq!(zero, format!("{}=", "A".repeat(43)));
        assert!(Hash::parse(&format!("{}B=", "A".repeat(42))).is_err());
    }
}
