//! What proves that the events of a pack are in the log: a part of a mirror without entries. It has the tile of leaf hashes
//! of every event in the pack and the tiles between those and the checkpoint's root, and what proves that the checkpoint
//! extends the one from before the period.

use std::collections::BTreeSet;

use kernel::{Ctx, Result, error::Error};
use tlog::{Note, Receipt, TILE_WIDTH, TileId, TileSet};
use uuid::Uuid;

use super::{archive::Archive, events::Found};
use crate::sequencer::store::tile_get_all;

/// Tiles that are read at once.
const TILES: usize = 64;

/// Writes the tiles below `log/`.
pub async fn tiles(
    ctx: &Ctx,
    scope: Uuid,
    found: &Found,
    (before, size): (u64, u64),
    archive: &mut Archive,
) -> Result<()> {
    let ids: Vec<_> = needed(found, before, size)?.into_iter().collect();
    for ids in ids.chunks(TILES) {
        let tiles = tile_get_all(&mut ctx.read().await?, scope, ids).await?;
        if tiles.len() != ids.len() {
            return Err(Error::internal("a tile under a checkpoint is not stored"));
        }
        for tile in tiles {
            archive.file(&format!("log/{}", tile.id().path()), &tile.encode()).await?;
        }
    }
    Ok(())
}

/// The tiles that prove the inclusion of every event of the pack in a tree of `size`, and that it extends one of `before`.
fn needed(found: &Found, before: u64, size: u64) -> Result<BTreeSet<TileId>> {
    let mut needed = BTreeSet::from_iter(tlog::tiles_for_root(size));
    if before > 0 {
        needed.extend(tlog::tiles_for_consistency(before, size).map_err(Error::internal)?);
    }
    let mut seen = None;
    for offset in &found.all {
        let index = u64::try_from(found.index(offset)).map_err(Error::internal)?;
        let tile = index / u64::from(TILE_WIDTH);
        // all events below one tile are proved by the same tiles
        if seen.replace(tile) == Some(tile) {
            continue;
        }
        needed.extend(TileId::in_tree(0, tile, size));
        needed.extend(tlog::tiles_for_inclusion(index, size).map_err(Error::internal)?);
    }
    Ok(needed)
}

/// The proof of one event under the checkpoint.
pub async fn receipt(ctx: &Ctx, scope: Uuid, index: i64, (size, checkpoint): (u64, &Note)) -> Result<String> {
    let index = u64::try_from(index).map_err(Error::internal)?;
    let needed = tlog::tiles_for_inclusion(index, size).map_err(Error::internal)?;
    let tiles: TileSet = tile_get_all(&mut ctx.read().await?, scope, &needed).await?.into_iter().collect();
    let hashes = tlog::inclusion_proof(&tiles, index, size).map_err(Error::internal)?;
    Ok(Receipt::new(index, hashes, checkpoint.clone()).map_err(Error::internal)?.to_string())
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::*;
    use crate::evidence::events::Span;

    #[test]
    fn the_tiles_of_a_few_events_of_a_large_log_are_few() {
        let found = Found {
            span: Span { from: 70_000, below: 80_000 },
            all: RoaringBitmap::from_iter([0, 1, 255, 5_000]),
            of: Vec::new(),
            reviews: RoaringBitmap::new(),
        };
        let needed = needed(&found, 70_000, 200_001).unwrap();
        let leaves: Vec<_> = needed.iter().filter(|id| id.level() == 0).map(TileId::index).collect();
        assert_eq!(leaves, [273, 274, 292, 781], "those of the events, and the right edge");
        assert!(needed.len() < 12, "{needed:?}");
    }
}
