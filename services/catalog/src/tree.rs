//! A marketplace directory in memory: built piece by piece, every limit checked as the pieces arrive.

use std::{collections::BTreeMap, fmt, ops::Bound};

use kernel::{Result, error::Error, hash, ids::clip};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Largest sum of all files, bytes.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Most files.
pub const MAX_FILES: usize = 10_000;
/// Longest path, bytes.
pub const MAX_PATH: usize = 1_024;
/// Deepest path, segments.
pub const MAX_LEVELS: usize = 32;
/// Largest file whose content is read, bytes.
pub const MAX_JSON: usize = 1024 * 1024;

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Digest {
    /// Lower-case hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hash::hex(&self.0))
    }
}

impl TryFrom<Vec<u8>> for Digest {
    type Error = Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self> {
        let bytes =
            bytes.try_into().map_err(|_| Error::internal("a digest in the database is not 32 bytes"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("not 64 hex digits");
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err(wrong());
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(2 * i..2 * i + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A symbolic link; refused.
    Symlink,
    /// A hard link, as archives have them; refused.
    Hardlink,
    /// A device, pipe or socket; refused.
    Special,
}

/// A file.
#[derive(Clone, Debug)]
pub struct File {
    /// Its length, bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Digest,
    /// Its bytes, kept where a format reads them: `*.json` up to [`MAX_JSON`].
    pub content: Option<Vec<u8>>,
}

/// The files of a directory, by path.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, File>,
}

impl Tree {
    /// From whole files.
    pub fn from_files<P: AsRef<str>, B: AsRef<[u8]>>(
        files: impl IntoIterator<Item = (P, B)>,
    ) -> Result<Self> {
        let mut builder = TreeBuilder::new();
        for (path, bytes) in files {
            builder.push(path.as_ref(), Kind::File, bytes.as_ref())?;
        }
        builder.finish()
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files below `directory` (empty: all), in the order of their paths, which are relative to it.
    pub fn under<'t>(&'t self, directory: &str) -> impl Iterator<Item = (&'t str, &'t File)> + use<'t> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let files = self.files.range::<str, _>(from);
        files.map_while(move |(path, file)| path.strip_prefix(&prefix).map(|rest| (rest, file)))
    }

    /// The directory that all files lie in, taken for the tree itself.
    #[must_use]
    pub fn below(self, directory: &str) -> Self {
        let prefix = format!("{directory}/");
        let files = self.files.into_iter();
        let files =
            files.filter_map(|(path, file)| path.strip_prefix(&prefix).map(|rest| (rest.to_owned(), file)));
        Self { files: files.collect() }
    }

    /// Over every path, length and content.
    pub fn sha256(&self) -> Digest {
        let mut sum = Sum::new("provost marketplace directory 1");
        for (path, file) in self.under("") {
            sum.file(path, file);
        }
        sum.finish()
    }
}

/// A SHA-256 over parts that cannot run into each other.
pub(crate) struct Sum(Sha256);

impl Sum {
    /// `purpose` keeps sums of different things apart, and of one thing read in different ways.
    pub(crate) fn new(purpose: &str) -> Self {
        let mut sum = Self(Sha256::new());
        sum.part(purpose.as_bytes());
        sum
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn file(&mut self, path: &str, file: &File) {
        self.part(path.as_bytes());
        self.0.update(file.length.to_be_bytes());
        self.0.update(file.sha256.0);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Builds a [`Tree`] from pieces of files, in the order in which they arrive. After an error it is of no more use.
#[derive(Default)]
pub struct TreeBuilder {
    tree: Tree,
    bytes: u64,
    open: Option<Open>,
}

/// The file whose pieces are arriving.
struct Open {
    path: String,
    length: u64,
    sum: Sha256,
    content: Option<Vec<u8>>,
}

impl TreeBuilder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the file at `path`. Pieces of one file follow each other; an empty file is one empty
    /// piece. Everything that breaks a limit or a path rule is refused.
    pub fn push(&mut self, path: &str, kind: Kind, chunk: &[u8]) -> Result<()> {
        if self.open.as_ref().is_none_or(|open| open.path != path) {
            self.close();
            self.open(path)?;
        }
        match kind {
            Kind::File => {}
            Kind::Symlink => {
                return refuse(
                    path,
                    "is a symbolic link; replace it by a copy of the file that it points to",
                );
            }
            Kind::Hardlink => {
                return refuse(path, "is a hard link; replace it by a copy of the file that it stands for");
            }
            Kind::Special => return refuse(path, "is neither a file nor a directory; remove it"),
        }
        self.bytes = self.bytes.saturating_add(chunk.len() as u64);
        if self.bytes > MAX_BYTES {
            return Err(too_large());
        }
        if let Some(open) = &mut self.open {
            open.take(chunk);
        }
        Ok(())
    }

    /// Begins a file at `path` even when the one before had the same path: pieces that follow are of a new file. For
    /// sources whose files come whole.
    pub fn begin(&mut self, path: &str, kind: Kind) -> Result<()> {
        self.close();
        self.push(path, kind, &[])
    }

    /// Whether nothing has been pushed.
    pub fn is_fresh(&self) -> bool {
        self.open.is_none() && self.tree.is_empty()
    }

    /// Bytes that still fit.
    pub fn room(&self) -> u64 {
        MAX_BYTES.saturating_sub(self.bytes)
    }

    /// The tree of all files taken.
    pub fn finish(mut self) -> Result<Tree> {
        self.close();
        if self.tree.is_empty() {
            return Err(Error::Marketplace(
                "the directory is empty; send the one that holds the marketplace".to_owned(),
            ));
        }
        Ok(self.tree)
    }

    fn open(&mut self, path: &str) -> Result<()> {
        check_path(path)?;
        let files = &self.tree.files;
        if files.contains_key(path) {
            return refuse(
                path,
                "occurs twice; send the pieces of one file one after the other, and every file once",
            );
        }
        let ancestors = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        if ancestors.into_iter().any(|a| files.contains_key(a)) || self.tree.under(path).next().is_some() {
            return refuse(path, "is both a file and a directory; send the directory as it is on disk");
        }
        if files.len() >= MAX_FILES {
            return Err(Error::Marketplace(
                "the directory holds more than 10,000 files; remove what does not belong to the marketplace"
                    .to_owned(),
            ));
        }
        let content = is_json(path).then(Vec::new);
        self.open = Some(Open { path: path.to_owned(), length: 0, sum: Sha256::new(), content });
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            let sha256 = Digest(open.sum.finalize().into());
            let file = File { length: open.length, sha256, content: open.content };
            self.tree.files.insert(open.path, file);
        }
    }
}

impl Open {
    fn take(&mut self, chunk: &[u8]) {
        self.length += chunk.len() as u64;
        self.sum.update(chunk);
        match &mut self.content {
            Some(content) if content.len() + chunk.len() <= MAX_JSON => content.extend_from_slice(chunk),
            content => *content = None,
        }
    }
}

fn is_json(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|e| e.eq_ignore_ascii_case("json"))
}

/// What is said of too many bytes.
pub(crate) fn too_large() -> Error {
    Error::Marketplace(
        "the directory holds more than 256 MiB; remove what does not belong to the marketplace".to_owned(),
    )
}

/// Refuses a path that is not relative, plain and short.
pub fn check_path(path: &str) -> Result<()> {
    if path.len() > MAX_PATH {
        return refuse(path, "is longer than 1,024 bytes; shorten it");
    }
    if path.contains(['\\', '\0']) {
        return refuse(path, "holds a backslash or a NUL; paths are separated by `/`");
    }
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return refuse(
            path,
            "is not a plain path below the directory; no `..`, no `.`, no empty part, not absolute",
        );
    }
    if path.split('/').count() > MAX_LEVELS {
        return refuse(path, "is deeper than 32 levels; flatten it");
    }
    Ok(())
}

fn refuse(path: &str, why: &str) -> Result<()> {
    Err(Error::Marketplace(format!("`{}` {why}", clip(path))))
}

#[cfg(test)]
mod tests;
