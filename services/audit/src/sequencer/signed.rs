//! What is signed beside the newest checkpoint: the heads that a log had before, and lists of digests.

use kernel::{Result, error::Error};
use tlog::{Checkpoint, Note, TileSet, Vkey};

use super::{LogHead, Sequencer, store};

impl Sequencer {
    /// The signed checkpoint of a log as it was at `size`, which the newest checkpoint in `head` must cover. The root is
    /// proved to be one that the newest checkpoint extends before it is signed: of a tree that this log has never had, no
    /// signature comes into being. Whoever was given a checkpoint of that size before was given the same one.
    pub async fn signed_at(&self, head: &LogHead, size: i64) -> Result<Note> {
        let refuse = |why: &dyn std::fmt::Display| {
            Error::internal(format!("no checkpoint of size {size} of `{}` is signed: {why}", head.origin))
        };
        let vkeys = self.verifier_keys(&head.origin);
        let vkeys = vkeys.iter().map(|key| Vkey::parse(key)).collect::<Result<Vec<_>, _>>();
        let newest = Checkpoint::open(head.checkpoint.as_bytes(), &vkeys.map_err(Error::internal)?);
        let newest = newest.map_err(|e| refuse(&e))?.checkpoint;
        let size = u64::try_from(size).map_err(Error::internal)?;
        let mut needed = tlog::tiles_for_consistency(size, newest.size()).map_err(|e| refuse(&e))?;
        needed.extend(tlog::tiles_for_root(size));
        let mut db = self.kernel.db.reader().await?;
        let tiles: TileSet =
            store::tile_get_all(&mut db, head.scope_id, &needed).await?.into_iter().collect();
        let root = tlog::root_hash(&tiles, size).map_err(|e| refuse(&e))?;
        let proof = tlog::consistency_proof(&tiles, size, newest.size()).map_err(|e| refuse(&e))?;
        tlog::verify_consistency(size, &root, newest.size(), newest.root(), &proof)
            .map_err(|e| refuse(&e))?;
        self.keys.sign(&Checkpoint::new(&head.origin, size, root).map_err(Error::internal)?)
    }

    /// The raw Ed25519 signature of the log's current key over a list of digests as `sha256sum` writes it.
    ///
    /// What this key signs otherwise is the text of checkpoints. A list can never be taken for one, nor one for a list: the
    /// second line of a checkpoint is a number, whereas every line of a list, the only one too, is 64 hex digits, two spaces
    /// and a path. (What witnesses sign begins with the line `cosignature/v1`, and they sign it with keys of theirs.) So one
    /// key serves both, and who trusts the log's key needs no second one.
    pub fn sign_digests(&self, origin: &str, digests: &str) -> Result<Vec<u8>> {
        if !is_list(digests) || Checkpoint::parse(digests).is_ok() {
            return Err(Error::internal("only lists of digests are signed"));
        }
        self.keys.sign_raw(origin, digests)
    }
}

/// Whether every line is a digest and a path.
fn is_list(text: &str) -> bool {
    let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    let is_line = |line: &str| match line.split_once("  ") {
        Some((digest, path)) => digest.len() == 64 && digest.chars().all(hex) && !path.is_empty(),
        None => false,
    };
    text.ends_with('\n') && text.lines().all(is_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_digests_is_no_checkpoint_and_a_checkpoint_no_list() {
        let digest = "0f".repeat(32);
        let list = format!("{digest}  a.csv\n{digest}  log/checkpoint\n{digest}  b\n");
        assert!(is_list(&list) && Checkpoint::parse(&list).is_err());
        let root = tlog::leaf_hash(b"x");
        for origin in ["provost.dev/tenants/x", &digest, &format!("{digest}  a.csv")] {
            let text = Checkpoint::new(origin, 7, root).unwrap().to_string();
            assert!(!is_list(&text), "{text}");
        }
        for lines in 1..4 {
            assert!(Checkpoint::parse(&format!("{digest}  a\n").repeat(lines)).is_err());
        }
        for text in ["", "\n", "cosignature/v1\ntime 1\n", &format!("{digest} a\n"), &format!("{digest}  a")]
        {
            assert!(!is_list(text), "{text}");
        }
    }
}
