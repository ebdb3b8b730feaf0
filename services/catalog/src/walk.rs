//! From a directory on disk to a tree.

use std::{
    fs::{self, DirEntry},
    io::{self, Read as _},
    path::Path,
};

use kernel::{Error, Result};

use crate::tree::{Kind, Tree, TreeBuilder, check_path};

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// Reads the directory at `path`, in the order of names, without following any symbolic link below it. A `.git` directly
/// in it is left out: it belongs to the copy, not to the marketplace.
pub fn read_directory(path: &Path) -> Result<Tree> {
    let mut builder = TreeBuilder::new();
    directory(path, "", &mut builder)?;
    builder.finish()
}

fn directory(path: &Path, below: &str, builder: &mut TreeBuilder) -> Result<()> {
    let unreadable = |e: &io::Error| fault("directory", path, e);
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<DirEntry>>>);
    let mut entries = entries.map_err(|e| unreadable(&e))?;
    entries.sort_by_key(DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            Error::Marketplace(format!(
                "`{}` has a name that is not UTF-8; rename it",
                entry.path().display()
            ))
        })?;
        let kind = entry.file_type().map_err(|e| unreadable(&e))?;
        if below.is_empty() && name == ".git" {
            continue;
        }
        let below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        if kind.is_dir() {
            check_path(&below)?;
            directory(&entry.path(), &below, builder)?;
        } else if kind.is_symlink() {
            builder.push(&below, Kind::Symlink, &[])?;
        } else if kind.is_file() {
            file(&entry.path(), &below, builder)?;
        } else {
            builder.push(&below, Kind::Special, &[])?;
        }
    }
    Ok(())
}

fn file(path: &Path, below: &str, builder: &mut TreeBuilder) -> Result<()> {
    let mut file = fs::File::open(path).map_err(|e| fault("file", path, &e))?;
    let mut piece = vec![0; PIECE];
    builder.push(below, Kind::File, &[])?;
    loop {
        let length = file.read(&mut piece).map_err(|e| fault("file", path, &e))?;
        match piece.get(..length) {
            None | Some([]) => return Ok(()),
            Some(bytes) => builder.push(below, Kind::File, bytes)?,
        }
    }
}

fn fault(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::Marketplace(format!(
        "cannot read {what} `{}`: {error}; check the path and its permissions",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_whole_and_without_its_git_data() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/.git")).unwrap();
        fs::create_dir_all(dir.path().join(".git")).unwrap();
        fs::write(dir.path().join(".git/config"), "x").unwrap();
        fs::write(dir.path().join("a/.git/config"), "x").unwrap();
        fs::write(dir.path().join("a/big"), vec![7; 3 * PIECE + 1]).unwrap();
        fs::write(dir.path().join("empty"), "").unwrap();
        let tree = read_directory(dir.path()).unwrap();
        assert_eq!(tree.under("").map(|(p, _)| p).collect::<Vec<_>>(), ["a/.git/config", "a/big", "empty"]);
        assert_eq!(tree.file("a/big").unwrap().length, 3 * PIECE as u64 + 1);
    }

    #[test]
    fn a_symbolic_link_is_refused_whatever_it_points_to() {
        for target in ["/etc/passwd", "plain", "nowhere", "."] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("plain"), "x").unwrap();
            std::os::unix::fs::symlink(target, dir.path().join("link")).unwrap();
            let error = read_directory(dir.path()).unwrap_err().to_string();
            assert!(error.contains("`link` is a symbolic link"), "{error}");
        }
    }

    #[test]
    fn a_socket_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
        let error = read_directory(dir.path()).unwrap_err().to_string();
        assert!(error.contains("`s` is neither"), "{error}");
    }

    #[test]
    fn a_missing_directory_and_a_file_are_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        for name in ["missing", "file"] {
            let path = dir.path().join(name);
            let error = read_directory(&path).unwrap_err().to_string();
            assert!(
                error.contains(&path.display().to_string()) && error.contains("check the path"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_directory_deeper_than_the_limit_is_refused_without_descending() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(vec!["d"; 40].join("/"))).unwrap();
        let error = read_directory(dir.path()).unwrap_err().to_string();
        assert!(error.contains("32 levels"), "{error}");
    }
}
