//! Checkpoints: the text `<origin>`, `<size>`, `<root>` in a signed note.

use std::fmt;

use crate::{
    Error, Hash,
    note::{Note, Signer, Verified},
    path::canonical_decimal,
    vkey::{Algorithm, Vkey},
};

/// What a log says of itself: at this size, its tree has this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// A checkpoint whose note bears a good signature by its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    pub checkpoint: Checkpoint,
    pub note: Note,
    /// The known keys that signed: the log's, and those of witnesses.
    pub verified: Vec<Verified>,
}

impl Checkpoint {
    /// The head of the log of this origin. An origin is one line, without control characters; it names the log's key,
    /// and so should have neither spaces nor plus signs.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, Error> {
        if origin.is_empty() || origin.contains(|c: char| c < ' ') {
            return Err(Error::Checkpoint("has no origin, or one with control characters"));
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions: Vec::new() })
    }

    /// Reads a note's text: what is accepted is what [`Checkpoint`] displays. Further lines are allowed, and given as
    /// [`Checkpoint::extensions`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let lines = text.strip_suffix('\n').ok_or(Error::Checkpoint("does not end in a line feed"))?;
        let mut lines = lines.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(Error::Checkpoint("has fewer than three lines"));
        };
        let size = canonical_decimal(size)
            .ok_or(Error::Checkpoint("has a size that is not a decimal number without leading zeros"))?;
        let mut checkpoint = Self::new(origin, size, Hash::parse(root)?)?;
        checkpoint.extensions = lines.map(str::to_owned).collect();
        if checkpoint.extensions.iter().any(|line| line.is_empty() || line.contains(|c: char| c < ' ')) {
            return Err(Error::Checkpoint("has an empty line, or one with control characters"));
        }
        Ok(checkpoint)
    }

    /// Signs with the log's keys: one, or two while one replaces the other. Each must be named as the origin, else
    /// nobody would take the signature for the log's: [`Error::Origin`].
    pub fn sign(&self, signers: &[&dyn Signer]) -> Result<Note, Error> {
        if signers.iter().any(|signer| signer.vkey().name() != self.origin) {
            return Err(Error::Origin(self.origin.clone()));
        }
        Note::sign(&self.to_string(), signers)
    }

    /// Reads a signed checkpoint and verifies it by the known keys of logs and witnesses. Beyond what [`Note::verify`]
    /// asks, one of the good signatures must be the log's own: made with a plain key that is named as the origin.
    pub fn open(note: &[u8], known: &[Vkey]) -> Result<SignedCheckpoint, Error> {
        Self::open_note(Note::parse(note)?, known)
    }

    /// [`Checkpoint::open`] of a note that was read already.
    pub fn open_note(note: Note, known: &[Vkey]) -> Result<SignedCheckpoint, Error> {
        let verified = note.verify(known)?;
        let checkpoint = Self::parse(note.text())?;
        let of_log = |key: &Vkey| key.algorithm() == Algorithm::Ed25519 && key.name() == checkpoint.origin;
        if verified.iter().any(|found| of_log(&found.key)) {
            Ok(SignedCheckpoint { checkpoint, note, verified })
        } else {
            Err(Error::Origin(checkpoint.origin))
        }
    }

    /// Which log it is.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries the log has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over them.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// Lines that other logs add; ours adds none.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cosigner, EMPTY_ROOT, Ed25519Signer, leaf_hash,
        testing::{ORIGIN, flipped, signer, vkey},
    };

    fn checkpoint() -> Checkpoint {
        Checkpoint::new(ORIGIN, 20_852_163, leaf_hash(b"x")).unwrap()
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::parse(text).unwrap();
        assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.to_string(), text);
        let more = Checkpoint::parse(&format!("{text}more\nand more\n")).unwrap();
        assert_eq!(more.extensions(), ["more", "and more"]);
        assert_eq!(more.to_string(), format!("{text}more\nand more\n"));
        let note = format!(
            "{text}\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        );
        let note = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(Checkpoint::parse(note.text()), Ok(checkpoint));
    }

    #[test]
    fn a_signed_checkpoint_opens_with_the_keys_of_its_log() {
        let note = checkpoint().sign(&[&signer(1), &signer(2)]).unwrap();
        for known in [vec![vkey(1)], vec![vkey(2)], vec![vkey(1), vkey(2)]] {
            let signed = Checkpoint::open(note.to_string().as_bytes(), &known).unwrap();
            assert_eq!(
                (signed.checkpoint, &signed.note, signed.verified.len()),
                (checkpoint(), &note, known.len())
            );
        }
        assert_eq!(Checkpoint::open(note.to_string().as_bytes(), &[vkey(3)]), Err(Error::Unsigned));
    }

    #[test]
    fn neither_a_witness_nor_another_log_speaks_for_a_log() {
        let other = Ed25519Signer::from_seed("other.example", &[1; 32]).unwrap();
        assert_eq!(checkpoint().sign(&[&signer(1), &other]), Err(Error::Origin(ORIGIN.into())));
        let by_other = Note::sign(&checkpoint().to_string(), &[&other]).unwrap();
        let known = [vkey(1), other.vkey().clone()];
        assert_eq!(Checkpoint::open_note(by_other.clone(), &known), Err(Error::Origin(ORIGIN.into())));
        // even under the log's name
        let witness = Cosigner::from_seed(ORIGIN, &[2; 32]).unwrap();
        let mut cosigned = by_other;
        cosigned.add(witness.cosign(&checkpoint().to_string(), 5).unwrap()).unwrap();
        let known = [vkey(1), witness.vkey().clone()];
        assert_eq!(Checkpoint::open_note(cosigned, &known), Err(Error::Origin(ORIGIN.into())));
    }

    #[test]
    fn one_flipped_bit_is_refused_wherever_it_is() {
        let bytes = checkpoint().sign(&[&signer(1)]).unwrap().to_string().into_bytes();
        for bit in 0..bytes.len() * 8 {
            assert!(Checkpoint::open(&flipped(&bytes, bit), &[vkey(1)]).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_not_a_checkpoint_is_refused() {
        let root = EMPTY_ROOT.to_string();
        for bad in [
            String::new(),
            "\n".into(),
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n-1\n{root}\n"),
            format!("o\n1 \n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("o\n1\n{root}=\n"),
            format!("o\n1\n{}\n", &root[1..]),
            "o\n1\n".into(),
            format!("o\n1\n{root}\n\n"),
            format!("o\n1\n{root}\nmore\n\n"),
            format!("o\n1\n{root}\n\nmore\n"),
            format!("o\t\n1\n{root}\n"),
            format!("o\n1\n{root}\nm\tore\n"),
        ] {
            assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
        }
        assert!(Checkpoint::parse(&format!("o\n18446744073709551615\n{root}\n")).is_ok());
        assert!(Checkpoint::new("", 0, EMPTY_ROOT).is_err());
        assert!(Checkpoint::new("a\nb", 0, EMPTY_ROOT).is_err());
    }
}
