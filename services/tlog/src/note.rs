//! Signed notes: a text, a blank line, and a line for each signature.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::{
    Error,
    error::shown,
    vkey::{Algorithm, Vkey, check_name},
};

/// The largest note in bytes.
pub const MAX_NOTE: usize = 1_000_000;
/// The most signatures of a note.
pub const MAX_SIGNATURES: usize = 100;

const TOO_LARGE: Error = Error::Note("has more than 1000000 bytes");
const TOO_MANY: Error = Error::Note("has more than 100 signatures");

/// Signs notes with a key that may live elsewhere.
pub trait Signer: Send + Sync {
    /// The public half.
    fn vkey(&self) -> &Vkey;

    /// The signature over a note's text: the bytes behind the key id. [`Error::Signer`] when the key cannot be used.
    fn sign(&self, text: &str) -> Result<Vec<u8>, Error>;
}

/// An Ed25519 key in memory. It is not printed, not even by `{:?}`, and wiped when dropped.
pub struct Ed25519Signer {
    vkey: Vkey,
    key: SigningKey,
}

/// A text with at least one signature, not necessarily a good one: see [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    key_id: u32,
    bytes: Vec<u8>,
}

/// A signature that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The key that made it.
    pub key: Vkey,
    /// When a witness saw the checkpoint, in seconds since 1970; none for a plain signature.
    pub time: Option<u64>,
}

impl Ed25519Signer {
    /// The key with this seed (RFC 8032's private key), under a name as [`Vkey::new`] takes it.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = SigningKey::from_bytes(seed);
        Ok(Self { vkey: Vkey::new(name, Algorithm::Ed25519, key.verifying_key().as_bytes())?, key })
    }
}

impl Signer for Ed25519Signer {
    fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    fn sign(&self, text: &str) -> Result<Vec<u8>, Error> {
        Ok(self.key.sign(text.as_bytes()).to_bytes().to_vec())
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519Signer").field("vkey", &self.vkey.to_string()).finish_non_exhaustive()
    }
}

impl Note {
    /// Signs a text with every signer, in this order: one at least, more while a key is being replaced.
    pub fn sign(text: &str, signers: &[&dyn Signer]) -> Result<Self, Error> {
        check_text(text)?;
        let mut note = Self { text: text.to_owned(), signatures: Vec::new() };
        for signer in signers {
            let (vkey, bytes) = (signer.vkey(), signer.sign(text)?);
            note.add(Signature::new(vkey.name(), vkey.id(), bytes)?)?;
        }
        if note.signatures.is_empty() { Err(Error::Note("has no signature")) } else { Ok(note) }
    }

    /// Reads a note strictly: what is accepted is what [`Note`] displays, byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_NOTE {
            return Err(TOO_LARGE);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| Error::Note("is not UTF-8"))?;
        if !note.ends_with('\n') {
            return Err(Error::Note("does not end in a line feed"));
        }
        // the last blank line separates: the text may have blank lines of its own
        let blank = note.rfind("\n\n").ok_or(Error::Note("has no blank line before its signatures"))?;
        let (text, lines) = note.split_at_checked(blank + 1).unwrap_or_default();
        check_text(text)?;
        let lines = signature_lines(lines.strip_prefix('\n').unwrap_or_default())?;
        Ok(Self { text: text.to_owned(), signatures: lines })
    }

    /// The text, with its last line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, unverified.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature line, in the place of one by the same key if there is one.
    pub fn add(&mut self, signature: Signature) -> Result<(), Error> {
        let mut signatures = self.signatures.clone();
        match signatures
            .iter_mut()
            .find(|held| held.name == signature.name && held.key_id == signature.key_id)
        {
            Some(held) => *held = signature,
            None => signatures.push(signature),
        }
        if signatures.len() > MAX_SIGNATURES {
            return Err(TOO_MANY);
        }
        if self.text.len() + 1 + signatures.iter().map(Signature::line_length).sum::<usize>() > MAX_NOTE {
            return Err(TOO_LARGE);
        }
        self.signatures = signatures;
        Ok(())
    }

    /// Which of the known keys signed the note. Signatures by other keys are passed over; a wrong one by a known key
    /// is [`Error::Signature`], and none by any known key [`Error::Unsigned`].
    pub fn verify(&self, known: &[Vkey]) -> Result<Vec<Verified>, Error> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            verified.extend(signature.verify(&self.text, known)?);
        }
        if verified.is_empty() { Err(Error::Unsigned) } else { Ok(verified) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    /// A signature by the key with this name and id.
    pub fn new(name: &str, key_id: u32, bytes: Vec<u8>) -> Result<Self, Error> {
        check_name(name)?;
        if bytes.is_empty() {
            return Err(Error::Note("has a signature of no bytes"));
        }
        Ok(Self { name: name.to_owned(), key_id, bytes })
    }

    /// Reads a signature line without its line feed.
    pub fn parse(line: &str) -> Result<Self, Error> {
        Self::read(line).ok_or_else(|| Error::SignatureLine(shown(line)))
    }

    fn read(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix("— ")?.split_once(' ')?;
        let bytes = BASE64_STANDARD.decode(base64).ok()?;
        let (id, bytes) = bytes.split_first_chunk()?;
        Self::new(name, u32::from_be_bytes(*id), bytes.to_vec()).ok()
    }

    /// The name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The id of the key.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The signature, without the key id.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of the line with its line feed: dash, spaces, name and the base64 of key id and signature.
    fn line_length(&self) -> usize {
        "—  \n".len() + self.name.len() + (self.bytes.len() + 4).div_ceil(3) * 4
    }

    /// Verifies against the known key that the line names; `None` when no known key has that name and id.
    pub fn verify(&self, text: &str, known: &[Vkey]) -> Result<Option<Verified>, Error> {
        let mut wrong = None;
        // key ids are short: two known keys of one name may share one, and either may have signed
        for key in known.iter().filter(|key| key.name() == self.name && key.id() == self.key_id) {
            match key.verify(text, &self.bytes) {
                Ok(time) => return Ok(Some(Verified { key: key.clone(), time })),
                Err(error) => wrong = Some(error),
            }
        }
        wrong.map_or(Ok(None), Err)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes()[..], &self.bytes].concat();
        write!(f, "— {} {}", self.name, BASE64_STANDARD.encode(bytes))
    }
}

/// Reads one or more signature lines, each with its line feed, up to [`MAX_SIGNATURES`].
pub(crate) fn signature_lines(text: &str) -> Result<Vec<Signature>, Error> {
    let lines = text.strip_suffix('\n').ok_or(Error::Note("has no signature"))?;
    if lines.split('\n').count() > MAX_SIGNATURES {
        return Err(TOO_MANY);
    }
    lines.split('\n').map(Signature::parse).collect()
}

fn check_text(text: &str) -> Result<(), Error> {
    if text.bytes().any(|b| b < b' ' && b != b'\n') {
        return Err(Error::Note("has a control character in its text"));
    }
    if text.ends_with('\n') {
        Ok(())
    } else {
        Err(Error::Note("has a text that does not end in a line feed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ORIGIN, flipped, signer, vkey};

    const TEXT: &str = "a text\n\nwith a blank line\n";

    fn note(seeds: &[u8]) -> Note {
        let signers: Vec<_> = seeds.iter().map(|seed| signer(*seed)).collect();
        let signers: Vec<_> = signers.iter().map(|signer| signer as &dyn Signer).collect();
        Note::sign(TEXT, &signers).unwrap()
    }

    fn refusal(note: &[u8]) -> String {
        Note::parse(note).unwrap_err().to_string()
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let note = note(&[1, 2]);
        assert_eq!(Note::parse(note.to_string().as_bytes()), Ok(note.clone()));
        assert_eq!((note.text(), note.signatures().len()), (TEXT, 2));
        assert_eq!(note.signatures()[0].name(), ORIGIN);
        assert_eq!(note.signatures()[0].key_id(), vkey(1).id());
        assert_eq!(note.signatures()[0].bytes().len(), 64);
    }

    #[test]
    fn either_key_verifies_while_one_replaces_the_other() {
        let note = note(&[1, 2]);
        for (known, found) in [(vec![1], 1), (vec![2], 1), (vec![1, 2], 2), (vec![3, 2], 1)] {
            let known: Vec<_> = known.into_iter().map(vkey).collect();
            assert_eq!(note.verify(&known).unwrap().len(), found);
        }
        assert_eq!(note.verify(&[vkey(3)]), Err(Error::Unsigned));
        assert_eq!(note.verify(&[]), Err(Error::Unsigned));
    }

    #[test]
    fn a_wrong_signature_by_a_known_key_spoils_the_note() {
        let mut note = note(&[1, 2]);
        let wrong = Signature::new(ORIGIN, vkey(2).id(), vec![7; 64]).unwrap();
        note.add(wrong).unwrap();
        assert_eq!(note.signatures().len(), 2);
        assert_eq!(note.verify(&[vkey(1), vkey(2)]), Err(Error::Signature(vkey(2).label())));
        assert!(note.verify(&[vkey(1)]).is_ok());
        note.add(Signature::new(ORIGIN, vkey(1).id(), vec![7; 63]).unwrap()).unwrap();
        assert_eq!(note.verify(&[vkey(1)]), Err(Error::Signature(vkey(1).label())));
    }

    #[test]
    fn one_flipped_bit_is_refused_wherever_it_is() {
        let bytes = note(&[1]).to_string().into_bytes();
        for bit in 0..bytes.len() * 8 {
            let read = Note::parse(&flipped(&bytes, bit)).and_then(|note| note.verify(&[vkey(1)]));
            assert!(read.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_not_a_note_is_refused() {
        let good = note(&[1]).to_string();
        let line = note(&[1]).signatures()[0].to_string();
        for (bad, why) in [
            (String::new(), "does not end in a line feed"),
            ("\n".into(), "no blank line"),
            ("\n\n".into(), "no signature"),
            (TEXT.into(), "not a signature line"),
            (format!("{TEXT}\n"), "no signature"),
            (good.trim_end().into(), "does not end in a line feed"),
            (format!("{good}\n"), "no signature"),
            (good.replace("a text", "a\ttext"), "control character"),
            (good.replace('\n', "\r\n"), "no blank line"),
            (good.replace("— ", "- "), "not a signature line"),
            (good.replace("— ", "—  "), "not a signature line"),
            (good.replace("— ", "—\u{a0}"), "not a signature line"),
            (good.replace(ORIGIN, "a+b"), "not a signature line"),
            (good.replace(ORIGIN, "a\u{2003}b"), "not a signature line"),
            (format!("{TEXT}\n— x AAAAAA==\n"), "not a signature line"),
            (format!("{TEXT}\n{}", format!("{line}\n").repeat(101)), "more than 100 signatures"),
            (format!("{}{good}", "x".repeat(MAX_NOTE)), "more than 1000000 bytes"),
        ] {
            assert!(refusal(bad.as_bytes()).contains(why), "{bad:?}: {}", refusal(bad.as_bytes()));
        }
        assert!(refusal(b"\xff\n\n").contains("not UTF-8"));
        assert!(Note::parse(format!("{TEXT}\n{}", format!("{line}\n").repeat(100)).as_bytes()).is_ok());
    }

    #[test]
    fn no_note_is_made_that_would_not_be_read() {
        let signer = signer(1);
        for (text, signers) in
            [("no end", vec![&signer as &dyn Signer]), ("bell\x07\n", vec![&signer]), ("x\n", vec![])]
        {
            assert!(Note::sign(text, &signers).is_err(), "{text}");
        }
        let spare = MAX_NOTE - "\n\n".len() - note(&[1]).signatures()[0].line_length();
        let largest = Note::sign(&format!("{}\n", "x".repeat(spare)), &[&signer]).unwrap().to_string();
        assert_eq!(largest.len(), MAX_NOTE);
        assert!(Note::parse(largest.as_bytes()).is_ok());
        assert_eq!(Note::sign(&format!("{}\n", "x".repeat(spare + 1)), &[&signer]), Err(TOO_LARGE));

        let mut full = note(&[1]);
        for id in 1..100 {
            full.add(Signature::new("w", id, vec![0]).unwrap()).unwrap();
        }
        let before = full.clone();
        assert_eq!(full.add(Signature::new("w", 100, vec![0]).unwrap()), Err(TOO_MANY));
        assert_eq!(full, before);
        full.add(Signature::new("w", 99, vec![1]).unwrap()).unwrap();
        assert_eq!(Note::parse(full.to_string().as_bytes()), Ok(full));
        assert!(Signature::new("w", 1, vec![]).is_err() && Signature::new("", 1, vec![0]).is_err());
    }

    #[test]
    fn a_seed_is_not_printed() {
        let printed = format!("{:?}", signer(171));
        assert!(
            printed.contains(ORIGIN) && !printed.contains("171") && !printed.contains("abab"),
            "{printed}"
        );
    }
}
