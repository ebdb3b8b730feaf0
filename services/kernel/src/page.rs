//! Page tokens: opaque, MACed, and bound to the question that they continue.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    hash,
};

/// Bytes of the MAC that travel.
const TAG: usize = 16;
/// Page size when the caller does not say.
pub const DEFAULT_PAGE: i32 = 50;
/// Largest page.
pub const MAX_PAGE: i32 = 1_000;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Value of the order column, when it is text.
    pub text: String,
    /// Value of the order column, when it is a number or a time.
    pub int: i64,
    /// Identity of the last row.
    pub id: Uuid,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    question: String,
    cursor: Cursor,
}

/// Makes and checks page tokens with the deployment's key.
#[derive(Clone)]
pub struct PageKey(Vec<u8>);

impl PageKey {
    /// From key bytes.
    pub fn new(key: Vec<u8>) -> Self {
        Self(key)
    }

    /// A token that continues `question` after `cursor`.
    pub fn seal(&self, question: &str, cursor: Cursor) -> Result<String> {
        let payload = Payload { question: question.to_owned(), cursor };
        let mut bytes = serde_json::to_vec(&payload).map_err(Error::internal)?;
        let tag = hash::mac(&self.0, &bytes);
        bytes.splice(0..0, tag.into_iter().take(TAG));
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The cursor of a token that continues `question`; anything else is refused.
    pub fn open(&self, question: &str, token: &str) -> Result<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::PageToken)?;
        let (tag, payload) = bytes.split_at_checked(TAG).ok_or(Error::PageToken)?;
        if !hash::mac_matches(&self.0, payload, tag) {
            return Err(Error::PageToken);
        }
        let payload: Payload = serde_json::from_slice(payload).map_err(|_| Error::PageToken)?;
        if payload.question == question { Ok(payload.cursor) } else { Err(Error::PageToken) }
    }
}

/// The page size to use; a negative one is refused, a larger one than the limit is cut to it (AIP-158).
pub fn size(asked: i32) -> Result<i64> {
    match asked {
        0 => Ok(i64::from(DEFAULT_PAGE)),
        n if n < 0 => Err(Error::invalid("page_size", "is negative; use 1 to 1,000, or 0 for 50")),
        n => Ok(i64::from(n.min(MAX_PAGE))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> PageKey {
        PageKey::new(b"a key of the test".to_vec())
    }

    fn cursor() -> Cursor {
        Cursor { text: "banker".to_owned(), int: 7, id: Uuid::nil() }
    }

    #[test]
    fn a_token_continues_its_own_question_only() {
        let token = key().seal("roles of acme by name", cursor()).unwrap();
        assert_eq!(key().open("roles of acme by name", &token).unwrap(), cursor());
        assert!(key().open("roles of other by name", &token).is_err());
        assert!(PageKey::new(b"another".to_vec()).open("roles of acme by name", &token).is_err());
    }

    proptest! {
        #[test]
        fn no_flipped_bit_is_accepted(byte in 0_usize..60, bit in 0_u8..8) {
            let token = key().seal("q", cursor()).unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
            let at = byte % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(key().open("q", &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = key().open("q", &text);
        }
    }
}
