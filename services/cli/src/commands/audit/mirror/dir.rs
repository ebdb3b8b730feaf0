//! A copy of a log in a directory, under the paths of C2SP tlog-tiles.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use tlog::{BundleId, Resource, TileId, Vkey, right_edge};

use super::super::keys;
use crate::error::{Error, Result};

/// The directory. While it is open for writing, no other process writes there.
#[derive(Debug)]
pub struct Dir {
    root: PathBuf,
    /// Held while the copy is written.
    _lock: Option<File>,
}

impl Dir {
    /// A copy to be read.
    pub fn open(root: &Path) -> Self {
        Self { root: root.to_owned(), _lock: None }
    }

    /// A copy to be written; made when it is not there.
    pub fn create(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(|e| failed(root, "made", &e))?;
        let path = root.join(".lock");
        let lock = File::create(&path).map_err(|e| failed(&path, "made", &e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(Error::Local(format!(
                "another `provost audit mirror` writes to `{}`; let it end first",
                root.display()
            ))),
            Err(TryLockError::Error(e)) => Err(failed(&path, "locked", &e)),
        }
    }

    /// A file, or nothing.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let path = self.root.join(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(failed(&path, "read", &e)),
        }
    }

    /// Writes a file whole or not at all.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(path);
        let dir = path.parent().unwrap_or(&self.root);
        let draft = path.with_extension("new");
        fs::create_dir_all(dir)
            .and_then(|()| File::create(&draft))
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|e| failed(&path, "written", &e))
    }

    /// The keys that this copy was made with; none in a new one.
    pub fn keys(&self) -> Result<Option<Vec<Vkey>>> {
        let Some(bytes) = self.read("vkey")? else { return Ok(None) };
        let origin = format!("`{}`", self.root.join("vkey").display());
        keys::parse(&String::from_utf8_lossy(&bytes), &origin).map(Some)
    }

    /// Removes the partial files of a tree of `old` entries that are wider in one of `new`.
    pub fn tidy(&self, old: u64, new: u64) -> Result<()> {
        for tile in right_edge(old) {
            if TileId::in_tree(tile.level(), tile.index(), new) == Some(tile) {
                continue;
            }
            self.remove(&Resource::Tile(tile))?;
            if tile.level() == 0 {
                self.remove(&Resource::Entries(BundleId::from(tile)))?;
            }
        }
        Ok(())
    }

    fn remove(&self, resource: &Resource) -> Result<()> {
        let path = self.root.join(resource.path());
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(&path, "removed", &e)),
            _ => {}
        }
        // the directory of one tile's partial files goes with the last of them
        if let Some(dir) = path.parent() {
            let _ = fs::remove_dir(dir);
        }
        Ok(())
    }
}

fn failed(path: &Path, what: &str, why: &io::Error) -> Error {
    Error::Local(format!("`{}` cannot be {what}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_process_writes_a_copy() {
        let temp = tempfile::tempdir().unwrap();
        let first = Dir::create(temp.path()).unwrap();
        assert!(matches!(Dir::create(temp.path()), Err(Error::Local(m)) if m.contains("another")));
        drop(first);
        Dir::create(temp.path()).unwrap();
    }

    #[test]
    fn what_is_superseded_goes() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::create(temp.path()).unwrap();
        for path in ["tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1", "tile/0/000"] {
            dir.write(path, b"x").unwrap();
        }
        dir.tidy(300, 400).unwrap();
        for (path, there) in [
            ("tile/0/001.p", false),
            ("tile/entries/001.p", false),
            ("tile/1/000.p/1", true),
            ("tile/0/000", true),
        ] {
            assert_eq!(temp.path().join(path).exists(), there, "{path}");
        }
        assert_eq!(dir.read("tile/0/001.p/44").unwrap(), None);
    }
}
