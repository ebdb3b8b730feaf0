//! A transparency log in the public C2SP formats, byte for byte: what it is made of, what proves it, and how it is
//! checked by someone who trusts nobody. Nothing here reads a file, a clock or a random number.
//!
//! # The life of a leaf
//!
//! 1. An entry, any bytes up to [`MAX_ENTRY`], becomes a leaf: [`leaf_hash`] (RFC 6962).
//! 2. Whoever sequences the log holds an [`Appender`], opened from the tiles that [`right_edge`] names, and gives it
//!    the leaf: the index is final. [`Appender::take_tiles`] then yields the tiles that changed, at most 256 hashes
//!    each, to be stored with the entries in one transaction; [`encode_bundle`] makes the entries a file.
//! 3. [`Appender::root`] goes into a [`Checkpoint`], which a [`Signer`] signs into a [`Note`]: one key, or two while
//!    one replaces the other. From now on the leaf can be neither altered nor dropped nor moved unseen.
//! 4. Witnesses add their word that they have seen no other tree: an [`AddCheckpoint`] asks for it with a
//!    [`consistency_proof`], [`add_cosignatures`] takes the answer.
//! 5. Files are served under the paths of [`Resource`]: `checkpoint`, tiles, bundles of entries. A mirror fetches what
//!    [`tiles_added`] and [`bundles_added`] list.
//! 6. Someone asks for proof of the entry. [`tiles_for_inclusion`] says which tiles that takes; storage gives them,
//!    in its own way and time, into a [`TileSet`]; [`inclusion_proof`] computes the rest; a [`Receipt`] holds all of it.
//! 7. Whoever holds the receipt, the entry and the log's [`Vkey`] checks it alone, years later: [`Receipt::verify`].
//! 8. Whoever holds a mirror checks all of it: [`Checkpoint::open`], then [`audit()`], which names the first entry or
//!    tile that is not what the checkpoint commits to. The entry may have been pruned by then; its hash stays.
//!
//! # Rules
//!
//! Parsers are strict: what one accepts is what would be written, byte for byte, and everything has a limit. No input
//! makes anything panic. Indexes and sizes are any `u64`.
//!
//! Formats: `c2sp.org/signed-note`, `tlog-checkpoint`, `tlog-cosignature`, `tlog-tiles`, `tlog-proof`, `tlog-witness`;
//! hashes RFC 6962, verification of proofs RFC 9162.

mod append;
mod audit;
mod checkpoint;
mod cosignature;
mod error;
#[cfg(test)]
mod fuzz;
mod hash;
mod note;
mod path;
#[cfg(test)]
mod peers;
mod proof;
mod receipt;
#[cfg(test)]
mod testing;
mod tile;
mod verify;
mod vkey;
mod witness;

pub use append::{Appender, right_edge};
pub use audit::{Audited, audit};
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use cosignature::{Cosigner, add_cosignatures};
pub use error::Error;
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use note::{Ed25519Signer, MAX_NOTE, MAX_SIGNATURES, Note, Signature, Signer, Verified};
pub use path::{BundleId, MAX_LEVEL, Resource, TILE_WIDTH, TileId, bundles_added, tiles_added};
pub use proof::{
    MAX_INCLUSION, consistency_proof, inclusion_proof, root_hash, tiles_for_consistency, tiles_for_inclusion,
    tiles_for_root,
};
pub use receipt::{MAX_EXTRA, Receipt};
pub use tile::{MAX_ENTRY, Tile, TileSet, decode_bundle, encode_bundle};
pub use verify::{verify_consistency, verify_inclusion};
pub use vkey::{Algorithm, Vkey};
pub use witness::{AddCheckpoint, MAX_CONSISTENCY, SIZE_MEDIA_TYPE, parse_cosignatures, parse_size};
