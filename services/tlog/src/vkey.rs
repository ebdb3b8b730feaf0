//! Verifier keys: `<name>+<key id in hex>+<base64 of algorithm and public key>`.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signature as Ed25519, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::{Error, cosignature, error::shown};

/// How a key signs, by the byte that names it in a verifier key and in a key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 0x01: Ed25519 over the note's text.
    Ed25519,
    /// 0x04: a witness's Ed25519 over the time and the note's text.
    Cosignature,
}

/// A public key under a name: what a verifier must know beforehand, and all it must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vkey {
    name: String,
    id: u32,
    algorithm: Algorithm,
    public: VerifyingKey,
}

impl Algorithm {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 1,
            Self::Cosignature => 4,
        }
    }
}

impl Vkey {
    /// The key of this name. A name is not empty and has no spaces, plus signs or control characters; a log's key is
    /// named as the origin of its checkpoints.
    pub fn new(name: &str, algorithm: Algorithm, public: &[u8; 32]) -> Result<Self, Error> {
        check_name(name)?;
        let bad = |why| Error::Vkey { key: shown(name), why };
        let public = VerifyingKey::from_bytes(public).map_err(|_| bad("is no point on the curve"))?;
        if public.is_weak() {
            return Err(bad("is of small order: anyone could sign with it"));
        }
        let id = key_id(name, &[&[algorithm.byte()][..], public.as_bytes()].concat());
        Ok(Self { name: name.to_owned(), id, algorithm, public })
    }

    /// Reads the one spelling that [`Vkey`] displays, and checks that the key id belongs to the key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why| Error::Vkey { key: shown(text), why };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("is not `<name>+<key id>+<key>`"));
        };
        // 44 characters: the algorithm and 32 bytes; other algorithms may be longer, but are not read here
        let key = if key.len() == 44 { BASE64_STANDARD.decode(key).ok() } else { None };
        let key = key.ok_or_else(|| bad("does not end in the base64 of an algorithm and 32 bytes"))?;
        let (algorithm, public) = match key.split_first() {
            Some((1, public)) => (Algorithm::Ed25519, public),
            Some((4, public)) => (Algorithm::Cosignature, public),
            _ => return Err(bad("has an algorithm other than 1 (Ed25519) and 4 (cosignature)")),
        };
        let public = public.try_into().map_err(|_| bad("does not end in the base64 of 33 bytes"))?;
        let vkey = Self::new(name, algorithm, public)?;
        if format!("{:08x}", vkey.id) != id {
            return Err(bad("has a key id that is not the one of its name and key in lower-case hex"));
        }
        Ok(vkey)
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of a hash over name, algorithm and key, as signature lines carry them.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How the key signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key as RFC 8032 encodes it.
    pub fn public(&self) -> &[u8; 32] {
        self.public.as_bytes()
    }

    /// Name and key id: how messages speak of a key.
    pub fn label(&self) -> String {
        format!("{}+{:08x}", self.name, self.id)
    }

    /// Checks the bytes of a signature line behind the key id. A cosignature yields its time, in seconds since 1970.
    pub fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, Error> {
        let wrong = || Error::Signature(self.label());
        let check = |message: &[u8], signature: &[u8]| {
            let signature = Ed25519::from_slice(signature).map_err(|_| wrong())?;
            self.public.verify_strict(message, &signature).map_err(|_| wrong())
        };
        match self.algorithm {
            Algorithm::Ed25519 => check(text.as_bytes(), signature).map(|()| None),
            Algorithm::Cosignature => {
                let (time, signature) = signature.split_first_chunk().ok_or_else(wrong)?;
                let time = u64::from_be_bytes(*time);
                check(cosignature::message(text, time).ok_or_else(wrong)?.as_bytes(), signature)?;
                Ok(Some(time))
            }
        }
    }
}

impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm.byte()][..], self.public.as_bytes()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, BASE64_STANDARD.encode(key))
    }
}

impl FromStr for Vkey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// Whether a key may bear this name.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let bad = |c: char| c.is_whitespace() || c < ' ' || c == '+';
    if name.is_empty() || name.contains(bad) { Err(Error::KeyName(shown(name))) } else { Ok(()) }
}

fn key_id(name: &str, key: &[u8]) -> u32 {
    let hash = Sha256::new().chain_update(name).chain_update(b"\n").chain_update(key).finalize();
    hash.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Note, testing::vkey};

    // the key of the Go checksum database, as its clients carry it
    const GO: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

    #[test]
    fn keys_of_others_are_read() {
        let key = Vkey::parse(GO).unwrap();
        assert_eq!(
            (key.name(), key.id(), key.algorithm()),
            ("sum.golang.org", 0x033d_e0ae, Algorithm::Ed25519)
        );
        assert_eq!(key.to_string(), GO);
        assert_eq!(key.label(), "sum.golang.org+033de0ae");
        assert_eq!(GO.parse(), Ok(key));
    }

    #[test]
    fn a_note_of_others_verifies() {
        // the example in the documentation of golang.org/x/mod/sumdb/note
        let key = Vkey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let note = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n\
            \n\
            — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let note = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(note.verify(&[key]).unwrap().len(), 1);
    }

    #[test]
    fn a_key_has_one_spelling() {
        let (name, rest) = GO.split_once('+').unwrap();
        for (bad, why) in [
            (String::new(), "is not `<name>+<key id>+<key>`"),
            (name.to_owned(), "is not `<name>+<key id>+<key>`"),
            (format!("sum.golang.com+{rest}"), "has a key id that"),
            (GO.replace("033de0ae", "033DE0AE"), "has a key id that"),
            (GO.replace("033de0ae", "33de0ae"), "has a key id that"),
            (format!("{GO}="), "does not end in the base64"),
            (GO.replace("+Ac4", "+Bc4"), "has an algorithm other than"),
            (GO.replace("+Ac4", "+BM4"), "has a key id that"),
            (format!("x+00000000+AQ{}", "A".repeat(42)), "is of small order"),
        ] {
            let error = Vkey::parse(&bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert_eq!(Vkey::parse(&format!("a b+{rest}")), Err(Error::KeyName("a b".into())));
        assert_eq!(Vkey::parse(&format!("+{rest}")), Err(Error::KeyName(String::new())));
    }

    #[test]
    fn a_key_under_another_name_or_use_is_another_key() {
        let key = vkey(1);
        let renamed = Vkey::new("other.example", Algorithm::Ed25519, key.public()).unwrap();
        let witness = Vkey::new(key.name(), Algorithm::Cosignature, key.public()).unwrap();
        assert!(key.id() != renamed.id() && key.id() != witness.id());
        assert_eq!(Vkey::parse(&witness.to_string()), Ok(witness));
    }
}
