//! Checks some events of a log against the hashes of its copy: the entries themselves need not be in the copy, as in an
//! evidence pack, or come from an export.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde::Deserialize;
use serde_json::value::RawValue;
use tlog::{
    Checkpoint, Hash, Resource, TILE_WIDTH, Tile, TileId, TileSet, Vkey, consistency_proof, inclusion_proof,
    leaf_hash, tiles_for_consistency, tiles_for_inclusion, verify_consistency, verify_inclusion,
};

use super::super::mirror::Dir;
use crate::error::{Error, Result};

/// What was found good.
#[derive(Default)]
pub struct Checked {
    /// Events that were hashed and found in the tree.
    pub events: u64,
    /// Tiles of leaf hashes that were found under the checkpoint.
    pub tiles: u64,
}

/// A line of `events.ndjson`. The entry's bytes are hashed as they stand.
#[derive(Deserialize)]
struct Line<'l> {
    index: u64,
    leaf_hash: &'l str,
    #[serde(borrow)]
    entry: &'l RawValue,
}

/// Checks every event of a file.
pub fn events(path: &Path, dir: &Dir, checkpoint: &Checkpoint) -> Result<Checked> {
    let unreadable =
        |why: std::io::Error| Error::Local(format!("`{}` cannot be read: {why}", path.display()));
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let (mut checked, mut leaves, mut last) = (Checked::default(), None::<Tile>, None);
    for (line, number) in file.lines().zip(1_u64..) {
        let line = line.map_err(unreadable)?;
        let event: Line<'_> = serde_json::from_str(&line).map_err(|why| {
            Error::Unverified(format!("line {number} of `{}` is no event: {why}", path.display()))
        })?;
        let index = event.index;
        if last.is_some_and(|last| last >= index) {
            return Err(Error::Unverified(format!("event {index} does not stand behind the one before it")));
        }
        last = Some(index);
        let found = leaf_hash(event.entry.get().as_bytes());
        if found.to_string() != event.leaf_hash {
            return Err(Error::Unverified(format!("event {index} does not hash to the leaf hash beside it")));
        }
        let bundle = index / u64::from(TILE_WIDTH);
        if leaves.as_ref().is_none_or(|tile| tile.id().index() != bundle) {
            leaves = Some(tile_with(index, dir, checkpoint)?);
            checked.tiles += 1;
        }
        if leaves.as_ref().and_then(|tile| leaf_of(tile, index)) != Some(&found) {
            return Err(Error::Unverified(format!("event {index} does not hash to its leaf in the tree")));
        }
        checked.events += 1;
    }
    Ok(checked)
}

/// The tile of leaf hashes that has an index, proved to be under the checkpoint: the proof of one leaf is computed from all
/// the other hashes of its tile, so that it proves them too.
fn tile_with(index: u64, dir: &Dir, checkpoint: &Checkpoint) -> Result<Tile> {
    let size = checkpoint.size();
    let needed = tiles_for_inclusion(index, size)?;
    let id =
        TileId::in_tree(0, index / u64::from(TILE_WIDTH), size).ok_or(tlog::Error::Index { index, size })?;
    let tile = read(dir, id)?;
    let mut tiles: TileSet = needed.into_iter().map(|id| read(dir, id)).collect::<Result<_>>()?;
    tiles.insert(tile.clone());
    let proof = inclusion_proof(&tiles, index, size)?;
    let leaf = leaf_of(&tile, index).ok_or(tlog::Error::Index { index, size })?;
    verify_inclusion(leaf, index, size, &proof, checkpoint.root())
        .map_err(|why| Error::Unverified(format!("`{}` is not under the checkpoint: {why}", id.path())))?;
    Ok(tile)
}

fn leaf_of(tile: &Tile, index: u64) -> Option<&Hash> {
    let place = usize::try_from(index % u64::from(TILE_WIDTH)).ok()?;
    tile.hashes().get(place)
}

fn read(dir: &Dir, id: TileId) -> Result<Tile> {
    let path = Resource::Tile(id).path();
    let bytes = dir.read(&path)?.ok_or(tlog::Error::Missing { path })?;
    Ok(Tile::decode(id, &bytes)?)
}

/// Checks that the log only grew from an older checkpoint; returns that one's size.
pub fn extends(older: &Path, known: &[Vkey], dir: &Dir, checkpoint: &Checkpoint) -> Result<u64> {
    let note = std::fs::read(older)
        .map_err(|why| Error::Local(format!("`{}` cannot be read: {why}", older.display())))?;
    let wrong = |why: &dyn std::fmt::Display| Error::Unverified(format!("`{}`: {why}", older.display()));
    let old = Checkpoint::open(&note, known).map_err(|why| wrong(&why))?.checkpoint;
    if old.origin() != checkpoint.origin() {
        return Err(wrong(&format!("it is of the log `{}`, not `{}`", old.origin(), checkpoint.origin())));
    }
    let needed = tiles_for_consistency(old.size(), checkpoint.size()).map_err(|why| wrong(&why))?;
    let tiles: TileSet = needed.into_iter().map(|id| read(dir, id)).collect::<Result<_>>()?;
    consistency_proof(&tiles, old.size(), checkpoint.size())
        .and_then(|proof| {
            verify_consistency(old.size(), old.root(), checkpoint.size(), checkpoint.root(), &proof)
        })
        .map_err(|why| wrong(&format!("the log does not extend it: {why}")))?;
    Ok(old.size())
}
