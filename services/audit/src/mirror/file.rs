//! The bytes of a log's files, as far as its newest checkpoint covers them.

use std::time::Duration;

use kernel::{Result, authz::Permit, ctx::Ctx, error::Error};
use tlog::{BundleId, Resource, TileId, encode_bundle};
use uuid::Uuid;

use super::{MIRROR, store};
use crate::sequencer::{LogHead, Sequencer, meta::META, store::tile_get_all};

/// How long the first checkpoint of a log is waited for.
const FIRST_CHECKPOINT: Duration = Duration::from_secs(2);
/// How long the signature of what was sequenced a moment ago is waited for.
const SIGNATURE: Duration = Duration::from_secs(2);

/// A file of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// One that the public format names.
    Standard(Resource),
    /// The verifier keys, one a line, the current first.
    Vkey,
}

/// Why there is no such file.
#[derive(Debug)]
pub enum Missing {
    /// In the caller's words: it is not, or cannot be read.
    Error(Error),
    /// It is not there now, and the sentence says why: retention took it, or nothing was published yet.
    Because(String),
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl File {
    /// Reads a path below a log, in its one spelling.
    pub fn parse(path: &str) -> Option<Self> {
        match path {
            "vkey" => Some(Self::Vkey),
            path => Resource::parse(path).ok().map(Self::Standard),
        }
    }

    /// Whether it never changes again.
    pub fn is_immutable(self) -> bool {
        match self {
            Self::Vkey | Self::Standard(Resource::Checkpoint) => false,
            Self::Standard(Resource::Tile(tile)) => tile.is_full(),
            Self::Standard(Resource::Entries(bundle)) => bundle.is_full(),
        }
    }

    /// Whether it is text for people too.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Vkey | Self::Standard(Resource::Checkpoint))
    }
}

/// The bytes of a file of the log with this id, which is the permit's scope or [`META`]. The record keeps who fetched its
/// checkpoint or entries, as one kind of read that is counted within a minute: a mirroring is one or two events, not one a file.
/// Tiles hold nothing but hashes and keys are public, so they are not recorded.
pub async fn read(
    ctx: &Ctx,
    sequencer: &Sequencer,
    (permit, log): (&Permit, Uuid),
    file: File,
) -> Result<Vec<u8>, Missing> {
    match file {
        File::Standard(Resource::Checkpoint) => checkpoint(ctx, sequencer, (permit, log)).await,
        File::Standard(Resource::Tile(id)) => tile(ctx, sequencer, log, id).await,
        File::Standard(Resource::Entries(id)) => {
            let bytes = bundle(ctx, sequencer, log, id).await?;
            record(ctx, sequencer, (permit, log)).await?;
            Ok(bytes)
        }
        File::Vkey => {
            let head = started(sequencer, log).await?;
            let keys = sequencer.verifier_keys(&head.origin);
            Ok(keys.iter().flat_map(|key| [key.as_str(), "\n"]).collect::<String>().into_bytes())
        }
    }
}

/// The newest checkpoint: it covers every act that was answered before the call.
async fn checkpoint(
    ctx: &Ctx,
    sequencer: &Sequencer,
    (permit, log): (&Permit, Uuid),
) -> Result<Vec<u8>, Missing> {
    // what has its index waits a moment for its signature
    let head = match sequencer.catch_up(log).await {
        Ok(head) if head.signed_size < head.size => sequencer.covering(log, head.size - 1, SIGNATURE).await,
        other => other,
    };
    record(ctx, sequencer, (permit, log)).await?;
    let head = match head {
        Ok(head) if !head.checkpoint.is_empty() => head,
        // what is signed is signed, also while the log does not get on
        _ => started(sequencer, log).await?,
    };
    Ok(head.checkpoint.into_bytes())
}

/// Puts it on the record that the log is being mirrored, before the answer leaves.
async fn record(ctx: &Ctx, sequencer: &Sequencer, (permit, log): (&Permit, Uuid)) -> Result<()> {
    let (audit, what) = if log == META {
        (permit.audit().also("log", "meta".to_owned()), "meta")
    } else {
        (permit.audit(), "")
    };
    sequencer.reading().reads.record(ctx, (&MIRROR, permit), audit, what).await
}

/// The head of a log that has a checkpoint. Only a log in which nothing ever happened has none: then this reading of it is
/// the first act in it; but reading leaves nothing in the meta log.
async fn started(sequencer: &Sequencer, log: Uuid) -> Result<LogHead, Missing> {
    let head = sequencer.head(log).await?;
    match head.checkpoint.as_str() {
        "" if log == META && head.size == 0 => Err(Missing::Because(
            "nothing was published in the meta log yet: see `audit.publish_interval_seconds`".to_owned(),
        )),
        "" => Ok(sequencer.covering(log, 0, FIRST_CHECKPOINT).await?),
        _ => Ok(head),
    }
}

/// A stored tile, cut to the asked width.
async fn tile(ctx: &Ctx, sequencer: &Sequencer, scope: Uuid, id: TileId) -> Result<Vec<u8>, Missing> {
    let head = sequencer.head(scope).await?;
    covered(TileId::in_tree(id.level(), id.index(), signed(&head)), id.width(), &id.path())?;
    let found = tile_get_all(&mut ctx.read().await?, scope, &[id]).await?;
    let tile = found.first().ok_or_else(|| hole(&id.path()))?;
    Ok(tile.encode())
}

/// The entries below a tile of the lowest level.
async fn bundle(ctx: &Ctx, sequencer: &Sequencer, scope: Uuid, id: BundleId) -> Result<Vec<u8>, Missing> {
    let head = sequencer.head(scope).await?;
    covered(TileId::in_tree(0, id.index(), signed(&head)), id.width(), &id.path())?;
    let first = i64::try_from(id.start()).map_err(Error::internal)?;
    let end = first.saturating_add(i64::from(id.width()));
    let entries = store::entry_get_all(&mut ctx.read().await?, scope, first, end).await?;
    if entries.len() == usize::from(id.width()) {
        return Ok(encode_bundle(&entries).map_err(Error::internal)?);
    }
    // asked anew: they may have been pruned a moment ago
    match sequencer.head(scope).await?.minimum_index {
        minimum if first < minimum => Err(pruned(minimum)),
        _ => Err(hole(&id.path()).into()),
    }
}

/// Refuses what the checkpoint does not cover, or not in this width.
fn covered(there: Option<TileId>, width: u16, path: &str) -> Result<(), Missing> {
    match there {
        Some(there) if width <= there.width() => Ok(()),
        _ => Err(Error::not_found("file", path).into()),
    }
}

fn signed(head: &LogHead) -> u64 {
    u64::try_from(head.signed_size).unwrap_or(0)
}

fn hole(path: &str) -> Error {
    Error::internal(format!("`{path}` is covered by a checkpoint but is not stored"))
}

fn pruned(minimum_index: i64) -> Missing {
    Missing::Because(format!(
        "entries below index {minimum_index} were pruned by retention; their hashes stay: mirror from bundle {} on",
        minimum_index / i64::from(tlog::TILE_WIDTH)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_one_spelling() {
        assert_eq!(File::parse("checkpoint"), Some(File::Standard(Resource::Checkpoint)));
        assert_eq!(File::parse("vkey"), Some(File::Vkey));
        for path in ["tile/0/000", "tile/1/x001/234.p/5", "tile/entries/007.p/255"] {
            assert!(File::parse(path).is_some(), "{path}");
        }
        for path in [
            "",
            "vkey/",
            "/checkpoint",
            "tile/0/0",
            "tile/0/000.p/256",
            "tile/64/000",
            "tile/entries/x000/001",
        ] {
            assert_eq!(File::parse(path), None, "{path}");
        }
    }

    #[test]
    fn only_what_is_full_stays_the_same_for_ever() {
        for (path, immutable) in [
            ("checkpoint", false),
            ("vkey", false),
            ("tile/0/000", true),
            ("tile/0/000.p/7", false),
            ("tile/entries/000", true),
            ("tile/entries/000.p/7", false),
        ] {
            assert_eq!(File::parse(path).unwrap().is_immutable(), immutable, "{path}");
        }
    }

    #[test]
    fn nothing_is_served_that_no_checkpoint_covers() {
        let there = |size| TileId::in_tree(0, 1, size);
        assert!(covered(there(300), 44, "").is_ok());
        assert!(covered(there(600), 44, "").is_ok(), "a wider one answers for a narrower one");
        assert!(covered(there(299), 44, "").is_err());
        assert!(covered(there(256), 44, "").is_err());
    }
}
