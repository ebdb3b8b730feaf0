//! Timestamped cosignatures (`cosignature/v1`): a witness's word that, at a time, it had seen no tree of the log that
//! this checkpoint does not extend.

use ed25519_dalek::{Signer as _, SigningKey};

use crate::{
    Error,
    note::{Note, Signature, Verified},
    vkey::{Algorithm, Vkey},
};

/// A witness's key in memory. It is not printed and wiped when dropped.
pub struct Cosigner {
    vkey: Vkey,
    key: SigningKey,
}

impl Cosigner {
    /// The key with this seed, under a name as [`Vkey::new`] takes it.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, Error> {
        let key = SigningKey::from_bytes(seed);
        Ok(Self { vkey: Vkey::new(name, Algorithm::Cosignature, key.verifying_key().as_bytes())?, key })
    }

    /// The public half.
    pub fn vkey(&self) -> &Vkey {
        &self.vkey
    }

    /// Cosigns the text of a checkpoint at a time in seconds since 1970, below two to the 63rd.
    pub fn cosign(&self, text: &str, time: u64) -> Result<Signature, Error> {
        let why = "the time is not below 2^63 seconds".to_owned();
        let message = message(text, time).ok_or_else(|| Error::Signer { key: self.vkey.label(), why })?;
        let signature = self.key.sign(message.as_bytes()).to_bytes();
        Signature::new(self.vkey.name(), self.vkey.id(), [&time.to_be_bytes()[..], &signature].concat())
    }
}

impl std::fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cosigner").field("vkey", &self.vkey.to_string()).finish_non_exhaustive()
    }
}

/// Adds to a checkpoint's note those of the signature lines that known witnesses made, and returns them. Lines by
/// other keys are passed over; a wrong one by a known witness is [`Error::Signature`], and none by any known witness
/// [`Error::Unsigned`]: then the note is left as it was.
pub fn add_cosignatures(
    note: &mut Note,
    lines: Vec<Signature>,
    witnesses: &[Vkey],
) -> Result<Vec<Verified>, Error> {
    let mut cosigned = note.clone();
    let mut verified = Vec::new();
    for line in lines {
        // a plain key among the witnesses signs notes, it does not witness them
        if let Some(found) = line.verify(note.text(), witnesses)?.filter(|found| found.time.is_some()) {
            cosigned.add(line)?;
            verified.push(found);
        }
    }
    if verified.is_empty() {
        return Err(Error::Unsigned);
    }
    *note = cosigned;
    Ok(verified)
}

/// What a witness signs; `None` for a time that the format does not have.
pub(crate) fn message(text: &str, time: u64) -> Option<String> {
    i64::try_from(time).ok().map(|time| format!("cosignature/v1\ntime {time}\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Checkpoint, EMPTY_ROOT,
        testing::{ORIGIN, signer, vkey},
    };

    fn note() -> Note {
        Checkpoint::new(ORIGIN, 0, EMPTY_ROOT).unwrap().sign(&[&signer(1)]).unwrap()
    }

    fn witness(seed: u8) -> Cosigner {
        Cosigner::from_seed("witness.example/w1", &[seed; 32]).unwrap()
    }

    #[test]
    fn what_is_signed_is_what_the_specification_shows() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(message(text, 1_679_315_147).unwrap(), format!("cosignature/v1\ntime 1679315147\n{text}"));
    }

    #[test]
    fn a_checkpoint_is_cosigned_at_a_time() {
        let (mut note, witness) = (note(), witness(9));
        let line = witness.cosign(note.text(), 1_700_000_000).unwrap();
        assert_eq!(line.bytes().len(), 72);
        let added = add_cosignatures(&mut note, vec![line], &[witness.vkey().clone()]).unwrap();
        assert_eq!((added[0].time, &added[0].key), (Some(1_700_000_000), witness.vkey()));
        assert_eq!(note.signatures().len(), 2);
        let later = witness.cosign(note.text(), 1_700_000_009).unwrap();
        add_cosignatures(&mut note, vec![later], &[witness.vkey().clone()]).unwrap();
        let times: Vec<_> =
            note.verify(&[vkey(1), witness.vkey().clone()]).unwrap().iter().map(|found| found.time).collect();
        assert_eq!(times, [None, Some(1_700_000_009)]);
    }

    #[test]
    fn the_time_and_the_text_are_signed() {
        let (note, witness) = (note(), witness(9));
        let line = witness.cosign(note.text(), 1_700_000_000).unwrap();
        assert!(witness.vkey().verify(note.text(), line.bytes()).is_ok());
        assert!(witness.vkey().verify("another text\n", line.bytes()).is_err());
        for bit in 0..72 * 8 {
            let damaged = crate::testing::flipped(line.bytes(), bit);
            assert!(witness.vkey().verify(note.text(), &damaged).is_err(), "bit {bit}");
        }
        assert!(witness.vkey().verify(note.text(), &line.bytes()[8..]).is_err());
        assert!(witness.vkey().verify(note.text(), &[]).is_err());
    }

    #[test]
    fn there_is_no_time_after_the_last() {
        assert!(witness(9).cosign("x\n", i64::MAX as u64).is_ok());
        assert!(matches!(witness(9).cosign("x\n", 1 << 63), Err(Error::Signer { .. })));
    }

    #[test]
    fn only_known_witnesses_count() {
        let mut note = note();
        let before = note.clone();
        let line = witness(9).cosign(note.text(), 1).unwrap();
        let unknown = add_cosignatures(&mut note, vec![line.clone()], &[witness(8).vkey().clone()]);
        assert_eq!(unknown, Err(Error::Unsigned));
        assert_eq!(add_cosignatures(&mut note, vec![], &[witness(9).vkey().clone()]), Err(Error::Unsigned));
        // the log's own signature, handed back, is no witness's
        let own = vec![note.signatures()[0].clone()];
        assert_eq!(add_cosignatures(&mut note, own, &[vkey(1)]), Err(Error::Unsigned));
        let wrong = Signature::new(line.name(), line.key_id(), vec![0; 72]).unwrap();
        let wrong = add_cosignatures(&mut note, vec![line, wrong], &[witness(9).vkey().clone()]);
        assert_eq!(wrong, Err(Error::Signature(witness(9).vkey().label())));
        assert_eq!(note, before);
    }
}
