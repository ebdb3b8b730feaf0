//! What can be wrong with a tree, a proof, a note or a mirror, in one sentence each.

use crate::Hash;

/// Every failure of this crate. No variant means "retry": the same input fails the same way again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{0}` is not the base64 of a SHA-256 hash")]
    Hash(String),
    #[error(
        "`{0}` is not `checkpoint`, `tile/<level>/<index>` or `tile/entries/<index>` in their one spelling"
    )]
    Path(String),
    #[error("a tile has a level of 0 to 63 and a width of 1 to 256, not level {level} and width {width}")]
    TileShape { level: u8, width: u16 },
    #[error("a tile of width {width} has {width} hashes of 32 bytes, not {bytes} bytes")]
    TileLength { width: u16, bytes: usize },
    /// A tile of a mirror is not the one that the checkpoint commits to.
    #[error("tile `{path}` {why}")]
    Tile { path: String, why: &'static str },
    #[error("`{path}` is missing")]
    Missing { path: String },
    #[error("`{path}` cannot be read: {why}")]
    Unreadable { path: String, why: String },
    #[error("an entry has at most 65535 bytes, this one has {0}")]
    EntryLength(usize),
    #[error("a bundle holds 1 to 256 entries, not {0}")]
    BundleCount(usize),
    #[error("the bundle {0}")]
    Bundle(&'static str),
    /// An entry of a mirror is not the one that the checkpoint commits to.
    #[error("entry {index} in `{path}` {why}")]
    Entry { index: u64, path: String, why: &'static str },
    #[error("the tiles hash to the root `{found}`, but the checkpoint says `{expected}`")]
    Root { expected: Hash, found: Hash },
    #[error("index {index} is not in a tree of size {size}")]
    Index { index: u64, size: u64 },
    #[error("a tree of size {new} does not extend one of size {old}")]
    Sizes { old: u64, new: u64 },
    #[error("the inclusion proof {0}")]
    Inclusion(&'static str),
    #[error("the consistency proof {0}")]
    Consistency(&'static str),
    #[error("tile `{0}` is not on the right edge of the tree, or is given twice")]
    Edge(String),
    #[error("the tree holds as many entries as an index can count")]
    Full,
    #[error(
        "`{0}` cannot name a key: a name has no spaces, plus signs or control characters and is not empty"
    )]
    KeyName(String),
    #[error("verifier key `{key}` {why}")]
    Vkey { key: String, why: &'static str },
    #[error("the note {0}")]
    Note(&'static str),
    #[error("`{0}` is not a signature line: an em dash, the key's name and base64, separated by one space")]
    SignatureLine(String),
    #[error("the signature by key `{0}` does not verify")]
    Signature(String),
    #[error("the note bears no signature by a known key")]
    Unsigned,
    #[error("the signer of key `{key}` failed: {why}")]
    Signer { key: String, why: String },
    #[error("the checkpoint {0}")]
    Checkpoint(&'static str),
    #[error("the checkpoint of `{0}` bears no signature by a known key of that name")]
    Origin(String),
    #[error("the receipt {0}")]
    Receipt(&'static str),
    #[error("the witness message {0}")]
    Witness(&'static str),
}

/// Input as an error repeats it: its first characters, so that no message grows with what was sent.
pub(crate) fn shown(input: &str) -> String {
    const SHOWN: usize = 80;
    match input.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", input.get(..end).unwrap_or_default()),
        None => input.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn long_input_is_cut_between_characters() {
        assert_eq!(shown("short"), "short");
        assert_eq!(shown(&"ü".repeat(80)), "ü".repeat(80));
        assert_eq!(shown(&"ü".repeat(81)), format!("{}…", "ü".repeat(80)));
    }
}
