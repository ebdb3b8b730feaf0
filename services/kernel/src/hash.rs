//! Digests.

use hmac::{Hmac, KeyInit as _, Mac as _};
/// What assistants call a plugin where they keep its name to themselves.
pub use schema::telemetry_hash;
use sha2::{Digest as _, Sha256};

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// The first 16 hex digits of a SHA-256: enough to tell versions apart.
pub fn short_hex(bytes: &[u8]) -> String {
    let mut text = hex(&sha256(bytes));
    text.truncate(16);
    text
}

/// HMAC-SHA256 (RFC 2104).
pub fn mac(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    keyed(key, bytes).finalize().into_bytes().into()
}

/// Whether `tag` begins the HMAC of `bytes`, compared in constant time.
pub fn mac_matches(key: &[u8], bytes: &[u8], tag: &[u8]) -> bool {
    keyed(key, bytes).verify_truncated_left(tag).is_ok()
}

fn keyed(key: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length; the error case does not exist for it
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| Hmac::<Sha256>::new(&hmac::digest::Key::<Hmac<Sha256>>::default()));
    mac.update(bytes);
    mac
}
