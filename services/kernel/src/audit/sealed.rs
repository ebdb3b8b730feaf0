//! Personal fields inside a record: sealed with a key of the person, which can be destroyed while the record stays.
//!
//! A sealed value is `{"$s": base64(nonce || ciphertext || tag), "k": "scope.key"}`: AES-256-GCM-SIV (RFC 8452) over the
//! value's JSON, with the event's id and the value's JSON pointer as associated data, so that it opens nowhere else.

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::subject::KeyId;
use crate::error::{Error, Result};

/// Bytes of a nonce.
const NONCE: usize = 12;

/// What stands in the place of a value that can no longer be opened.
pub const ERASED: &str = "(erased)";

/// Seals `value`, which stands at `pointer` of the entry of `event`.
pub(super) fn seal(key: &[u8; 32], id: KeyId, event: Uuid, pointer: &str, value: &Value) -> Result<Value> {
    let sealed = encrypt(key, &associated(event, pointer), value.to_string().as_bytes())?;
    Ok(json!({"$s": BASE64_STANDARD.encode(sealed), "k": id.to_string()}))
}

/// The value and the id of its key, when `value` is a sealed one.
pub(super) fn parse(value: &Value) -> Option<(KeyId, Vec<u8>)> {
    let object = value.as_object().filter(|o| o.len() == 2)?;
    let (sealed, key) = (object.get("$s")?.as_str()?, object.get("k")?.as_str()?);
    Some((key.parse().ok()?, BASE64_STANDARD.decode(sealed).ok()?))
}

/// Opens what [`seal`] made.
pub(super) fn open(key: &[u8; 32], event: Uuid, pointer: &str, sealed: &[u8]) -> Result<Value> {
    let plain = decrypt(key, &associated(event, pointer), sealed)?;
    serde_json::from_slice(&plain).map_err(Error::internal)
}

fn associated(event: Uuid, pointer: &str) -> Vec<u8> {
    [event.as_bytes(), pointer.as_bytes()].concat()
}

/// Nonce, ciphertext and tag: AES-256-GCM-SIV under `key`, bound to `associated`.
pub fn encrypt(key: &[u8; 32], associated: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0_u8; NONCE];
    getrandom::fill(&mut nonce).map_err(Error::internal)?;
    let payload = Payload { msg: plain, aad: associated };
    let sealed = Aes256GcmSiv::new(&(*key).into()).encrypt(&Nonce::from(nonce), payload);
    let sealed = sealed.map_err(|_| Error::internal("sealing failed"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// What [`encrypt`] made, if key and associated data are the same.
pub fn decrypt(key: &[u8; 32], associated: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    let (nonce, ciphertext) =
        sealed.split_first_chunk::<NONCE>().ok_or_else(|| Error::internal("a sealed value is too short"))?;
    let payload = Payload { msg: ciphertext, aad: associated };
    let plain = Aes256GcmSiv::new(&(*key).into()).decrypt(&Nonce::from(*nonce), payload);
    plain
        .map_err(|_| Error::internal("a sealed value does not open: another key, or it was moved or altered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_in_its_place_and_nowhere_else() {
        let (key, event) = ([7; 32], Uuid::from_u128(1));
        let id = KeyId { scope: Uuid::from_u128(2), key: Uuid::from_u128(3) };
        let value = json!("maria@example.com");
        let sealed = seal(&key, id, event, "/chg/0/n", &value).unwrap();
        assert!(!sealed.to_string().contains("maria"));
        let (found, bytes) = parse(&sealed).unwrap();
        assert_eq!(found, id);
        assert_eq!(open(&key, event, "/chg/0/n", &bytes).unwrap(), value);
        assert!(open(&key, event, "/chg/0/o", &bytes).is_err());
        assert!(open(&key, Uuid::from_u128(9), "/chg/0/n", &bytes).is_err());
        assert!(open(&[8; 32], event, "/chg/0/n", &bytes).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, event, "/chg/0/n", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_not_sealed_is_left_alone() {
        for value in [
            json!(null),
            json!("x"),
            json!({"$s": "AA=="}),
            json!({"$s": "??", "k": "1"}),
            json!({"$s": 1, "k": "1.2"}),
        ] {
            assert!(parse(&value).is_none(), "{value}");
        }
    }
}
