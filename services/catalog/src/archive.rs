//! From an archive to a tree: tar, tar.gz and zip, read from a file, nothing of it written anywhere.
//!
//! What an archive claims is not believed: sizes are checked before and after unpacking, names one by one, and what is kept in
//! memory (extended headers, directories of a zip) has a bound of its own.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    rc::Rc,
};

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use kernel::{Result, error::Error, ids::clip};
use rawzip::{CompressionMethod, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipFileHeaderRecord};
use tar::EntryType;

use crate::{
    tree::{Kind, MAX_BYTES, MAX_FILES, Tree, TreeBuilder, check_path, too_large},
    vendor,
};

/// Bytes unpacked at a time.
const PIECE: usize = 64 * 1024;
/// Most entries, directories included.
const MAX_ENTRIES: usize = 2 * MAX_FILES;
/// Most bytes of headers before one entry of a tar.
const MAX_HEADERS: u64 = 1024 * 1024;
/// Most bytes of a tar altogether: what is taken, what is left out, and as much as headers may need.
const MAX_TAR: u64 = 2 * MAX_BYTES + 64 * 1024 * 1024;
/// Most bytes after the end of a tar: writers fill up their last block.
const MAX_FILLING: u64 = 16 * 1024 * 1024;

/// How an archive packs a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// tar.
    Tar,
    /// tar, compressed with gzip.
    TarGz,
    /// zip.
    Zip,
}

/// Unpacks an archive. Where all of it lies in one top-level directory, that one is the marketplace directory.
pub fn unpack(mut file: File, packing: Option<Packing>) -> Result<Tree> {
    let packing = match packing {
        Some(packing) => packing,
        None => told(&mut file)?,
    };
    file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    let mut unpacking = Unpacking::default();
    match packing {
        Packing::Tar => tar(BufReader::new(file), &mut unpacking)?,
        Packing::TarGz => tar(MultiGzDecoder::new(BufReader::new(file)), &mut unpacking)?,
        Packing::Zip => zip(file, &mut unpacking)?,
    }
    Ok(rooted(unpacking.builder.finish()?))
}

/// What an archive is, by its first bytes.
fn told(file: &mut File) -> Result<Packing> {
    let mut first = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(Error::internal)?;
    file.take(512).read_to_end(&mut first).map_err(Error::internal)?;
    match first.as_slice() {
        [0x1f, 0x8b, ..] => Ok(Packing::TarGz),
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Packing::Zip),
        first if first.get(257..262) == Some(b"ustar") => Ok(Packing::Tar),
        _ => Err(refused(
            "is neither a tar, a tar.gz nor a zip; pack the marketplace directory as one of them",
        )),
    }
}

/// The tree, or the only directory in it where that one holds the marketplace file.
fn rooted(tree: Tree) -> Tree {
    if vendor::is_marketplace(&tree) {
        return tree;
    }
    let first = tree.under("").next().and_then(|(path, _)| path.split_once('/'));
    let Some(root) = first.map(|(root, _)| root.to_owned()) else { return tree };
    if tree.under(&root).count() == tree.len() { tree.below(&root) } else { tree }
}

/// What has been unpacked.
#[derive(Default)]
struct Unpacking {
    builder: TreeBuilder,
    entries: usize,
    /// Bytes of what was left out.
    left_out: u64,
}

impl Unpacking {
    /// The path of the next entry in the tree; none for what is left out, with all that is in it.
    fn path(&mut self, raw: &[u8]) -> Result<Option<String>> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(refused(
                "holds more than 20,000 entries; remove what does not belong to the marketplace",
            ));
        }
        let Ok(path) = str::from_utf8(raw) else {
            let name = clip(&String::from_utf8_lossy(raw));
            return Err(Error::Marketplace(format!("`{name}` has a name that is not UTF-8; rename it")));
        };
        let mut path = path;
        while let Some(rest) = path.strip_prefix("./") {
            path = rest;
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_junk = path.split('/').any(|s| s == ".git") || path.split('/').next() == Some("__MACOSX");
        if path.is_empty() && raw.starts_with(b".") || path == "." || is_junk {
            return Ok(None);
        }
        check_path(path)?;
        Ok(Some(path.to_owned()))
    }

    /// A file of which the archive says that it has `length` bytes.
    fn file(&mut self, path: &str, length: u64, content: &mut impl Read) -> Result<()> {
        if length > self.builder.room() {
            return Err(too_large());
        }
        self.builder.begin(path, Kind::File)?;
        let mut piece = vec![0; PIECE];
        let mut taken = 0;
        loop {
            let read = content.read(&mut piece).map_err(|e| unreadable(path, &e))?;
            match piece.get(..read) {
                None | Some([]) => break,
                Some(bytes) => self.builder.push(path, Kind::File, bytes)?,
            }
            taken += read as u64;
        }
        if taken == length {
            return Ok(());
        }
        Err(Error::Marketplace(format!(
            "`{}` has {taken} bytes where the archive says {length}; the archive is cut off or broken, pack it again",
            clip(path)
        )))
    }

    /// Something that is left out, unread or read over.
    fn leave_out(&mut self, bytes: u64) -> Result<()> {
        self.left_out = self.left_out.saturating_add(bytes);
        if self.left_out > MAX_BYTES { Err(too_large()) } else { Ok(()) }
    }
}

/// Reads a tar to its end.
fn tar(reader: impl Read, unpacking: &mut Unpacking) -> Result<()> {
    let (left, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let inner = reader.take(MAX_TAR);
    let meter = Meter { inner, left: Rc::clone(&left), ended: Rc::clone(&ended) };
    let mut archive = tar::Archive::new(meter);
    let mut entries = archive.entries().map_err(|e| broken(&e))?;
    loop {
        left.set(MAX_HEADERS);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(|e| broken(&e))?;
        let (kind, length) = (entry.header().entry_type(), entry.size());
        // of the archive as a whole, as `git archive` writes it
        if kind.is_pax_global_extensions() {
            continue;
        }
        let raw = entry.path_bytes().into_owned();
        left.set(length.saturating_add(1));
        let Some(path) = unpacking.path(&raw)? else {
            unpacking.leave_out(length)?;
            io::copy(&mut entry, &mut io::sink()).map_err(|e| broken(&e))?;
            continue;
        };
        match kind {
            // before there was a mark for directories, they were empty files with a slash at the end
            EntryType::Directory => {}
            EntryType::Regular if raw.ends_with(b"/") && length == 0 => {}
            EntryType::Regular | EntryType::Continuous => unpacking.file(&path, length, &mut entry)?,
            EntryType::Symlink => unpacking.builder.begin(&path, Kind::Symlink)?,
            EntryType::Link => unpacking.builder.begin(&path, Kind::Hardlink)?,
            _ => unpacking.builder.begin(&path, Kind::Special)?,
        }
    }
    if ended.get() {
        return Err(refused("is cut off: its end is missing; pack it again"));
    }
    // to the very end, because a gzip is checked there
    left.set(MAX_FILLING);
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop).map_err(|e| broken(&e))
}

/// A reader of which only so much can be read before more is granted.
struct Meter<R> {
    inner: R,
    left: Rc<Cell<u64>>,
    /// Whether the end was met.
    ended: Rc<Cell<bool>>,
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.ended.set(self.ended.get() || (read == 0 && !bytes.is_empty()));
        let left = self.left.get().checked_sub(read as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("it holds more than it says"))?);
        Ok(read)
    }
}

/// Reads a zip by its directory.
fn zip(file: File, unpacking: &mut Unpacking) -> Result<()> {
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(|e| broken(&e))?;
    let (expected, mut found) = (archive.entries_hint(), 0);
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(|e| broken(&e))? {
        found += 1;
        let Some(path) = unpacking.path(entry.file_path().as_bytes())? else { continue };
        if entry.flags().is_encrypted() {
            return Err(unreadable(&path, &"it is encrypted; pack the archive without a password"));
        }
        match zip_kind(&entry) {
            None => {}
            Some(Kind::File) => {
                let (length, method) = (entry.uncompressed_size_hint(), entry.compression_method());
                let packed = archive.get_entry(entry.wayfinder()).map_err(|e| unreadable(&path, &e))?;
                match method {
                    CompressionMethod::STORE => {
                        unpacking.file(&path, length, &mut packed.verifying_reader(packed.reader()))?;
                    }
                    CompressionMethod::DEFLATE => {
                        let inflated = DeflateDecoder::new(packed.reader());
                        unpacking.file(&path, length, &mut packed.verifying_reader(inflated))?;
                    }
                    _ => {
                        let why = "it is neither stored nor deflated; pack the archive with deflate";
                        return Err(unreadable(&path, &why));
                    }
                }
            }
            Some(refused) => unpacking.builder.begin(&path, refused)?,
        }
    }
    if found == expected {
        return Ok(());
    }
    Err(refused("does not hold as many entries as it says; it is cut off or broken, pack it again"))
}

/// What an entry of a zip is; none for a directory.
fn zip_kind(entry: &ZipFileHeaderRecord<'_>) -> Option<Kind> {
    // the file type of Unix; what was packed elsewhere has none
    match entry.mode().value() & 0o170_000 {
        0o120_000 => Some(Kind::Symlink),
        0o040_000 => None,
        _ if entry.is_dir() => None,
        0 | 0o100_000 => Some(Kind::File),
        _ => Some(Kind::Special),
    }
}

fn refused(why: &str) -> Error {
    Error::Marketplace(format!("the archive {why}"))
}

fn broken(error: &impl ToString) -> Error {
    refused(&format!("cannot be read: {}; pack it again", clip(&error.to_string())))
}

fn unreadable(path: &str, error: &impl ToString) -> Error {
    Error::Marketplace(format!(
        "`{}` in the archive cannot be read: {}",
        clip(path),
        clip(&error.to_string())
    ))
}

#[cfg(test)]
mod tests;
