//! Checks a copy of a log with nothing but the copy and the key.

mod part;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tlog::{Checkpoint, Resource, Vkey, audit};

use super::{keys, mirror::Dir};
use crate::{
    app::App,
    error::{Error, Exit, Result},
    output::{Format, encode, facts},
};

/// What to check.
#[derive(Args, Debug)]
pub struct Verify {
    /// The directory
    dir: PathBuf,
    /// The log's verifier key, or a file of keys; by default the `vkey` in the directory; repeatable
    #[arg(long, value_name = "KEY_OR_FILE")]
    vkey: Vec<String>,
    /// The log that it must be: the first line of its checkpoints
    #[arg(long)]
    origin: Option<String>,
    /// Entries below this index may be missing: retention pruned them
    #[arg(long, value_name = "INDEX", default_value_t = 0, hide_default_value = true)]
    minimum_index: u64,
    /// Check the events in this file (NDJSON, as in an export or an evidence pack) instead of those in the copy, which then
    /// needs no more than the hashes that prove them
    #[arg(long, value_name = "FILE", conflicts_with = "minimum_index")]
    events: Option<PathBuf>,
    /// Check too that the log has only grown since this checkpoint
    #[arg(long, value_name = "FILE")]
    extends: Option<PathBuf>,
}

/// What was found good.
#[derive(Serialize)]
struct Verified {
    origin: String,
    size: u64,
    root: String,
    keys: Vec<String>,
    entries: u64,
    pruned: u64,
    bundles: u64,
    tiles: u64,
    /// Size of the older checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    extends: Option<u64>,
}

/// Checks.
pub fn run(args: &Verify, app: &mut App<'_, '_>) -> Result<Exit> {
    let dir = Dir::open(&args.dir);
    let known = match args.vkey.as_slice() {
        [] => dir.keys()?.ok_or_else(|| no_key(args))?,
        given => keys::given(given)?,
    };
    let note = dir.read("checkpoint")?.ok_or_else(|| {
        Error::Local(format!(
            "`{}` holds no `checkpoint`; it is no copy of a log, or one that was never finished",
            args.dir.display()
        ))
    })?;
    let signed =
        Checkpoint::open(&note, &known).map_err(|e| Error::Unverified(format!("`checkpoint`: {e}")))?;
    let checkpoint = signed.checkpoint;
    if let Some(origin) = args.origin.as_ref().filter(|origin| *origin != checkpoint.origin()) {
        return Err(Error::Unverified(format!("this is the log `{}`, not `{origin}`", checkpoint.origin())));
    }
    let older = args.extends.as_ref();
    let extends = older.map(|older| part::extends(older, &known, &dir, &checkpoint)).transpose()?;
    let by: Vec<Vkey> = signed.verified.into_iter().map(|verified| verified.key).collect();
    let mut verified = Verified {
        origin: checkpoint.origin().to_owned(),
        size: checkpoint.size(),
        root: checkpoint.root().to_string(),
        keys: by.iter().map(ToString::to_string).collect(),
        entries: 0,
        pruned: 0,
        bundles: 0,
        tiles: 0,
        extends,
    };
    if let Some(file) = &args.events {
        let checked = part::events(file, &dir, &checkpoint)?;
        (verified.entries, verified.tiles) = (checked.events, checked.tiles);
    } else {
        let read = |resource: Resource| dir.read(&resource.path()).map_err(|e| said(&e));
        let audited = audit(&checkpoint, args.minimum_index, read)?;
        (verified.entries, verified.tiles) = (audited.entries, audited.tiles);
        (verified.pruned, verified.bundles) = (audited.pruned, audited.bundles);
    }
    show(&verified, &keys::labels(&by), args.vkey.is_empty(), args.events.is_some(), app)
}

fn no_key(args: &Verify) -> Error {
    Error::Usage(format!("`{}` holds no `vkey`; give the log's key with --vkey", args.dir.display()))
}

/// An error in its own words, without the class.
fn said(error: &Error) -> String {
    match error {
        Error::Local(message) => message.clone(),
        other => format!("{other:?}"),
    }
}

/// What is told of it; of a copy that is not there to be whole, nothing is said to be gone.
fn rows(verified: &Verified, by: &str, only_some: bool) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("log", verified.origin.clone()),
        ("checkpoint", format!("size {}, root {}", verified.size, verified.root)),
        ("signature", format!("good, by {by}")),
    ];
    if let Some(size) = verified.extends {
        rows.push((
            "extends",
            format!("the checkpoint of size {size}: nothing below was altered or dropped"),
        ));
    }
    if only_some {
        rows.push(("tiles", format!("{} of leaf hashes, each under the checkpoint", verified.tiles)));
    } else {
        rows.push(("tiles", format!("{} read, each is the hash of what lies below it", verified.tiles)));
    }
    rows.push(("events", format!("{} hashed, each is its leaf in the tree", verified.entries)));
    if !only_some {
        rows.push(("pruned", format!("{} events are gone, their hashes are here", verified.pruned)));
    }
    rows.push(("result", "VERIFIED".to_owned()));
    rows
}

fn show(
    verified: &Verified,
    by: &str,
    own_key: bool,
    only_some: bool,
    app: &mut App<'_, '_>,
) -> Result<Exit> {
    let text = match app.format() {
        Format::Table => facts(&rows(verified, by, only_some)),
        format => encode(verified, format)?,
    };
    app.console.print(&text)?;
    if own_key {
        app.console.note(
            "note: verified with the key in the copy itself; --vkey takes the one that you got another way",
        );
    }
    Ok(Exit::OK)
}
