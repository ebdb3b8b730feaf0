//! Receipts (`c2sp.org/tlog-proof@v1`): everything that proves one entry to someone who has the entry and the log's
//! verifier key.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    Checkpoint, Error, Hash, MAX_INCLUSION, SignedCheckpoint, leaf_hash,
    note::{MAX_NOTE, Note},
    path::canonical_decimal,
    verify_inclusion,
    vkey::Vkey,
};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The most bytes of [`Receipt::extra`].
pub const MAX_EXTRA: usize = 65_536;
/// The largest receipt in bytes.
const MAX_RECEIPT: usize = MAX_NOTE + 2 * MAX_EXTRA;

/// The proof that an entry is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    extra: Vec<u8>,
    index: u64,
    proof: Vec<Hash>,
    checkpoint: Note,
}

impl Receipt {
    /// A receipt of the entry at `index`, with its inclusion proof in the tree of the checkpoint.
    pub fn new(index: u64, proof: Vec<Hash>, checkpoint: Note) -> Result<Self, Error> {
        if proof.len() > MAX_INCLUSION {
            return Err(Error::Receipt("has more than 64 hashes"));
        }
        let size = Checkpoint::parse(checkpoint.text())?.size();
        if index >= size {
            return Err(Error::Index { index, size });
        }
        Ok(Self { extra: Vec::new(), index, proof, checkpoint })
    }

    /// Adds data of the application, at most [`MAX_EXTRA`] bytes. Nothing vouches for it.
    pub fn with_extra(self, extra: Vec<u8>) -> Result<Self, Error> {
        if extra.len() > MAX_EXTRA {
            return Err(Error::Receipt("has more than 65536 bytes of extra data"));
        }
        Ok(Self { extra, ..self })
    }

    /// Reads a receipt strictly: what is accepted is what [`Receipt`] displays, byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_RECEIPT {
            return Err(Error::Receipt("has more than 1131072 bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Receipt("is not UTF-8"))?;
        let (head, note) =
            text.split_once("\n\n").ok_or(Error::Receipt("has no blank line before its checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(Error::Receipt("does not begin with `c2sp.org/tlog-proof@v1`"));
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => {
                parse_extra(line).ok_or(Error::Receipt("has extra data that is not base64, or empty"))?
            }
            None => Vec::new(),
        };
        let index = lines
            .next()
            .and_then(|line| canonical_decimal(line.strip_prefix("index ")?))
            .ok_or(Error::Receipt("has no line `index` with a decimal number without leading zeros"))?;
        let proof = lines.take(MAX_INCLUSION + 1).map(Hash::parse).collect::<Result<_, _>>()?;
        Self::new(index, proof, Note::parse(note.as_bytes())?)?.with_extra(extra)
    }

    /// Checks that `entry` is the one in the log, by the known keys of logs and witnesses: see [`Checkpoint::open`].
    pub fn verify(&self, entry: &[u8], known: &[Vkey]) -> Result<SignedCheckpoint, Error> {
        let signed = Checkpoint::open_note(self.checkpoint.clone(), known)?;
        let tree = &signed.checkpoint;
        verify_inclusion(&leaf_hash(entry), self.index, tree.size(), &self.proof, tree.root())?;
        Ok(signed)
    }

    /// Data of the application that nothing vouches for; empty when there is none.
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }

    /// The index of the entry.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The inclusion proof, the leaf's sibling first.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The checkpoint, unverified.
    pub fn checkpoint(&self) -> &Note {
        &self.checkpoint
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", BASE64_STANDARD.encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn parse_extra(line: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(line.strip_prefix("extra ")?).ok().filter(|extra| !extra.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        inclusion_proof, root_hash,
        testing::{ORIGIN, TILES, entry, flipped, signer, vkey},
    };

    fn receipt(index: u64, size: u64) -> Receipt {
        let checkpoint = Checkpoint::new(ORIGIN, size, root_hash(&TILES, size).unwrap()).unwrap();
        let proof = inclusion_proof(&TILES, index, size).unwrap();
        Receipt::new(index, proof, checkpoint.sign(&[&signer(1)]).unwrap()).unwrap()
    }

    #[test]
    fn a_receipt_proves_its_entry_and_no_other() {
        for (index, size) in [(0, 1), (0, 2), (1, 2), (255, 256), (300, 70_000), (69_999, 70_000)] {
            let receipt = receipt(index, size);
            let text = receipt.to_string();
            assert!(text.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")), "{text}");
            assert_eq!(Receipt::parse(text.as_bytes()), Ok(receipt.clone()));
            assert_eq!(receipt.verify(&entry(index), &[vkey(1)]).unwrap().checkpoint.size(), size);
            assert!(receipt.verify(&entry(index + 1), &[vkey(1)]).is_err());
            assert_eq!(receipt.verify(&entry(index), &[vkey(2)]), Err(Error::Unsigned));
        }
    }

    #[test]
    fn extra_data_goes_along() {
        let plain = receipt(5, 9);
        let extra = plain.clone().with_extra(b"extra".to_vec()).unwrap();
        assert_eq!(extra.to_string(), plain.to_string().replace("\nindex 5", "\nextra ZXh0cmE=\nindex 5"));
        assert_eq!(Receipt::parse(extra.to_string().as_bytes()).unwrap().extra(), b"extra");
        assert!(extra.verify(&entry(5), &[vkey(1)]).is_ok());
        let largest = plain.clone().with_extra(vec![0; MAX_EXTRA]).unwrap();
        assert_eq!(Receipt::parse(largest.to_string().as_bytes()), Ok(largest));
        assert!(plain.with_extra(vec![0; MAX_EXTRA + 1]).is_err());
    }

    #[test]
    fn one_flipped_bit_is_refused_wherever_it_is() {
        let bytes = receipt(300, 777).to_string().into_bytes();
        for bit in 0..bytes.len() * 8 {
            let damaged = Receipt::parse(&flipped(&bytes, bit));
            assert!(
                damaged.and_then(|receipt| receipt.verify(&entry(300), &[vkey(1)])).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn what_is_not_a_receipt_is_refused() {
        let good = receipt(3, 9).to_string();
        let hash = format!("{}\n", receipt(3, 9).proof()[0]);
        for bad in [
            String::new(),
            good.replace("@v1", "@v2"),
            good.replace("index 3", "index 03"),
            good.replace("index 3", "index +3"),
            good.replace("index 3", "index  3"),
            good.replace("index 3\n", ""),
            good.replace("index 3", "index 9"),
            good.replace("index 3", "extra \nindex 3"),
            good.replace("index 3", "extra ZXh0cmE\nindex 3"),
            good.replace("index 3", "extra AAAA\nextra AAAA\nindex 3"),
            good.replace("index 3", "index 3\nextra AAAA"),
            good.replace(&hash, &hash.repeat(62)),
            good.replace(&hash, &format!("{hash}\n")),
            good.replace(&hash, &hash.to_lowercase()),
            good.replace("\n9\n", "\n09\n"),
            good.replace('\n', "\r\n"),
            format!("\n{good}"),
            format!("{good}\n"),
        ] {
            assert_ne!(bad, good);
            assert!(Receipt::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        // 64 hashes are as many as there can be: they are read, and do not verify
        let long = Receipt::parse(good.replace(&hash, &hash.repeat(61)).as_bytes()).unwrap();
        assert_eq!(long.proof().len(), MAX_INCLUSION);
        assert!(matches!(long.verify(&entry(3), &[vkey(1)]), Err(Error::Inclusion(_))));
        assert!(
            Receipt::new(3, vec![*long.proof().first().unwrap(); 65], long.checkpoint().clone()).is_err()
        );
    }
}
