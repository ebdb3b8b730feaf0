//! What is said to and by a witness over HTTP (`c2sp.org/tlog-witness`): the bodies alone.

use std::fmt;

use crate::{
    Checkpoint, Error, Hash,
    note::{MAX_NOTE, Note, Signature, signature_lines},
    path::canonical_decimal,
};

/// Hashes that a request carries at most.
pub const MAX_CONSISTENCY: usize = 63;
/// The media type of the size in an answer 409.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// The body of `POST <prefix>/add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old_size: u64,
    proof: Vec<Hash>,
    checkpoint: Note,
}

impl AddCheckpoint {
    /// Asks to cosign a checkpoint, with the proof that it extends the tree of `old_size` entries which the witness
    /// cosigned last: 0 and no proof when it has cosigned none.
    pub fn new(old_size: u64, proof: Vec<Hash>, checkpoint: Note) -> Result<Self, Error> {
        if proof.len() > MAX_CONSISTENCY {
            return Err(Error::Witness("has more than 63 hashes"));
        }
        let new = Checkpoint::parse(checkpoint.text())?.size();
        if old_size > new {
            return Err(Error::Sizes { old: old_size, new });
        }
        Ok(Self { old_size, proof, checkpoint })
    }

    /// Reads a request strictly: what is accepted is what [`AddCheckpoint`] displays, byte for byte.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let text = text(body)?;
        let (head, note) =
            text.split_once("\n\n").ok_or(Error::Witness("has no blank line before its checkpoint"))?;
        let mut lines = head.split('\n');
        let old_size = lines
            .next()
            .and_then(|line| canonical_decimal(line.strip_prefix("old ")?))
            .ok_or(Error::Witness("does not begin with `old` and a decimal number without leading zeros"))?;
        let proof = lines.take(MAX_CONSISTENCY + 1).map(Hash::parse).collect::<Result<_, _>>()?;
        Self::new(old_size, proof, Note::parse(note.as_bytes())?)
    }

    /// The size that the witness cosigned last, as the log believes.
    pub fn old_size(&self) -> u64 {
        self.old_size
    }

    /// The consistency proof.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The checkpoint, unverified.
    pub fn checkpoint(&self) -> &Note {
        &self.checkpoint
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Reads an answer 200: one or more signature lines, for [`crate::add_cosignatures`].
pub fn parse_cosignatures(body: &[u8]) -> Result<Vec<Signature>, Error> {
    signature_lines(text(body)?)
}

/// Reads an answer 409 of type [`SIZE_MEDIA_TYPE`]: the size that the witness did cosign last.
pub fn parse_size(body: &[u8]) -> Result<u64, Error> {
    text(body)?
        .strip_suffix('\n')
        .and_then(canonical_decimal)
        .ok_or(Error::Witness("is not a decimal number without leading zeros in a line"))
}

fn text(body: &[u8]) -> Result<&str, Error> {
    if body.len() > MAX_NOTE + MAX_CONSISTENCY * 45 + 26 {
        return Err(Error::Witness("is larger than any checkpoint with its proof"));
    }
    std::str::from_utf8(body).map_err(|_| Error::Witness("is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Cosigner, consistency_proof, root_hash,
        testing::{ORIGIN, TILES, signer},
        verify_consistency,
    };

    fn request(old: u64, new: u64) -> AddCheckpoint {
        let checkpoint = Checkpoint::new(ORIGIN, new, root_hash(&TILES, new).unwrap()).unwrap();
        let proof = consistency_proof(&TILES, old, new).unwrap();
        AddCheckpoint::new(old, proof, checkpoint.sign(&[&signer(1)]).unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for (old, new) in [(0, 0), (0, 9), (9, 9), (9, 70_000), (65_536, 65_537)] {
            let request = request(old, new);
            let read = AddCheckpoint::parse(request.to_string().as_bytes()).unwrap();
            assert_eq!(read, request);
            assert!(request.to_string().starts_with(&format!("old {old}\n")));
            let head = Checkpoint::parse(read.checkpoint().text()).unwrap();
            let old_root = root_hash(&TILES, read.old_size()).unwrap();
            assert_eq!(verify_consistency(old, &old_root, head.size(), head.root(), read.proof()), Ok(()));
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        let good = request(9, 70_000).to_string();
        let hash = format!("{}\n", request(9, 70_000).proof()[0]);
        let spare = MAX_CONSISTENCY - request(9, 70_000).proof().len();
        let most = good.replace(&hash, &hash.repeat(1 + spare));
        assert_eq!(AddCheckpoint::parse(most.as_bytes()).unwrap().proof().len(), MAX_CONSISTENCY);
        for bad in [
            String::new(),
            good.replace("old 9\n", ""),
            good.replace("old 9", "old 09"),
            good.replace("old 9", "old +9"),
            good.replace("old 9", "old"),
            good.replace("old 9", "old 9 "),
            good.replace("old 9", "old 70001"),
            good.replace("old 9\n", "old 9\n\n"),
            good.replace(&hash, &hash.repeat(2 + spare)),
            good.replace('\n', "\r\n"),
            format!("{good}\n"),
        ] {
            assert!(AddCheckpoint::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(AddCheckpoint::parse(b"old 1\n\xff").is_err());
        assert!(AddCheckpoint::parse(&vec![b'x'; 2_000_000]).is_err());
    }

    #[test]
    fn answers_are_read() {
        let witness = Cosigner::from_seed("witness.example/w1", &[9; 32]).unwrap();
        let line = witness.cosign("text\n", 7).unwrap();
        let body = format!("{line}\n{line}\n");
        assert_eq!(parse_cosignatures(body.as_bytes()), Ok(vec![line.clone(), line.clone()]));
        for bad in
            [String::new(), "\n".into(), line.to_string(), format!("{line}\n\n"), format!("\n{line}\n")]
        {
            assert!(parse_cosignatures(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(parse_size(b"20852014\n"), Ok(20_852_014));
        assert_eq!(parse_size(b"0\n"), Ok(0));
        for bad in ["", "\n", "1", "01\n", "+1\n", "1\n\n", "1\r\n", " 1\n", "18446744073709551616\n"] {
            assert!(parse_size(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
