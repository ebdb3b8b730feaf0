//! Copies a log into a directory, and brings a copy up to date.
//!
//! Nothing is taken on trust but the key, and that once: the checkpoint must be signed with it, must extend the one that the
//! copy has, and the tree over the entries that arrive, computed here, must be the tree that it signs. Only then is the
//! checkpoint written, last of all; a copy that was interrupted goes on where it stopped.

mod dir;

use std::path::PathBuf;

use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tlog::{
    Appender, BundleId, Checkpoint, Hash, Resource, SignedCheckpoint, TILE_WIDTH, Tile, TileId, TileSet,
    Vkey, bundles_added, consistency_proof, decode_bundle, leaf_hash, right_edge, tiles_for_consistency,
    verify_consistency,
};

use super::keys;
use crate::{
    app::App,
    error::{Error, Exit, Result},
    http::Files,
    output::{Format, encode, facts},
};
pub use dir::Dir;

/// Bundles that are fetched at a time.
const AT_ONCE: usize = 8;
/// Tiles are written whenever so many bundles were added: bounds the memory.
const TILES_EVERY: usize = 256;

/// A copy.
#[derive(Args, Debug)]
pub struct Mirror {
    /// Whose log: `TENANT` or `partners/PARTNER`; --platform for the platform
    #[arg(conflicts_with = "url")]
    parent: Option<String>,
    /// The deployment's meta log, which the witnesses cosign, rather than a scope's; takes a duty of the platform
    #[arg(long, conflicts_with_all = ["parent", "url"])]
    meta: bool,
    /// The directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Read through a mirror link instead of with a token: what `audit link create` printed
    #[arg(long, value_name = "PATH_OR_URL")]
    url: Option<String>,
    /// Trust this key, or the keys in this file, instead of what the copy has or the server names; repeatable
    #[arg(long, value_name = "KEY_OR_FILE")]
    vkey: Vec<String>,
}

/// What was done.
#[derive(Serialize)]
struct Mirrored {
    origin: String,
    size: u64,
    root: String,
    keys: Vec<String>,
    /// Events that are new in the copy.
    added: u64,
    /// Events that retention has taken already: their hashes are in the copy, they are not.
    pruned: u64,
    /// Of new events, those below this index are the ones that are gone.
    minimum_index: u64,
    dir: PathBuf,
}

/// Copies.
pub async fn run(args: Mirror, app: &mut App<'_, '_>) -> Result<Exit> {
    let files = if let Some(url) = &args.url {
        app.files_at(url)?
    } else if args.meta {
        app.files("/audit/v1/meta")?
    } else {
        let parent = app.names.scope(args.parent.as_deref())?;
        let log = if parent.is_empty() { "platform" } else { &parent };
        app.files(&format!("/audit/v1/{log}"))?
    };
    let dir = Dir::create(&args.out)?;
    let (known, kept) = (trusted(&args.vkey, &dir, &files).await?, dir.keys()?);
    let new = Checkpoint::open(&files.get("checkpoint").await?, &known).map_err(|e| unsigned(&e, &known))?;
    let old = held(&dir, &[known.as_slice(), kept.as_deref().unwrap_or_default()].concat())?;
    if let Some(old) = &old {
        extends(&dir, &files, old, &new).await?;
    }
    let grown = grow(&dir, &files, old.as_ref(), &new.checkpoint).await?;
    if kept.as_ref() != Some(&known) {
        dir.write("vkey", keys::text(&known).as_bytes())?;
    }
    dir.write("checkpoint", new.note.to_string().as_bytes())?;
    let before = old.map_or(0, |old| old.size());
    dir.tidy(before, new.checkpoint.size())?;
    let done = Mirrored {
        origin: new.checkpoint.origin().to_owned(),
        size: new.checkpoint.size(),
        root: new.checkpoint.root().to_string(),
        keys: known.iter().map(ToString::to_string).collect(),
        added: new.checkpoint.size() - before,
        pruned: grown.pruned,
        minimum_index: grown.minimum_index,
        dir: args.out,
    };
    show(&done, kept.is_none() && args.vkey.is_empty(), app)
}

/// The keys to verify with: those given, else those of the copy, else, this once, those that the server names.
async fn trusted(given: &[String], dir: &Dir, files: &Files) -> Result<Vec<Vkey>> {
    if !given.is_empty() {
        return keys::given(given);
    }
    match dir.keys()? {
        Some(kept) => Ok(kept),
        None => {
            keys::parse(&String::from_utf8_lossy(&files.get("vkey").await?), "what the server calls its keys")
        }
    }
}

fn unsigned(error: &tlog::Error, known: &[Vkey]) -> Error {
    Error::Unverified(format!(
        "the served checkpoint: {error}; known here: {}. when the log's key was changed on purpose, give the new one with --vkey",
        keys::labels(known)
    ))
}

/// The checkpoint of the copy, verified again; none in a new copy.
fn held(dir: &Dir, known: &[Vkey]) -> Result<Option<Checkpoint>> {
    let Some(note) = dir.read("checkpoint")? else { return Ok(None) };
    let signed = Checkpoint::open(&note, known);
    signed.map(|signed| Some(signed.checkpoint)).map_err(|e| damaged(&e))
}

fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::Unverified(format!(
        "the copy is damaged: {why}; `provost audit verify` says more, a new --out begins anew"
    ))
}

/// Proves that the served tree begins with all of the copy's, before anything of it is kept. A signed checkpoint that does
/// not is the proof that the log was rewritten: it is kept for whoever has to see it.
async fn extends(dir: &Dir, files: &Files, old: &Checkpoint, new: &SignedCheckpoint) -> Result<()> {
    let (from, to) = (old, &new.checkpoint);
    let wanted = if from.origin() == to.origin() && from.size() <= to.size() {
        tiles_for_consistency(from.size(), to.size())?
    } else {
        Vec::new()
    };
    let mut tiles = TileSet::new();
    for id in wanted {
        tiles.insert(Tile::decode(id, &files.get(&id.path()).await?)?);
    }
    let proved = if from.origin() == to.origin() {
        consistency_proof(&tiles, from.size(), to.size())
            .and_then(|proof| verify_consistency(from.size(), from.root(), to.size(), to.root(), &proof))
    } else {
        Err(tlog::Error::Origin(to.origin().to_owned()))
    };
    let Err(why) = proved else { return Ok(()) };
    dir.write("checkpoint.refused", new.note.to_string().as_bytes())?;
    Err(Error::Unverified(format!(
        "the served checkpoint (size {}) does not extend the copy's (size {}): {why}; the log was rewritten, or this copy is of another. both signed checkpoints are kept: `checkpoint` and `checkpoint.refused`",
        to.size(),
        from.size()
    )))
}

/// What was added to a copy.
struct Grown {
    root: Hash,
    /// Entries that retention took before they were copied.
    pruned: u64,
    /// One past the last of them.
    minimum_index: u64,
}

/// Brings entries and tiles up to the new checkpoint. Files that an interrupted run left are taken over, unless the tree then
/// comes out wrong.
async fn grow(dir: &Dir, files: &Files, old: Option<&Checkpoint>, new: &Checkpoint) -> Result<Grown> {
    let mut grown = add(dir, files, old, new, true).await?;
    if grown.root != *new.root() {
        grown = add(dir, files, old, new, false).await?;
    }
    if grown.root == *new.root() {
        return Ok(grown);
    }
    Err(tlog::Error::Root { expected: *new.root(), found: grown.root }.into())
}

/// What a bundle's leaves are made of.
enum Leaves {
    /// The entries.
    Entries { bytes: Vec<u8>, fresh: bool },
    /// Their hashes alone: retention took the entries.
    Hashes(Tile),
}

async fn add(
    dir: &Dir,
    files: &Files,
    old: Option<&Checkpoint>,
    new: &Checkpoint,
    take_over: bool,
) -> Result<Grown> {
    let mut tree = begun(dir, old)?;
    let mut grown = Grown { root: tree.root(), pruned: 0, minimum_index: 0 };
    let mut bundles = stream::iter(bundles_added(tree.size(), new.size()))
        .map(|id| async move { Ok::<_, Error>((id, leaves(dir, files, id, take_over).await?)) })
        .buffered(AT_ONCE);
    let (mut kept, mut since) = (false, 0);
    while let Some((id, found)) = bundles.try_next().await? {
        match found {
            Leaves::Entries { bytes, fresh } => {
                let entries = decode_bundle(&bytes, id.width())?;
                tree.append_all(entries.iter().map(|entry| leaf_hash(entry)))?;
                if fresh {
                    dir.write(&id.path(), &bytes)?;
                }
                kept = true;
            }
            // retention takes the oldest: what is missing behind something younger is withheld
            Leaves::Hashes(_) if kept => return Err(tlog::Error::Missing { path: id.path() }.into()),
            Leaves::Hashes(tile) => {
                tree.append_all(tile.hashes().iter().copied())?;
                grown.pruned += u64::from(id.width());
                grown.minimum_index = tree.size();
            }
        }
        since += 1;
        if since == TILES_EVERY {
            keep(dir, &mut tree, new.size())?;
            since = 0;
        }
    }
    keep(dir, &mut tree, new.size())?;
    grown.root = tree.root();
    Ok(grown)
}

/// The copy's tree up to the last full bundle: a partial one is fetched anew, so that all its entries are hashed.
fn begun(dir: &Dir, old: Option<&Checkpoint>) -> Result<Appender> {
    let held = old.map_or(0, Checkpoint::size);
    let size = held - held % u64::from(TILE_WIDTH);
    let mut tiles = Vec::new();
    for id in right_edge(size) {
        // the copy holds the tile as wide as its own checkpoint has it
        let there = TileId::in_tree(id.level(), id.index(), held).unwrap_or(id);
        let bytes =
            dir.read(&there.path())?.ok_or_else(|| damaged(&tlog::Error::Missing { path: there.path() }))?;
        let tile = Tile::decode(there, &bytes).map_err(|e| damaged(&e))?;
        let hashes = tile.hashes().iter().copied().take(id.width().into()).collect();
        tiles.push(Tile::new(id.level(), id.index(), hashes)?);
    }
    Ok(Appender::new(size, tiles)?)
}

async fn leaves(dir: &Dir, files: &Files, id: BundleId, take_over: bool) -> Result<Leaves> {
    let path = id.path();
    if take_over && let Some(bytes) = dir.read(&path)? {
        return Ok(Leaves::Entries { bytes, fresh: false });
    }
    if let Some(bytes) = files.find(&path).await? {
        return Ok(Leaves::Entries { bytes: bytes.to_vec(), fresh: true });
    }
    let tile = TileId::new(0, id.index(), id.width())?;
    Ok(Leaves::Hashes(Tile::decode(tile, &files.get(&tile.path()).await?)?))
}

/// Writes the tiles that are as they stay in a tree of `size` entries.
fn keep(dir: &Dir, tree: &mut Appender, size: u64) -> Result<()> {
    for tile in tree.take_tiles() {
        let id = tile.id();
        if TileId::in_tree(id.level(), id.index(), size) == Some(id) {
            dir.write(&Resource::Tile(id).path(), &tile.encode())?;
        }
    }
    Ok(())
}

fn show(done: &Mirrored, first: bool, app: &mut App<'_, '_>) -> Result<Exit> {
    let text = match app.format() {
        Format::Table => facts(&[
            ("origin", done.origin.clone()),
            ("size", done.size.to_string()),
            ("root", done.root.clone()),
            ("added", done.added.to_string()),
            ("dir", done.dir.display().to_string()),
        ]),
        format => encode(done, format)?,
    };
    app.console.print(&text)?;
    if first {
        app.console.note(&format!(
            "note: the server itself named the key {}; compare it with what the log's operator tells you another way",
            done.keys.join(", ")
        ));
    }
    if done.pruned > 0 {
        app.console.note(&format!(
            "note: {} events were pruned by retention; verify with --minimum-index {}",
            done.pruned, done.minimum_index
        ));
    }
    Ok(Exit::OK)
}
